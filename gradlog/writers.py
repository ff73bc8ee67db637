"""Writers: where snapshots go. Each has the same four methods; several at once are a writer too."""

import itertools
import os
import socket
import time

import tensorflow as tf
from tensorboard.compat.proto import event_pb2, summary_pb2

from gradlog import names, summaries

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

    def __init__(self, log_dir):
        self.log_dir = os.fspath(log_dir)
        self._described, self._nonfinite_seen = set(), set()
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}"
        self.path = os.path.join(self.log_dir, f"{name}.{os.getpid()}.{next(_NUMBERS):04d}.gradlog")
        try:
            tf.io.gfile.makedirs(self.log_dir)
            self._file = tf.io.TFRecordWriter(self.path)
            self._write(event_pb2.Event(file_version="brain.Event:2"))
        except (tf.errors.OpError, OSError) as error:
            raise OSError(
                "The log directory cannot be written. Expected a directory, or a place where one can be made, with "
                f"permission to write; choose another `log_dir`. Received: log_dir={self.log_dir!r} ({error})"
            ) from error

    def write(self, snapshot):
        """Writes a `Snapshot` as one event."""
        self._write_values(snapshot.step, summaries.of_snapshot(snapshot, self._nonfinite_seen))

    def write_scalars(self, step, scalars):
        """Writes numbers, a dictionary by tag, at a step."""
        self._write_values(step, [summaries.scalar(tag, n) for tag, n in scalars.items()])

    def write_text(self, step, tag, markdown):
        """Writes Markdown for the Text tab at a step."""
        self._write_values(step, [summaries.text(tag, markdown)])

    def close(self):
        """Closes the file; nothing can be written afterwards."""
        self._file.close()

    def _write_values(self, step, values):
        for value in values:  # TensorBoard keeps a tag's first metadata, so it is written once a file
            if value.tag in self._described and value.tag != names.STATISTICS_TAG:
                value.ClearField("metadata")
            self._described.add(value.tag)
        self._write(event_pb2.Event(step=step, summary=summary_pb2.Summary(value=values)))

    def _write(self, event):
        event.wall_time = time.time()
        self._file.write(event.SerializeToString())
        self._file.flush()


class MemoryWriter:
    """Keeps what it is given, in the form that an event file has; `history()` gives it back as the reader would."""

    def __init__(self):
        self._collector, self._nonfinite_seen = summaries.Collector(), set()

    def write(self, snapshot):
        """Keeps a `Snapshot`."""
        for value in summaries.of_snapshot(snapshot, self._nonfinite_seen):
            self._collector.add(snapshot.step, value)

    def write_scalars(self, step, scalars):
        """Keeps numbers, a dictionary by tag, at a step."""
        for tag, number in scalars.items():
            self._collector.add(step, summaries.scalar(tag, number))

    def write_text(self, step, tag, markdown):
        """Keeps Markdown at a step."""
        self._collector.add(step, summaries.text(tag, markdown))

    def history(self):
        """Returns a `History` of what was written so far."""
        return self._collector.history()

    def close(self):
        """Does nothing: what is kept can still be read."""


class MultiWriter:
    """Writes to several writers, in their order."""

    def __init__(self, writers):
        self._writers = tuple(writers)

    def write(self, snapshot):
        """Writes a `Snapshot` to each."""
        for writer in self._writers:
            writer.write(snapshot)

    def write_scalars(self, step, scalars):
        """Writes numbers, a dictionary by tag, to each."""
        for writer in self._writers:
            writer.write_scalars(step, scalars)

    def write_text(self, step, tag, markdown):
        """Writes Markdown to each."""
        for writer in self._writers:
            writer.write_text(step, tag, markdown)

    def close(self):
        """Closes each."""
        for writer in self._writers:
            writer.close()
