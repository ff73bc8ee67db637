"""Reader: event files back into a `History`, without TensorFlow."""

import functools
import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from gradlog.events import foreign, wire
from gradlog.events.collector import Collector
from gradlog.events.records import records
from gradlog.history.history import History


def read(log_dir: str | os.PathLike, tags: Mapping[str, str] | None = None) -> History | dict[str, History]:
    """Reads what a run wrote, also while the run still writes, and also if its files are damaged.

    The content of a file never raises an error: what cannot be read is left out, and `History.notes` says so. A file is
    read record by record. The checksums of every record are verified; a damaged record
    is left out, and the next one is read.

    Several files of one run are read in the order of their names, which begin with a time; where a step comes twice,
    as after a resumed training, the last stands.

    Args:
        log_dir: String or path: the directory of one run, or one above several runs.
        tags: Dictionary that says what tags mean that gradlog did not write, but `tf.summary` or
            `torch.utils.tensorboard`. A statistic's name, `gradient` or `weight` (histograms) go with a pattern of
            tags that has `{variable}` in it; the tag of a scalar, which has a slash, goes with another tag.
            Statistics that histograms tell and scalars do not are estimated from the buckets. Defaults to `None`: tags
            are what gradlog calls them.

    Returns:
        A `History` where `log_dir` itself holds event files; else a dictionary of the runs below it, by their
        path relative to `log_dir`, in alphabetical order, as TensorBoard names them. A directory that cannot be
        listed is a run without content, but with a note.

    Raises:
        FileNotFoundError: The directory does not exist, or has no event file in or below it.
        OSError: the directory cannot be listed.
        TypeError: `tags` is not a dictionary of strings.
        ValueError: a pattern of `tags` has no placeholder, or another than `{variable}`.

    Example:
    ```python
    run = gradlog.read("logs/mnist_activations/sigmoid")
    run.statistic("gradient_mean_abs", "layer1/kernel")     # [T], one number a logged step
    run.scalars["train/loss"].values                        # the same for the loss

    tags = {"gradient_norm": "grads/{variable}", "weight": "weights/{variable}", "train/loss": "Loss/train"}
    gradlog.read("runs/of_pytorch", tags).statistic("gradient_norm")
    ```
    """
    patterns = None if tags is None else foreign.patterns(tags)
    runs = find_runs(log_dir)
    if not runs:
        raise FileNotFoundError(
            "There are no event files to read. Expected a directory that a run was logged to, or one above it. "
            f"Received: log_dir={os.fspath(log_dir)!r}"
        )
    if "." in runs:
        return _read_run(runs["."], patterns)
    return {name: _read_run(files, patterns) for name, files in runs.items()}


def find_runs(log_dir: str | os.PathLike) -> dict[str, list[Path]]:
    """Returns the event files in and below a directory: a dictionary of run names to sorted lists of paths.

    Symbolic links are followed, but a directory that can be reached in several ways is one run, under a name without
    links if it has one. A directory below that cannot be listed stands in its own list, for `read` to say so.

    Raises:
        OSError: `log_dir` itself cannot be listed.
    """
    root, runs = Path(log_dir), {}
    seen: set[tuple[int, int]] = set()
    folders, links = deque([root]), deque[Path]()
    while folders or links:
        folder = (folders or links).popleft()
        name = folder.relative_to(root).as_posix()
        try:
            entries = _entries(folder, seen)
        except (FileNotFoundError, NotADirectoryError):  # also one that was deleted since its parent was listed
            continue
        except OSError as error:
            if folder == root:
                raise type(error)(
                    "The log directory cannot be listed. Expected a directory with permission to read and to enter it; "
                    f"change that with `chmod`. Received: log_dir={os.fspath(log_dir)!r} ({error.strerror})"
                ) from error
            runs[name] = [folder]
            continue
        if files := [path for path in entries if "tfevents" in path.name and _is(path.is_file)]:
            runs[name] = files
        for path in entries:
            if _is(path.is_dir):
                (links if path.is_symlink() else folders).append(path)
    return dict(sorted(runs.items()))


def _entries(folder, seen):
    """Returns what is in a directory, sorted; nothing where it was seen before."""
    status = folder.stat()
    identity = status.st_dev, status.st_ino
    if identity in seen:
        return []
    seen.add(identity)
    return [folder / name for name in sorted(os.listdir(folder))]


def _is(test):
    try:
        return test()
    except OSError:  # a link that leads round in a circle, or behind a directory that cannot be entered
        return False


def _read_run(files, patterns):
    collector, notes = Collector(), Notes()
    for path in files:
        _read_file(path, collector, functools.partial(notes.add, path.name))
    history = collector.history(notes.sentences())
    return history if patterns is None else foreign.renamed(history, patterns)


def _read_file(path, collector, note):
    for record in records(path, note):
        try:
            step, summaries = wire.event(record.data)
            for start, end in summaries:
                collector.add(step, record.data, start, end, note)
        except ValueError as error:
            note(f"is damaged in the record at byte {record.offset}, of which not everything is read: {error}.")


class Notes:
    """Gathers sentences on what could not be read, and of many on one file only the first few."""

    _MAX_OF_A_FILE = 10

    def __init__(self):
        self._by_file = {}

    def add(self, name: str, text: str) -> None:
        """Takes in a sentence that goes on after the file's name."""
        self._by_file.setdefault(name, []).append(text)

    def sentences(self) -> list[str]:
        """Returns the sentences."""
        result = []
        for name, texts in self._by_file.items():
            result += [f"{name} {text}" for text in texts[: self._MAX_OF_A_FILE]]
            if len(texts) > self._MAX_OF_A_FILE:
                result.append(f"{name} has {len(texts) - self._MAX_OF_A_FILE} more such places.")
        return result
