"""Diagnoses a run while it trains, by the same rules as afterwards."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from gradlog.diagnosis.diagnose import findings_by_symptom
from gradlog.diagnosis.finding import SEVERITIES, Finding
from gradlog.diagnosis.rules.rule import Rule
from gradlog.history import names
from gradlog.history.builder import HistoryBuilder
from gradlog.history.history import History, Snapshot
from gradlog.history.run import Run

_SECONDS, _PART_OF_THE_TIME = 0.1, 0.01  # that diagnosing may take: at once, and of the time that passes
_MAX_BYTES, _MIN_STEPS = 1 << 26, 1000  # of statistics that are kept; at least so many logged steps are


class Monitor:
    """Diagnoses what was logged so far, again and again, and reports what is new.

    A diagnosis looks at the whole run, so it takes longer the more steps were logged. It is postponed while diagnosing
    has taken more than a hundredth of the time, unless a number is newly not finite. The last diagnosis, in `finish`,
    is the one that `diagnose` makes of the event file afterwards. Of very long runs, beyond 64 MB of statistics, every
    second logged step is kept, then every fourth, and so on.

    Args:
        tell: Function of a list of those `Finding`s that are new, became alarms, or healed, and of all that stand,
            worst first; and the step. It is called whenever the first list is not empty, and at the end where the
            second has changed since.
        rules: The rules. Defaults to `None`, for all.

    Attributes:
        findings: List of all that stands, in the order of `diagnose`.
    """

    def __init__(self, tell: Callable[[list[Finding], list[Finding], int], None], rules: Sequence[Rule] | None = None):
        self._tell, self._rules = tell, rules
        self._builder = HistoryBuilder()
        self._told: dict[tuple[str, int], Finding] = {}
        self.findings: list[Finding] = []
        self._written: list[Finding] = []
        self._broken: set[str] = set()
        self._begun = self._ended = time.perf_counter()
        self._spent = 0.0
        self._is_behind = False
        self._num_steps, self._stride = 0, 1

    def describe(self, step: int, run: Run) -> None:
        """Says what the run is made of, before the first step is added."""
        self._builder.add_text(step, names.RUN_TAG, run.to_json())

    def add(self, snapshot: Snapshot) -> None:
        """Adds a logged step, and diagnoses."""
        broken = _broken(snapshot)
        is_newly_broken = not broken <= self._broken
        self._broken |= broken
        self._num_steps += 1
        if (self._num_steps - 1) % self._stride and not is_newly_broken:
            return
        self._keep(snapshot)
        self._is_behind = self._spent > _SECONDS + _PART_OF_THE_TIME * (time.perf_counter() - self._begun)
        if is_newly_broken or not self._is_behind:
            self._diagnose()

    def _keep(self, snapshot):
        self._builder.add(snapshot)
        if self._builder.num_steps >= max(_MIN_STEPS, _MAX_BYTES // max(1, snapshot.statistics.nbytes)):
            self._builder.keep(sorted(self._builder.steps)[::2])
            self._stride *= 2

    def is_before(self, step: int) -> bool:
        """Whether a training that starts at a step continues this run."""
        return max(self._builder.steps, default=step) < step

    def go_on(self, tell: Callable) -> None:
        """Continues the same run in another training, and reports to another function."""
        self._tell = tell
        self._begun += time.perf_counter() - self._ended  # the time between two trainings does not count

    def finish(self) -> None:
        """Diagnoses the postponed steps, and reports the findings that stand at the end."""
        if self._is_behind:
            self._diagnose()
        if self.findings != self._written:
            self._tell([], self.findings, max(self._builder.steps))
        self._ended = time.perf_counter()

    def history(self) -> History:
        """Returns what was added so far, without histograms."""
        return self._builder.history()

    def _diagnose(self):
        start = time.perf_counter()
        history, self._is_behind = self.history(), False
        found = findings_by_symptom(history, self._rules)
        news = {key: finding for key, finding in found.items() if _is_news(self._told.get(key), finding)}
        self._told |= news
        self._spent += time.perf_counter() - start
        self.findings = list(found.values())
        if news:
            self._written = self.findings
            self._tell(list(news.values()), self.findings, int(history.steps[-1]))


def _broken(snapshot):
    """Returns the names of what is not finite at a step."""
    found = {tag for tag, number in snapshot.scalars.items() if not np.isfinite(number)}
    if names.NONFINITE in snapshot.columns:
        counts = snapshot.statistics[:, snapshot.columns.index(names.NONFINITE)]
        found.update(snapshot.variables[index] for index in np.flatnonzero(counts > 0))
    return found


def _is_news(told, finding):
    """Whether a finding is new, has a worse severity than it was told with, or healed, or came back."""
    if told is None or (told.last_step is None) != (finding.last_step is None):
        return True
    return SEVERITIES.index(finding.severity) < SEVERITIES.index(told.severity)
