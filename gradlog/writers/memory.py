"""Keeps Snapshots in memory."""

from gradlog.events.collector import Collector
from gradlog.events.encoder import Encoder
from gradlog.history.history import History, Snapshot


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
