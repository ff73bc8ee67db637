"""Writes Snapshots to several writers."""

import contextlib
from collections.abc import Iterable, Sequence

from gradlog.history.history import Snapshot
from gradlog.writers.interface import Writer, write_together


class MultiWriter:
    """Writes to several writers, in their order."""

    def __init__(self, writers: Iterable[Writer]):
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

    def write_together(self, snapshots: Sequence[Snapshot]) -> None:
        """Writes several `Snapshot`s to each."""
        for writer in self._writers:
            write_together(writer, snapshots)

    def close(self) -> None:
        """Closes each, also where another cannot be."""
        with contextlib.ExitStack() as stack:
            for writer in reversed(self._writers):
                stack.callback(writer.close)
