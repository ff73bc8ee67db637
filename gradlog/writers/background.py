"""Writes steps in a thread, so that the training waits neither for their numbers nor for the disk."""

import atexit
import itertools
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from gradlog.history.history import Snapshot
from gradlog.writers.interface import Writer, write_together

SECONDS_TOGETHER = 0.2  # for which steps wait to be written together; a killed process loses no more than that
_PATIENCE = 0.01  # of the time between two logged steps: where a write takes no longer, the training waits for it
SECONDS_AT_FIRST, _MAX_WAIT = 0.1, 0.05  # for which it may wait in all: at first, and after a long time
_SECONDS_OF_A_WRITE = 0.0005  # at first; then it is measured
_BYTES_TOGETHER = 1 << 24  # that are written together
_MAX_BYTES_WAITING = 1 << 30  # beyond which steps are left out


class BackgroundWriter:
    """Passes everything on to another writer in a thread, so that the training does not wait for it.

    Steps that come within 0.2 seconds are written together, since a thread that is awake takes time from the
    training's own. Where they come so seldom that a write takes less than a hundredth of the time between two, the
    training waits for it, so that a killed process loses nothing. An exception of the writer does not reach the
    training: it is kept in `error`, and what comes after is dropped. Where it is slower than the training and more than
    1 GB waits, steps are left out.

    Args:
        writer: The writer that does the work.
        run: Function that runs another one, such as a guard, in the thread. Defaults to `None`, nothing of that kind.
        finished: Function of a list of what was given to `write` that returns their `Snapshot`s; it runs in the thread.
            Defaults to `None`: they are `Snapshot`s.
        wait: Seconds for which the training may wait at first. Defaults to 0.1.

    Attributes:
        error: What the writer raised, or `None`.
        num_left_out: Integer, how many steps were left out.
    """

    def __init__(
        self,
        writer: Writer,
        run: Callable[[Callable], None] | None = None,
        finished: Callable[[list], Iterable[Snapshot]] | None = None,
        wait: float = SECONDS_AT_FIRST,
    ):
        self.error, self.num_left_out = None, 0
        self._writer, self._finished = writer, finished or (lambda steps: steps)
        self._changed = threading.Condition()  # guards what follows
        self._steps: list[Any] = []  # that wait, and functions that write something else
        self._num_put, self._num_done, self._num_bytes, self._bytes_being_written = 0, 0, 0, 0
        self._is_urgent, self._is_closed = False, False
        self._wait, self._last_write, self._seconds_of_a_write = wait, time.perf_counter(), _SECONDS_OF_A_WRITE
        self._thread = threading.Thread(target=run or _call, args=(self._work,), name="gradlog-writer", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # what waits is written even where an error ends the program

    def write(self, step: Any) -> None:
        """Has a `Snapshot`, or what `finished` makes one of, written; waits a little where there is time."""
        now, num_bytes = time.perf_counter(), _num_bytes(step)
        seconds, self._last_write = now - self._last_write, now
        self._wait = max(self._wait, min(self._wait + _PATIENCE * seconds, _MAX_WAIT))
        if self._num_bytes - self._bytes_being_written + num_bytes > _MAX_BYTES_WAITING:
            self.num_left_out += 1
            return
        seconds_of_a_write = self._seconds_of_a_write * (1 + len(self._steps))
        is_seldom = _PATIENCE * seconds > seconds_of_a_write or self._wait > _MAX_WAIT
        has_time = is_seldom and self._wait > seconds_of_a_write
        self._put(step, num_bytes, is_urgent=has_time)
        if has_time:
            self._wait_until(lambda: self._num_done == self._num_put, self._wait)
            self._wait -= time.perf_counter() - now

    def write_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Has numbers, a dictionary by tag, written at a step; waits for it, if not for long."""
        self._put(lambda: self._writer.write_scalars(step, scalars), is_urgent=True)
        self._wait_until(lambda: self._num_done == self._num_put, _MAX_WAIT)

    def write_text(self, step: int, tag: str, markdown: str) -> None:
        """Has Markdown written at a step."""
        self._put(lambda: self._writer.write_text(step, tag, markdown))

    def flush(self) -> None:
        """Waits until everything is written."""
        with self._changed:
            self._is_urgent = True
            self._changed.notify_all()
        while self._thread.is_alive() and self._num_done < self._num_put:
            self._wait_until(lambda: self._num_done == self._num_put, SECONDS_TOGETHER)

    def close(self) -> None:
        """Waits until everything is written, and closes the writer."""
        atexit.unregister(self.close)
        with self._changed:
            self._is_closed = self._is_urgent = True
            self._changed.notify_all()
        self._thread.join()

    def _put(self, step, num_bytes=0, is_urgent=False):
        with self._changed:
            self._steps.append(step)
            self._num_put += 1
            self._num_bytes += num_bytes
            is_much = self._num_bytes - self._bytes_being_written > _BYTES_TOGETHER
            self._is_urgent = self._is_urgent or is_urgent or is_much
            if self._is_urgent or len(self._steps) == 1:
                self._changed.notify_all()

    def _wait_until(self, is_so, seconds):
        with self._changed:
            self._changed.wait_for(is_so, seconds)

    def _work(self):
        is_closed = False
        while not is_closed:
            with self._changed:
                self._changed.wait_for(lambda: self._steps or self._is_urgent)
                self._changed.wait_for(lambda: self._is_urgent, SECONDS_TOGETHER)
                steps, self._steps, self._bytes_being_written = self._steps, [], self._num_bytes
                self._is_urgent, is_closed = False, self._is_closed
            start = time.perf_counter()
            if steps and self.error is None:
                self._try(self._write_all, steps)
            with self._changed:
                self._num_done += len(steps)
                self._num_bytes -= self._bytes_being_written
                self._bytes_being_written = 0
                if steps:
                    self._seconds_of_a_write = (time.perf_counter() - start) / len(steps)
                self._changed.notify_all()
        self._try(self._writer.close)

    def _write_all(self, steps):
        for is_other, group in itertools.groupby(steps, callable):
            if is_other:
                for write in group:
                    write()
            else:
                write_together(self._writer, list(self._finished(list(group))))

    def _try(self, function, *args):
        try:
            function(*args)
        except Exception as error:  # kept for the session, which reports it
            self.error = self.error or error


def _call(function):
    function()


def _num_bytes(step):
    if not isinstance(step, Snapshot):
        return step.num_bytes
    arrays = (step.statistics, step.gradients, step.weights, step.activations, step.attention)
    return sum(array.nbytes for array in arrays if array is not None)
