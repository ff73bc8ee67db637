"""Reader: event files back into a `History`, without TensorFlow."""

import os
import struct
from pathlib import Path

from tensorboard.compat.proto import event_pb2

from gradlog.collector import Collector
from gradlog.history import History

_HEADER = struct.Struct("<QI")  # length of the record, checksum of the length
_CHECKSUM_BYTES = 4


def read(log_dir: str | os.PathLike) -> History | dict[str, History]:
    """Reads what a run wrote.

    Args:
        log_dir: String or path: the directory of one run, or one above several runs.

    Returns:
        A `History` where `log_dir` itself holds event files; else a dictionary of the runs below it, by their
        path relative to `log_dir`, in alphabetical order, as TensorBoard names them.

    Raises:
        FileNotFoundError: there is no such directory, or no event file in or below it.

    Example:
    ```python
    run = gradlog.read("logs/mnist_activations/sigmoid")
    run.statistic("gradient_mean_abs", "layer1/kernel")     # [T], one number a logged step
    run.scalars["train/loss"].values                        # the same for the loss
    ```
    """
    runs = find_runs(log_dir)
    if not runs:
        raise FileNotFoundError(
            "There are no event files to read. Expected a directory that a run was logged to, or one above it. "
            f"Received: log_dir={os.fspath(log_dir)!r}"
        )
    if "." in runs:
        return _read_run(runs["."])
    return {name: _read_run(files) for name, files in runs.items()}


def find_runs(log_dir: str | os.PathLike) -> dict[str, list[Path]]:
    """Returns the event files in and below a directory: a dictionary of run names to sorted lists of paths."""
    root, runs = Path(log_dir), {}
    for path in sorted(root.rglob("*tfevents*")):
        if path.is_file():
            runs.setdefault(path.parent.relative_to(root).as_posix(), []).append(path)
    return dict(sorted(runs.items()))


def _read_run(files):
    collector = Collector()
    for path in files:
        for record in _records(path):
            event = event_pb2.Event.FromString(record)
            for value in event.summary.value:
                collector.add(event.step, value)
    return collector.history()


def _records(path):
    """Yields the records of an event file; one that is not complete yet ends it."""
    with open(path, "rb") as file:
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            length, _ = _HEADER.unpack(header)
            record = file.read(length)
            if len(record) < length or len(file.read(_CHECKSUM_BYTES)) < _CHECKSUM_BYTES:
                return
            yield record
