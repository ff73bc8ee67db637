"""Search: which changes are tried, within how many trainings.

The original is trained first. What was found leads: the changes proposed for it, one by one and the first two together,
run a quarter of a training side by side; those that do no better than the original did by then are dropped, and the
best of the others is trained to its end (successive halving, Jamieson and Talwalkar 2016). Where it does not heal, the
next changes are tried on top of it. Some of the trainings are kept for the proof.
"""

import dataclasses
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradlog.diagnosis.finding import Finding
from gradlog.repair.case import Case
from gradlog.repair.changes.change import Change
from gradlog.repair.changes.table import left_out, proposed
from gradlog.repair.task import LOSS
from gradlog.repair.training import Training
from gradlog.repair.trial import Outcome, Trial

_SHARE = 0.25  # of a training, that a candidate runs at first
_MIN_SHORT_STEPS = 40
_WIDTH = 4  # candidates side by side


@dataclass(frozen=True)
class Tried:
    """One training that was tried: a row of the report.

    Attributes:
        changes: The `Change`s; none for the original.
        seed: Integer.
        outcome: `Outcome`.
        cost: Number, the share of a training that it took.
        log_dir: String, the directory of its run; empty if it is not kept.
    """

    changes: tuple[Change, ...]
    seed: int
    outcome: Outcome
    cost: float
    log_dir: str

    @property
    def name(self) -> str:
        """What was tried: `original`, or the names of the changes."""
        return " + ".join(said(one) for one in self.changes) or "original"


@dataclass
class Budget:
    """How many trainings, and how many seconds, may still be spent.

    Attributes:
        trainings: Number.
        seconds: Number, or `None` for no limit.
        spent: Number of trainings.
    """

    trainings: float
    seconds: float | None
    spent: float = 0.0
    began: float = dataclasses.field(default_factory=time.monotonic)

    def allows(self, trainings: float, reserve: float = 0.0) -> bool:
        """Whether so many trainings more may be spent, with others held back."""
        is_late = self.seconds is not None and self.elapsed * (1 + reserve / max(self.spent, 1)) > self.seconds
        return self.spent + trainings + reserve <= self.trainings + 1e-9 and not is_late

    @property
    def elapsed(self) -> float:
        """The seconds since it began."""
        return time.monotonic() - self.began


