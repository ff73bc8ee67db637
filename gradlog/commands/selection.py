"""Selection: the runs below a directory that a command looks at, and what of each: which variables, which steps."""

import contextlib
import dataclasses
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import gradlog
from gradlog.commands import console
from gradlog.events.reader import find_runs
from gradlog.history import names
from gradlog.history.history import History, Series

# Tags of what is logged of a layer rather than of a variable.
LAYER_TAGS = (names.ACTIVATION_HISTOGRAM, *names.LAYER_SCALARS)
_VARIABLE_TAGS = (*names.SCALAR_TAGS.values(), names.GRADIENT_HISTOGRAM, names.WEIGHT_HISTOGRAM)


class CannotError(Exception):
    """Says in one line why a command cannot do what it was asked for."""


@dataclass(frozen=True)
class Selection:
    """What a command looks at.

    Attributes:
        runs: Compiled regular expression, searched in the names of runs; `None` for all of them.
        variables: The same for variables.
        steps: A tuple (first, last) of steps, both included; `None` where an end is open.
        tags: Patterns of tags, for logs that gradlog did not write, as `gradlog.read` takes them.
    """

    runs: re.Pattern | None = None
    variables: re.Pattern | None = None
    steps: tuple[int | None, int | None] = (None, None)
    tags: dict[str, str] | None = None


def read(log_dir: str | os.PathLike, selection: Selection = Selection()) -> dict[str, History]:
    """Reads the chosen runs in and below a directory, within the chosen steps, with all their variables."""
    return within_steps(read_whole(log_dir, selection), selection)


def read_whole(log_dir: str | os.PathLike, selection: Selection = Selection()) -> dict[str, History]:
    """Reads the chosen runs in and below a directory, from their beginning to the last chosen step.

    What cannot be read of a run is noted on standard error.

    Returns:
        A dictionary of `History` by the run's name: its path below `log_dir`, or the name of `log_dir` itself.

    Raises:
        CannotError: there is no such directory, or nothing in it that was chosen; the message says what there is.
    """
    found = _found(log_dir)
    chosen = [name for name in found if _matches(selection.runs, _shown(name, log_dir))]
    if not chosen:
        there = console.listed(_shown(name, log_dir) for name in found)
        raise CannotError(f"no run matches --runs {selection.runs.pattern!r}; the runs are: {there}")
    runs = {}
    for name in console.counted(chosen, "reading run"):
        history = _read(Path(log_dir) / name, selection.tags)
        for text in history.notes:
            console.note(f"{_shown(name, log_dir)}: {text}")
        runs[_shown(name, log_dir)] = history
    within_steps(runs, selection)  # says so where there are none
    return within_steps(runs, dataclasses.replace(selection, steps=(None, selection.steps[1])))


def _read(path, tags):
    try:
        return gradlog.read(path, tags=tags)
    except ValueError as error:
        raise CannotError(f"--tag: {error}") from error


def with_variables(runs: dict[str, History], selection: Selection) -> dict[str, History]:
    """Returns the runs with the chosen variables alone, and with the layers that these belong to.

    Raises:
        CannotError: no run has such a variable; the message says which there are.
    """
    if selection.variables is None:
        return runs
    there = dict.fromkeys(name for history in runs.values() for name in [*history.variables, *_layers(history)])
    if not any(map(selection.variables.search, there)):
        pattern = selection.variables.pattern
        raise CannotError(f"no variable matches --variables {pattern!r}; there are: {console.listed(there) or 'none'}")
    return {name: _of_variables(history, selection.variables) for name, history in runs.items()}


def has_statistics(history: History) -> bool:
    """Returns whether gradlog wrote any statistics to a run, or whether it is somebody else's."""
    return bool(history.columns)


def kernels(history: History) -> list[str]:
    """Returns the variables that stand for the layers: the kernels, or all where no kernel is among them."""
    return history.kernels() or list(history.variables)


def _found(log_dir):
    path = Path(log_dir)
    if not path.is_dir():
        problem = "is no directory" if path.exists() else "does not exist"
        raise CannotError(f"{str(log_dir)!r} {problem}; expected a directory that runs were logged to")
    if not (found := find_runs(log_dir)):
        raise CannotError(f"there are no event files in or below {str(log_dir)!r}; expected a directory of runs")
    return list(found)


def _shown(name, log_dir):
    return (Path(log_dir).resolve().name or name) if name == "." else name


def _matches(pattern, text):
    return pattern is None or pattern.search(text) is not None


def within_steps(runs: dict[str, History], selection: Selection) -> dict[str, History]:
    """Returns the runs within the chosen steps.

    Raises:
        CannotError: no run has such a step; the message says which there are.
    """
    if selection.steps == (None, None):
        return runs
    first, last = (-np.inf if selection.steps[0] is None else selection.steps[0], selection.steps[1])
    last = np.inf if last is None else last
    result = {name: _of_steps(history, first, last) for name, history in runs.items()}
    if not any(len(history.steps) or history.scalars for history in result.values()):
        there = sorted({step for history in runs.values() for step in history.steps.tolist()})
        span = f"{there[0]} to {there[-1]}" if there else "none"
        raise CannotError(f"no step is within --steps {_span(selection.steps)}; the logged steps are: {span}")
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
    """Checks whether a file can be written, before anything is read.

    Raises:
        CannotError: its ending is none of those that are known, or there is no directory for it.
    """
    path = Path(path)
    if path.suffix.lower() not in endings:
        raise CannotError(f"the output's ending says its format; expected {', '.join(endings)}, received {str(path)!r}")
    if path.is_dir():
        raise CannotError(f"expected a file to write, received the directory {str(path)!r}")
    if not path.parent.is_dir():
        raise CannotError(f"there is no directory {str(path.parent)!r} to write {path.name!r} into; make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise CannotError(f"there is no permission to write {str(path)!r}; choose another file")


def check_installed(package: str, extra: str) -> None:
    """Checks whether a package of an extra is there.

    Raises:
        CannotError: it is not; the message says how to install it.
    """
    if importlib.util.find_spec(package) is None:
        raise CannotError(f"this needs {package}, which is not installed; in a checkout: pip install -e '.[{extra}]'")


@contextlib.contextmanager
def writing(path: str | os.PathLike):
    """Turns what the file system says while a file is written into a `CannotError` that names the file."""
    try:
        yield
    except OSError as error:
        raise CannotError(f"{os.fspath(path)!r} cannot be written: {error.strerror or error}") from error
