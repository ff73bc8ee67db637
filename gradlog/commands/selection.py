"""Selection: which runs, variables and steps a command uses."""

import contextlib
import dataclasses
import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import gradlog
from gradlog.commands import console
from gradlog.events.reader import find_runs
from gradlog.history import names
from gradlog.history.history import History, Series

# Tags of layers rather than variables.
LAYER_TAGS = (names.ACTIVATION_HISTOGRAM, *names.LAYER_SCALARS)
_VARIABLE_TAGS = (*names.SCALAR_TAGS.values(), names.GRADIENT_HISTOGRAM, names.WEIGHT_HISTOGRAM)


class CommandError(Exception):
    """The command cannot do what was asked; the message says why in one line."""


@dataclass(frozen=True)
class Selection:
    """What a command uses.

    Attributes:
        runs: Compiled regular expression to search in the names of runs; `None` for all runs.
        variables: The same for variables.
        steps: A tuple (first, last) of steps, inclusive; `None` for an open end.
        tags: Patterns of tags, for logs that gradlog did not write, as `gradlog.read` takes them.
    """

    runs: re.Pattern | None = None
    variables: re.Pattern | None = None
    steps: tuple[int | None, int | None] = (None, None)
    tags: dict[str, str] | None = None


def read(log_dir: str | os.PathLike, selection: Selection = Selection()) -> dict[str, History]:
    """Reads the chosen runs in a directory, within the chosen steps, with all variables."""
    return within_steps(read_whole(log_dir, selection), selection)


def read_whole(log_dir: str | os.PathLike, selection: Selection = Selection()) -> dict[str, History]:
    """Reads the chosen runs in a directory, from their beginning to the last chosen step.

    Notes on standard error name what could not be read.

    Returns:
        A dictionary of `History` by the run's name: its path below `log_dir`, or the name of `log_dir` itself.

    Raises:
        CommandError: If the directory or the selection does not exist; the message lists what exists.
    """
    found = _found(log_dir)
    chosen = [name for name in found if _matches(selection.runs, _shown(name, log_dir))]
    if selection.runs is not None and not chosen:
        there = console.listed(_shown(name, log_dir) for name in found)
        raise CommandError(f"no run matches --runs {selection.runs.pattern!r}; available runs: {there}")
    runs = {}
    for name in console.counted(chosen, "reading run"):
        history = _read(Path(log_dir) / name, selection.tags)
        for text in history.notes:
            console.note(f"{_shown(name, log_dir)}: {text}")
        runs[_shown(name, log_dir)] = history
    within_steps(runs, selection)  # raises if there are none
    return within_steps(runs, dataclasses.replace(selection, steps=(None, selection.steps[1])))


def _read(path, tags):
    try:
        return gradlog.read(path, tags=tags)
    except ValueError as error:
        raise CommandError(f"--tag: {error}") from error


def with_variables(runs: dict[str, History], selection: Selection) -> dict[str, History]:
    """Returns the runs with only the chosen variables and the layers that they belong to.

    Raises:
        CommandError: If no run has such a variable; the message lists the variables.
    """
    if selection.variables is None:
        return runs
    there = dict.fromkeys(name for history in runs.values() for name in [*history.variables, *_layers(history)])
    if not any(map(selection.variables.search, there)):
        pattern = selection.variables.pattern
        raise CommandError(f"no variable matches --variables {pattern!r}; available: {console.listed(there) or 'none'}")
    return {name: _of_variables(history, selection.variables) for name, history in runs.items()}


def has_statistics(history: History) -> bool:
    """Returns whether a run has statistics, which gradlog writes and other programs do not."""
    return bool(history.columns)


def kernels(history: History) -> list[str]:
    """Returns the variables that represent the layers: the kernels, or all variables if there are none."""
    return history.kernels() or list(history.variables)


def _found(log_dir):
    path = Path(log_dir)
    if not path.is_dir():
        problem = "is not a directory" if path.exists() else "does not exist"
        raise CommandError(f"{str(log_dir)!r} {problem}; expected a directory with logged runs")
    if not (found := find_runs(log_dir)):
        raise CommandError(f"no event files in or below {str(log_dir)!r}; expected a directory with logged runs")
    return list(found)


