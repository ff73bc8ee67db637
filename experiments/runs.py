"""What every experiment does around its networks: a fresh directory, a progress bar, a table, `results.json`."""

import argparse
import contextlib
import json
import platform
import re
from pathlib import Path

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import gradlog
from gradlog.backends.engine import engine
from gradlog.diagnosis.finding import some
from gradlog.writers import EventWriter

_SHORT_LIST = re.compile(r"\[\s+([^\[\]{}\"]*?)\s+\]")  # of numbers, which need not stand on a line each
_ENGINES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
_WIDTH_OF_A_FILE = 132  # where no terminal says how wide it is


def console():
    """Returns where an experiment prints."""
    screen = Console()
    return screen if screen.is_terminal else Console(width=_WIDTH_OF_A_FILE)


def fresh_log_dir(log_dir):
    """Returns `log_dir` where nothing was logged to it yet, else the first of `log_dir-2`, `log_dir-3` … like that.

    So two runs never share a directory, and none is deleted.
    """
    path, number = Path(log_dir), 1
    while any(path.rglob("*tfevents*")):
        number += 1
        path = Path(f"{Path(log_dir)}-{number}")
    return path


class ProgressBar(keras.callbacks.Callback):
    """Moves a bar of `rich` on by the steps of a training.

    Args:
        progress: The `rich.progress.Progress` that shows the bar.
        description: String, stands before the bar.
        steps: Integer, the bar's length.
    """

    def __init__(self, progress, description, steps):
        super().__init__()
        self._progress, self._task = progress, progress.add_task(description, total=steps, loss="")

        self._before, self._steps = 0, 0  # in earlier epochs, and in this one

    def on_epoch_begin(self, epoch, logs=None):
        """Counts on from the epochs before."""
        self._before, self._steps = self._before + self._steps, 0

    def on_train_batch_end(self, batch, logs=None):
        """Shows the steps done, and the loss."""
        self._steps = batch + 1
        self._progress.update(self._task, completed=self._before + self._steps, loss=f"loss {logs['loss']:.3f}")

    def on_train_end(self, logs=None):
        """Ends the bar where a training stopped early."""
        self._progress.update(self._task, total=self._before + self._steps)


def train(model, dataset, steps, callbacks):
    """Trains with `gradlog.train` on TensorFlow, and with `fit` on the other engines, which have no such loop."""
    if keras.backend.backend() == "tensorflow":
        gradlog.train(model, dataset, steps=steps, callbacks=callbacks)
    else:
        model.fit(dataset, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=callbacks)


def engine_name(versions=None):
    """Returns an engine and its version, `JAX 0.10.2`.

    Args:
        versions: Dictionary of versions by name, as results have it. Defaults to those of Keras' own engine.
    """
    versions = versions or engine().version()
    return next(f"{label} {versions[name]}" for name, label in _ENGINES.items() if name in versions)


def on_engine():
    """Returns what a title says of the engine: ` · on JAX 0.10.2`."""
    return f" · on {engine_name()}"


@contextlib.contextmanager
def progress_bar():
    """Shows the bars of an experiment's trainings for as long as the context lasts."""
    columns = (
        TextColumn("{task.description:>15}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console()) as progress:
        yield progress


def table(title, headers, rows, caption=None):
    """Returns a table for the screen: the first column names, the others hold numbers."""
    result = Table(title=title, caption=caption, caption_justify="left", title_justify="left")
    for index, header in enumerate(headers):
        result.add_column(header, justify="left" if index == 0 else "right", no_wrap=index == 0 and len(headers) > 6)
    for row in rows:
        result.add_row(*row)
    return result


def findings(history):
    """Returns what is wrong with a run, as a table has it: `GL101 vanishing gradient, layer1: 8.4e-04`, worst first."""
    return [
        f"{one.code} {one.name}{', ' * bool(one.where)}{some(one.where)}: {one.measured:.1e}"
        for one in gradlog.diagnose(history)
        if not one.is_note
    ]


def codes(row):
    """Returns the codes among the findings of a row of results, for a narrow table."""
    return " ".join(dict.fromkeys(one.split()[0] for one in row["findings"])) or "none"


def findings_table(title, rows):
    """Returns a table of the findings of several scenarios, or `None` where there are none.

    Args:
        title: String.
        rows: Rows of results, each with a `scenario` and its `findings`.
    """
    lines = [[row["scenario"], one] for row in rows for one in row["findings"]]
    if not lines:
        return None
    result = table(title, ["scenario", "finding"], lines, "gradlog diagnose says what to try.")
    result.columns[1].justify = "left"
    return result


def ratio(last, first):
    """Returns a last layer's number over a first layer's; `None` where the first gets no gradient at all."""
    return float(last / first) if first else None


def plain(number):
    """Returns a ratio as text: a whole number from 100 on, else two significant digits."""
    if number is None:
        return "-"
    return f"{number:.1e}" if number >= 1e5 else f"{number:,.0f}" if number >= 100 else f"{number:.2g}"


def at_least(least):
    """Returns a type for `argparse`: an integer that is not below `least`."""

    def integer(text):
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is too small, expected {least} or more")
        return value

    return integer


def add_options(parser, default, options):
    """Adds options that hold numbers or names to a parser, each with its default in the help.

    Args:
        parser: An `argparse.ArgumentParser`.
        default: The experiment's default `Config`.
        options: Dictionary of (type, help) by name, as it stands on the command line.
    """
    for name, (kind, text) in options.items():
        value = getattr(default, name.replace("-", "_"))
        metavar = {float: "RATE", str: "NAME"}.get(kind, "N")
        parser.add_argument(f"--{name}", type=kind, default=value, metavar=metavar, help=f"{text} (default: {value})")


def write_description(log_dir, scenario, source, notice, settings):
    """Writes what a run is into TensorBoard's Text tab: the scenario, the data, and a dictionary of settings."""
    lines = [f"**{scenario}** on {source}", *([f"**{notice}**"] if notice else [])]
    rows = [f"| {name} | {value} |" for name, value in settings.items()]
    writer = EventWriter(log_dir)
    writer.write_text(
        0, "experiment", "\n\n".join([*lines, "\n".join(["| setting | value |", "| --- | --- |", *rows])])
    )
    writer.close()


def write_results(log_dir, results, name="results.json"):
    """Writes results as JSON into a directory, with the versions that the numbers were made with."""
    versions = {
        "python": platform.python_version(),
        **engine().version(),
        "keras": keras.__version__,
        "gradlog": gradlog.__version__,
    }
    path = Path(log_dir) / name
    text = json.dumps({**results, "versions": versions}, indent=2)
    path.write_text(_SHORT_LIST.sub(lambda match: f"[{' '.join(match[1].split())}]", text) + "\n")
    return path
