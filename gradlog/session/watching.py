"""Watching: has what is written diagnosed, in the thread that writes it."""

from gradlog.diagnosis.monitor import Monitor
from gradlog.history.history import Snapshot
from gradlog.session.guard import Guard


class MonitorWriter:
    """Hands every `Snapshot` to a `Monitor`, as a `Writer`; if that fails, steps are still written.

    Args:
        monitor: The `Monitor`.
        guard: The `Guard` of the diagnosis.
    """

    def __init__(self, monitor: Monitor, guard: Guard):
        self._monitor, self._guard = monitor, guard

    def write(self, snapshot: Snapshot) -> None:
        """Has a step diagnosed."""
        self._guard(self._monitor.add, snapshot)

    def write_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Does nothing: rules look at logged steps."""

    def write_text(self, step: int, tag: str, markdown: str) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing: the diagnosis of the end is the session's."""
