"""Writes Snapshots to an event file."""

import itertools
import os
import socket
import time
from collections.abc import Sequence

from tensorboard.compat.proto import event_pb2

from gradlog.events.encoder import Encoder, event
from gradlog.events.records import framed
from gradlog.history.history import Snapshot

_NUMBERS = itertools.count()


class EventWriter:
    """Writes to an event file, which an ordinary TensorBoard shows.

    The file is flushed at every write: TensorBoard beside the training is live, and a killed process loses
    nothing that was written.

    Args:
        log_dir: String or path, the run's directory; made if it is missing.

    Raises:
        OSError: the directory or the file cannot be made.
    """

    def __init__(self, log_dir: str | os.PathLike):
        self.log_dir = os.fspath(log_dir)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}"
        self.path = os.path.join(self.log_dir, f"{name}.{os.getpid()}.{next(_NUMBERS):04d}.gradlog")
        self._encoder, self._is_local = Encoder(), "://" not in self.log_dir
        try:
            self._file = _opened(self.log_dir, self.path)
            version = event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2")
            self._write([version.SerializeToString()])
        except KeyboardInterrupt:  # an empty file would look like a damaged run
            if self._is_local and os.path.exists(self.path):
                os.remove(self.path)
            raise
        except OSError as error:
            raise OSError(
                "The log directory cannot be written. Expected a directory, or a place where one can be made, with "
                f"permission to write; choose another `log_dir`. Received: log_dir={self.log_dir!r} ({error})"
            ) from error

    def write(self, snapshot: Snapshot) -> None:
        """Writes a `Snapshot` as one event."""
        self.write_together([snapshot])

    def write_together(self, snapshots: Sequence[Snapshot]) -> None:
        """Writes several `Snapshot`s, an event each, at once."""
        now = time.time()
        self._write(event(one.step, one.wall_time or now, self._encoder.snapshot(one)) for one in snapshots)

    def write_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Writes numbers, a dictionary by tag, at a step."""
        self._write_summary(step, self._encoder.scalars(scalars))

    def write_text(self, step: int, tag: str, markdown: str) -> None:
        """Writes Markdown for the Text tab at a step."""
        self._write_summary(step, self._encoder.text(tag, markdown))

    def close(self) -> None:
        """Closes the file; nothing can be written afterwards."""
        self._file.close()

    def _write_summary(self, step, summary):
        self._write([event(step, time.time(), summary)])

    def _write(self, records):
        if self._is_local and not os.path.exists(self.path):  # writing to a deleted file raises nothing
            raise FileNotFoundError(f"the event file is no longer there: {self.path}")
        self._file.write(b"".join(map(framed, records)))
        self._file.flush()


def _opened(log_dir, path):
    """Returns a new file in a directory, which is made if it is missing."""
    if "://" not in log_dir:
        os.makedirs(log_dir, exist_ok=True)
        return open(path, "wb")
    from tensorboard.compat import tf  # TensorFlow where it is installed, else TensorBoard's own file systems

    try:
        tf.io.gfile.makedirs(log_dir)
        return tf.io.gfile.GFile(path, "wb")
    except Exception as error:  # each file system has its own
        raise OSError(str(error)) from error
