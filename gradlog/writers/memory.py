"""Keeps Snapshots in memory."""

import threading

from gradlog.history.builder import HistoryBuilder
from gradlog.history.history import History, Snapshot
from gradlog.stats.snapshots import histograms


class MemoryWriter:
    """Keeps what is written; `history()` gives it back as the reader would.

    It may be read in one thread while another one writes.
    """

    def __init__(self):
        self._builder, self._lock = HistoryBuilder(), threading.Lock()

    def write(self, snapshot: Snapshot) -> None:
        """Keeps a `Snapshot`."""
        rows_by_tag = dict(histograms(snapshot))
        with self._lock:
            self._builder.add(snapshot)
            for tag, rows in rows_by_tag.items():
                self._builder.add_histogram(snapshot.step, tag, rows)

    def write_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Keeps numbers, a dictionary by tag, at a step."""
        with self._lock:
            self._builder.add_scalars(step, scalars)

    def write_text(self, step: int, tag: str, markdown: str) -> None:
        """Keeps Markdown at a step."""
        with self._lock:
            self._builder.add_text(step, tag, markdown)

    def history(self) -> History:
        """Returns a `History` of what was written so far, of whole steps only."""
        with self._lock:
            return self._builder.history()

    def close(self) -> None:
        """Does nothing: what is kept can still be read."""
