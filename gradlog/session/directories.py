"""Directories: where a run goes."""

import glob
import os

from gradlog.history import names

_BYTES_OF_A_START = 1 << 16  # of an event file: its first logged step begins there


def run_directory(log_dir: str, is_new: bool) -> str:
    """Returns the directory of a training: `log_dir`, or a numbered one in it.

    A new run never goes where another one is: TensorBoard would draw both as one. A training that is resumed continues
    in the directory of the last run.

    Args:
        log_dir: String, the directory that was asked for.
        is_new: Boolean, whether the training starts at step 0.
    """
    directory, following = log_dir, numbered(log_dir, 2)
    while holds_a_run(following) or (is_new and holds_a_run(directory)):
        directory, following = following, numbered(log_dir, int(os.path.basename(following)) + 1)
    return directory


def numbered(log_dir: str, number: int) -> str:
    """Returns the directory of a later run in a log directory."""
    return os.path.join(log_dir, str(number))


def holds_a_run(log_dir: str) -> bool:
    """Whether steps were logged to a directory; another program's event file there, or a text alone, does not count."""
    for path in glob.glob(os.path.join(glob.escape(log_dir), "*.gradlog")):
        with open(path, "rb") as file:
            if names.STATISTICS_TAG.encode() in file.read(_BYTES_OF_A_START):
                return True
    return False
