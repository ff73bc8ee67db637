"""LiveDiagnosis: has what is written diagnosed in the writer's thread, and reports findings in the training's own."""

import collections
from collections.abc import Sequence

from gradlog.diagnosis.announcer import Announcer
from gradlog.diagnosis.finding import Finding
from gradlog.diagnosis.monitor import Monitor
from gradlog.diagnosis.rules.rule import Rule
from gradlog.history.history import Snapshot
from gradlog.history.run import Run
from gradlog.session.guard import Guard


class LiveDiagnosis:
    """A `Writer` that diagnoses every step that is written; if that fails, steps are still written.

    Args:
        guard: The `Guard` of the diagnosis.
        rules: The rules, or `None` for all.
        step: Integer, the step at which the training begins.
        earlier: The `Monitor` of the training before, or `None`. A training that continues is one run with it.

    Attributes:
        monitor: The `Monitor`, for a training that continues the run.
        is_continued: Boolean, whether the run began in an earlier training.
    """

    def __init__(self, guard: Guard, rules: Sequence[Rule] | None, step: int, earlier: Monitor | None = None):
        self._guard = guard
        self._news: collections.deque[tuple] = collections.deque()
        self._announcer: Announcer | None = None
        self.is_continued = earlier is not None and earlier.is_before(step)
        if earlier is not None and self.is_continued:
            self.monitor = earlier
            self.monitor.go_on(self._note)
        else:
            self.monitor = Monitor(self._note, rules)

    @property
    def findings(self) -> list[Finding]:
        """What has been found so far, causes first."""
        return self.monitor.findings

    def announce(self, announcer: Announcer) -> None:
        """Has findings reported by an `Announcer` from now on."""
        self._announcer = announcer

    def describe(self, step: int, run: Run) -> None:
        """Says what the run is made of, before its first step is written."""
        self.monitor.describe(step, run)

    def tell(self) -> None:
        """Reports what has been found meanwhile, in the thread that calls it."""
        while self._news and self._announcer is not None:
            self._guard(self._announcer.tell, *self._news.popleft())

    def finish(self) -> None:
        """Diagnoses what was put off, and reports the findings that stand at the end."""
        self._guard(self.monitor.finish)
        self.tell()

    # As a `Writer`.

    def write(self, snapshot: Snapshot) -> None:
        """Has a step diagnosed."""
        self._guard(self.monitor.add, snapshot)

    def write_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Does nothing: rules look at logged steps."""

    def write_text(self, step: int, tag: str, markdown: str) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing: the session calls `finish`, in the training's thread."""

    def _note(self, *news):
        """Keeps what was found until `tell`."""
        self._news.append(news)
