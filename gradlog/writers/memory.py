"""Keeps Snapshots in memory."""

import threading

from gradlog.events.collector import Collector
from gradlog.events.encoder import Encoder
from gradlog.history.history import History, Snapshot


class MemoryWriter:
    """Keeps what is written, in the form of an event file; `history()` gives it back as the reader would.

    It may be read in one thread while another one writes.
    """

    def __init__(self):
        self._collector, self._encoder, self._lock = Collector(), Encoder(), threading.Lock()

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
        """Returns a `History` of what was written so far, of whole steps only."""
        with self._lock:
            return self._collector.history()

    def close(self) -> None:
        """Does nothing: what is kept can still be read."""

    def _keep(self, step, summary):
        with self._lock:
            self._collector.add(step, summary)