def _shown(name, log_dir):
    return (Path(log_dir).resolve().name or name) if name == "." else name


def _matches(pattern, text):
    return pattern is None or pattern.search(text) is not None


def within_steps(runs: dict[str, History], selection: Selection) -> dict[str, History]:
    """Returns the runs within the chosen steps.

    Raises:
        CommandError: If no run has such a step; the message gives the range of steps.
    """
    if selection.steps == (None, None):
        return runs
    first, last = selection.steps
    bounds = (-np.inf if first is None else first, np.inf if last is None else last)
    result = {name: _of_steps(history, *bounds) for name, history in runs.items()}
    if not any(len(history.steps) or history.scalars for history in result.values()):
        there = sorted({step for history in runs.values() for step in history.steps.tolist()})
        span = f"{there[0]} to {there[-1]}" if there else "none"
        raise CommandError(f"no logged step is within --steps {_span(selection.steps)}; logged steps: {span}")
    return result


def _span(steps):
    return ":".join("" if end is None else str(end) for end in steps)


def _of_steps(history, first, last):
    def cut(series):
        parts = {tag: _cut(part, first, last) for tag, part in series.items()}
        return {tag: part for tag, part in parts.items() if len(part.steps)}

    is_in = (history.steps >= first) & (history.steps <= last)
    changed = {"steps": history.steps[is_in], "statistics": history.statistics[is_in]}
    changed |= {field: cut(getattr(history, field)) for field in ("scalars", "histograms", "texts")}
    return dataclasses.replace(history, **changed)


def _cut(series, first, last):
    start, stop = np.searchsorted(series.steps, [first, last + 1])
    return Series(series.steps[start:stop], series.values[start:stop])


def _layers(history):
    """Returns the layers whose activations were logged."""
    tags = [tag.partition("/") for tag in (*history.scalars, *history.histograms)]
    return list(dict.fromkeys(layer for prefix, _, layer in tags if prefix in LAYER_TAGS))


def _of_variables(history, pattern):
    keep = [index for index, name in enumerate(history.variables) if pattern.search(name)]
    variables = tuple(history.variables[index] for index in keep)
    owners = {name.rpartition("/")[0] for name in variables}
    layers = {layer for layer in _layers(history) if pattern.search(layer) or layer in owners}

    def is_kept(tag):
        prefix, _, name = tag.partition("/")
        if prefix in LAYER_TAGS:
            return name in layers
        return name in variables or name not in history.variables or prefix not in _VARIABLE_TAGS

    return dataclasses.replace(
        history,
        variables=variables,
        statistics=history.statistics[:, keep],
        scalars={tag: series for tag, series in history.scalars.items() if is_kept(tag)},
        histograms={tag: series for tag, series in history.histograms.items() if is_kept(tag)},
    )


def check_output(path: str | os.PathLike, endings: tuple[str, ...]) -> None:
    """Checks, before anything is read, that a file can be written.

    Raises:
        CommandError: If its extension is unknown, or it cannot be written there.
    """
    path = Path(path)
    if path.suffix.lower() not in endings:
        raise CommandError(f"unknown output format; expected {', '.join(endings)}, received {str(path)!r}")
    if path.is_dir():
        raise CommandError(f"expected an output file, received the directory {str(path)!r}")
    if not path.parent.is_dir():
        raise CommandError(f"the directory {str(path.parent)!r} does not exist; create it before writing {path.name!r}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise CommandError(f"no permission to write {str(path)!r}; choose another file")


def check_installed(package: str, extra: str) -> None:
    """Checks that a package of an extra is installed.

    Raises:
        CommandError: If it is not; the message says how to install it.
    """
    if importlib.util.find_spec(package) is None:
        raise CommandError(f"{package} is not installed; install it in a checkout with: pip install -e '.[{extra}]'")


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Turns an `OSError` during writing into a `CommandError` that names the file."""
    try:
        yield
    except OSError as error:
        raise CommandError(f"cannot write {os.fspath(path)!r}: {error.strerror or error}") from error
