"""What every experiment does around its networks: a fresh directory, a progress bar, a table, `results.json`."""

import contextlib
import json
import platform
from pathlib import Path

import keras
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import gradlog

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

    def on_train_batch_end(self, batch, logs=None):
        """Shows the steps done, and the loss."""
        self._progress.update(self._task, completed=batch + 1, loss=f"loss {logs['loss']:.3f}")


@contextlib.contextmanager
def progress_bar():
    """Shows the bars of an experiment's trainings for as long as the context lasts."""
    columns = (
        TextColumn("{task.description:>12}"),
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
        result.add_column(header, justify="left" if index == 0 else "right")
    for row in rows:
        result.add_row(*row)
    return result


def write_results(log_dir, results, name="results.json"):
    """Writes results as JSON into a directory, with the versions that the numbers were made with."""
    versions = {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "gradlog": gradlog.__version__,
    }
    path = Path(log_dir) / name
    path.write_text(json.dumps({**results, "versions": versions}, indent=2) + "\n")
    return path
