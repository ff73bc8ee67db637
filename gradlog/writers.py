"""Writers: where snapshots go. Each has the same four methods; several at once are a writer, too."""

import atexit
import contextlib
import itertools
import os
import queue
import socket
import threading
import time

import tensorflow as tf
from tensorboard.compat.proto import event_pb2

from gradlog.collector import Collector
from gradlog.encoder import Encoder, event
from gradlog.history import History, Snapshot

_NUMBERS = itertools.count()
# A killed process loses what is not written yet. Where steps are logged seldom, to wait for it costs nothing.
_PATIENCE = 0.01  # of the time between two logged steps
_SECONDS_OF_A_WRITE, _LONGEST_WAIT = 0.0005, 0.05
_MOST_BYTES_WAITING = 1 << 30  # of snapshots that wait to be written


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
            tf.io.gfile.makedirs(self.log_dir)
            self._file = tf.io.TFRecordWriter(self.path)
            version = event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2")
            self._write(version.SerializeToString())
        except (tf.errors.OpError, OSError) as error:
            raise OSError(
                "The log directory cannot be written. Expected a directory, or a place where one can be made, with "
                f"permission to write; choose another `log_dir`. Received: log_dir={self.log_dir!r} ({error})"
            ) from error

    def write(self, snapshot: Snapshot) -> None:
        """Writes a `Snapshot` as one event."""
        self._write_summary(snapshot.step, self._encoder.snapshot(snapshot))

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
        self._write(event(step, time.time(), summary))

    def _write(self, record):
        if self._is_local and not os.path.exists(self.path):  # an open file takes what nobody will ever see
            raise FileNotFoundError(f"the event file is no longer there: {self.path}")
        self._file.write(record)
        self._file.flush()


class MemoryWriter:
    """Keeps what it is given, in the form that an event file has; `history()` gives it back as the reader would."""

    def __init__(self):
        self._collector, self._encoder = Collector(), Encoder()

    def write(self, snapshot: Snapshot) -> None:
        """Keeps a `Snapshot`."""
        self._keep(snapshot.step, self._encoder.snapshot(snapshot))

    def write_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Keeps numbers, a dictionary by tag, at a step."""
        self._keep(step, self._encoder.scalars(scalars))

    def write_text(self, step: int, tag: str, markdown: str) -> None:
        """Keeps Markdown at a step."""
        self._keep(step, self._encoder.text(tag, markdown))

    def history(self) -> History:
        """Returns a `History` of what was written so far."""
        return self._collector.history()

    def close(self) -> None:
        """Does nothing: what is kept can still be read."""

    def _keep(self, step, summary):
        self._collector.add(step, summary)


class BackgroundWriter:
    """Hands everything on to another writer in a thread of its own, so that the training does not wait for the disk.

    What that writer raises does not reach the training: it is kept in `error`, and what comes after it is dropped.
    Where it is slower than the training, steps are left out rather than that more than 1 GB waits.

    Args:
        writer: The writer that does the work.

    Attributes:
        error: What the writer raised, or `None`.
        num_left_out: Integer, how many snapshots were left out.
    """

    def __init__(self, writer):
        self.error, self.num_left_out = None, 0
        self._writer, self._last_write = writer, time.perf_counter()
        self._calls = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="gradlog-writer", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # what waits is written even where an error ends the program

    def write(self, snapshot: Snapshot) -> None:
        """Has a `Snapshot` written, and waits for it for a small part of the time since the last."""
        if self._calls.qsize() * _num_bytes(snapshot) > _MOST_BYTES_WAITING:
            self.num_left_out += 1
            return
        is_written = threading.Event()

        def write():
            try:
                self._writer.write(snapshot)
            finally:
                is_written.set()

        self._calls.put(write)
        now = time.perf_counter()
        patience, self._last_write = _PATIENCE * (now - self._last_write), now
        if patience > _SECONDS_OF_A_WRITE:
            is_written.wait(min(patience, _LONGEST_WAIT))

    def write_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Has numbers, a dictionary by tag, written at a step."""
        self._calls.put(lambda: self._writer.write_scalars(step, scalars))

    def write_text(self, step: int, tag: str, markdown: str) -> None:
        """Has Markdown written at a step."""
        self._calls.put(lambda: self._writer.write_text(step, tag, markdown))

    def close(self) -> None:
        """Waits until everything is written, and closes the writer."""
        atexit.unregister(self.close)
        self._calls.put(None)
        self._thread.join()

    def _work(self):
        while (call := self._calls.get()) is not None:
            if self.error is None:
                self._try(call)
        self._try(self._writer.close)

    def _try(self, call):
        try:
            call()
        except Exception as error:  # whatever it is, the training goes on
            self.error = self.error or error


def _num_bytes(snapshot):
    arrays = (snapshot.statistics, snapshot.gradients, snapshot.weights, snapshot.activations)
    return sum(array.nbytes for array in arrays if array is not None)


class MultiWriter:
    """Writes to several writers, in their order."""

    def __init__(self, writers):
        self._writers = tuple(writers)

    def write(self, snapshot: Snapshot) -> None:
        """Writes a `Snapshot` to each."""
        for writer in self._writers:
            writer.write(snapshot)

    def write_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Writes numbers, a dictionary by tag, to each."""
        for writer in self._writers:
            writer.write_scalars(step, scalars)

    def write_text(self, step: int, tag: str, markdown: str) -> None:
        """Writes Markdown to each."""
        for writer in self._writers:
            writer.write_text(step, tag, markdown)

    def close(self) -> None:
        """Closes each, also where another cannot be."""
        with contextlib.ExitStack() as stack:
            for writer in reversed(self._writers):
                stack.callback(writer.close)
