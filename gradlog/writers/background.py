"""Writes Snapshots in a thread, so that the training does not wait for the disk."""

import atexit
import queue
import threading
import time
from collections.abc import Callable

from gradlog.history.history import Snapshot
from gradlog.writers.interface import Writer

# A killed process loses what is not written yet. If steps are logged rarely, waiting for the write costs nothing.
_PATIENCE = 0.01  # of the time between two logged steps
_SECONDS_OF_A_WRITE, _MAX_WAIT = 0.0005, 0.05
_MAX_BYTES_WAITING = 1 << 30  # of snapshots that wait to be written


class BackgroundWriter:
    """Passes everything on to another writer in a thread, so that the training does not wait for the disk.

    An exception of that writer does not reach the training: it is kept in `error`, and what comes after is dropped.
    Where it is slower than the training and more than 1 GB waits, steps are left out.

    Args:
        writer: The writer that does the work.
        run: Function that runs another one, such as a guard, in the thread. Defaults to `None`, nothing of that kind.

    Attributes:
        error: What the writer raised, or `None`.
        num_left_out: Integer, how many snapshots were left out.
    """

    def __init__(self, writer: Writer, run: Callable[[Callable], None] | None = None):
        self.error, self.num_left_out = None, 0
        self._writer, self._last_write = writer, time.perf_counter()
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=run or _call, args=(self._work,), name="gradlog-writer", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # what waits is written even where an error ends the program

    def write(self, snapshot: Snapshot) -> None:
        """Has a `Snapshot` written, and waits for it for a small part of the time since the last."""
        if self._calls.qsize() * _num_bytes(snapshot) > _MAX_BYTES_WAITING:
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
            is_written.wait(min(patience, _MAX_WAIT))

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
        except Exception as error:  # kept for the session, which reports it
            self.error = self.error or error


def _call(function):
    function()


def _num_bytes(snapshot):
    arrays = (snapshot.statistics, snapshot.gradients, snapshot.weights, snapshot.activations, snapshot.attention)
    return sum(array.nbytes for array in arrays if array is not None)