class Search:
    """Tries changes to a training.

    Args:
        case: `Case`.
        epochs: Integer, of a whole training.
        budget: `Budget`, which is spent.
        reserve: Number of trainings that are kept for the proof.
        log_dir: Path; each training has its own directory there.
        advance: Function that is called after each epoch.
        is_kept: Boolean, whether the runs stay there; then histograms are logged as well.

    Attributes:
        tried: Dictionary of changes and seed to the `Tried` trainings, in their order.
        original: The `Candidate` without changes.
        best: The best `Candidate`.
    """

    def __init__(
        self,
        case: Case,
        epochs: int,
        budget: Budget,
        reserve: float,
        log_dir: Path,
        advance: Callable[[], None] = lambda: None,
        is_kept: bool = True,
    ):
        self._case, self._task, self._epochs, self._budget = case, case.task, epochs, budget
        self._reserve, self._log_dir, self._advance, self._is_kept = reserve, log_dir, advance, is_kept
        data = case.data
        steps = max(1, -(-len(data.train) // data.batch_size))
        self._short = min(epochs, max(math.ceil(_SHARE * epochs), math.ceil(_MIN_SHORT_STEPS / steps)))
        self.tried: dict[tuple, Tried] = {}
        self.original = self.best = Candidate((), case.training)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found in the original training and before it, causes first."""
        outcome = self.original.outcomes.get((0, self._epochs), Outcome(0.0))
        known = {one.code for one in outcome.findings}
        return (*outcome.findings, *(one for one in self._case.mistakes if one.code not in known))

    @property
    def note(self) -> str:
        """What a reader must know: of the data, and which changes could not be tried."""
        names = left_out(self.original.trial.observed()) if self.original.trial is not None else []
        kind = type(self.original.training.model).__name__
        left = f"The layers of a subclassed model, {kind}, cannot be changed. Not tried: {', '.join(names)}."
        return " ".join(filter(None, (self._case.data.note, left if names else "")))

    def train_original(self) -> None:
        """Trains the original, once to the point where candidates are compared, and to its end."""
        self.run(self.original, 0, self._short)
        self.run(self.original, 0, self._epochs)

    def is_healthy(self, outcome: Outcome) -> bool:
        """Whether nothing is wrong at the end, and something was learned: much, if the set-up is wrong."""
        if outcome.failure or outcome.problems or not self._task.is_learned(outcome.score):
            return False
        return self._task.is_good(outcome.score) or not any(not one.is_note for one in self._case.mistakes)

    def is_original_healthy(self) -> bool:
        """Whether the original is healthy, and either learned nearly everything or nothing was ever wrong with it.

        A problem that has closed may still have cost much of what could be learned.
        """
        outcome = self.original.outcome(self._epochs)
        was_never_sick = all(one.is_note for one in outcome.findings)
        return self.is_healthy(outcome) and (was_never_sick or self._task.is_nearly_perfect(outcome.score))

    def improve(self) -> None:
        """Tries changes until one heals, none is left, or the trainings are used up."""
        while not self._is_healed():
            base = self.best
            changes = proposed(base.trial.observed(self._case.mistakes)) if base.trial is not None else []
            candidates = self._candidates(base, changes)
            if not candidates:
                break
            self._try(base, candidates)

    def run(self, candidate: "Candidate", seed: int, epochs: int) -> Outcome:
        """Trains a candidate until so many epochs are done."""
        if candidate.trial is None:
            candidate.trial = self._trial(candidate)
        key = candidate.changes, seed
        before = self.tried[key].outcome.epochs if key in self.tried else 0
        outcome = candidate.trial.train(seed, epochs)
        candidate.outcomes[seed, epochs] = outcome
        self._budget.spent += (outcome.epochs - before) / self._epochs
        cost = outcome.epochs / self._epochs
        log_dir = candidate.trial.log_dir if self._is_kept else ""
        self.tried[key] = Tried(candidate.changes, seed, outcome, cost, log_dir)
        return outcome

    # What it is made of.

    def _is_healed(self):
        outcome = self.best.outcome(self._epochs)
        if self.best is self.original or not self.is_healthy(outcome):
            return False
        return self._task.is_good(outcome.score) or self._task.kind == LOSS

    def _candidates(self, base, changes):
        """Returns the next candidates: as many as the budget allows to try and one of them to train to its end."""
        singles, share, found = [(one,) for one in changes], self._short / self._epochs, []
        both = [(changes[0], changes[1])] if len(changes) > 1 else []
        tried = {frozenset(names) for names, _ in self.tried}  # in any order
        for added in [*singles[: _WIDTH - 1], *both, *singles[_WIDTH - 1 :]]:
            if len(found) == _WIDTH or not self._budget.allows((len(found) + 1) * share + 1 - share, self._reserve):
                break
            candidate = base.with_changes(added, self.original)
            if candidate is not None and frozenset(candidate.changes) not in tried:
                found.append(candidate)
                tried.add(frozenset(candidate.changes))
        return found

    def _try(self, base, candidates):
        """Runs candidates side by side, and the best of them to its end; it becomes the best if it is."""
        running = []
        for candidate in candidates:
            outcome = self.run(candidate, 0, self._short)
            is_ahead = outcome.score > base.outcome(self._epochs).score + self._task.margin
            if is_ahead or self._is_better(candidate, base, self._short):
                running.append(candidate)
            if self._is_promising(candidate):
                break
        running.sort(key=lambda one: self._rank(one.outcome(self._short)), reverse=True)
        for candidate in running:
            if not self._budget.allows(1 - self._short / self._epochs, self._reserve):
                break
            self.run(candidate, 0, self._epochs)
            if self._is_better(candidate, base, self._epochs):
                self.best = candidate
                break
        for candidate in (*candidates, base):
            if candidate not in (self.best, self.original) and candidate.trial is not None:
                candidate.trial.forget()

    def _is_promising(self, candidate):
        """Whether a candidate is silent, and halfway to perfect, after a part of a training."""
        outcome = candidate.outcome(self._short)
        return self._task.is_good(outcome.score) and self.is_healthy(outcome)

    def _is_better(self, candidate, base, epochs):
        """Whether a candidate's score is clearly better, or it has fewer problems and is not clearly worse."""
        one, other = candidate.outcome(epochs), base.outcome(epochs)
        if one.failure:
            return False
        if one.score > other.score + self._task.margin:
            return True
        has_fewer = _badness(one) < _badness(other)
        return has_fewer and one.score >= other.score - self._task.margin

    def _rank(self, outcome):
        """A sort key, larger for better outcomes: a score counts most, but for what is not clearly apart."""
        step = self._task.margin or 1e-9
        rough = round(outcome.score / step) if math.isfinite(outcome.score) else -math.inf
        return rough, -_badness(outcome), outcome.score

    def _trial(self, candidate):
        name = f"{len(self.tried):02d}_{_slug(candidate.changes)}"
        start = self._case.start if candidate.keeps_model(self.original) else None
        parts = candidate.training, self._case.data, self._task, self._epochs, self._log_dir / name
        return Trial(*parts, start, self._advance, histograms=self._is_kept)


class Candidate:
    """A training with changes, and what came of it.

    Args:
        changes: The `Change`s, in the order in which they are made.
        training: The changed `Training`.

    Attributes:
        trial: The `Trial` of its trainings, or `None` where none has begun.
        codes: Tuple of the lines of code of each change.
        outcomes: Dictionary of pairs of a seed and a number of epochs to `Outcome`s.
    """

    def __init__(self, changes: tuple[Change, ...], training: Training):
        self.changes, self.training = changes, training
        self.trial: Trial | None = None
        self.outcomes: dict[tuple[int, int], Outcome] = {}
        self.codes: tuple[str, ...] = ()

    def outcome(self, epochs: int, seed: int = 0) -> Outcome:
        """Returns what had come of it after so many epochs."""
        return self.outcomes[seed, epochs]

    def with_changes(self, added: Sequence[Change], original: "Candidate") -> "Candidate | None":
        """Returns a candidate with more changes, or `None` where the model cannot be changed so.

        A change takes the place of an earlier one of its name, and of those that it overrides.
        """
        changes, training, codes = self.changes, original.training, []
        for one in added:
            gone = {one.name, *getattr(one, "overrides", ())}
            changes = (*(other for other in changes if other.name not in gone), one)
        try:
            for one in changes:
                codes.append(one.code(training))
                training = one.applied(training)
        except (ValueError, TypeError, AttributeError):  # of a layer that Keras cannot make so
            return None
        candidate = Candidate(changes, training)
        candidate.codes = tuple(codes)
        return candidate

    def keeps_model(self, other: "Candidate") -> bool:
        """Whether the model is that of another candidate."""
        return self.training.model is other.training.model


def said(change: Change) -> str:
    """Returns a change in a few words: its name and its arguments, such as `learning rate 0.001`."""
    values = [one for one in dataclasses.astuple(change) if isinstance(one, (str, int, float))]
    return " ".join([change.name, *(f"{one:g}" if isinstance(one, float) else str(one) for one in values)])


def _badness(outcome):
    """Returns how bad the findings at the end are: alarms count most."""
    return sum(10 if one.severity == "alarm" else 1 for one in outcome.problems if not one.cause)


def _slug(changes):
    return re.sub("[^a-z0-9]+", "_", " ".join(map(said, changes[-2:])).lower()).strip("_") or "original"
