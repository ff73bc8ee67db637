"""Search: which changes are tried, within how many trainings.

The original is trained first. What was found leads: the first two changes proposed for it, then both together, then
others run a quarter of a training side by side; those that do no better than the original did by then are dropped, and
the best of the others is trained to its end (successive halving, Jamieson and Talwalkar 2016). Where none does better,
or the best does not heal, everything that is unusual is made usual at once, and the next changes are tried on top of
the best. Where nothing is left to try, what was dropped first gets a whole training: a network may be slow at first.
Where several changes heal together, each is left out in turn, and stays out if it is not missed. Some of the trainings
are kept for the proof.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path

from gradlog.diagnosis.checks.small_steps import StepsTooSmall
from gradlog.diagnosis.finding import Finding
from gradlog.repair.budget import Budget
from gradlog.repair.candidate import Candidate, Tried, said
from gradlog.repair.case import Case
from gradlog.repair.changes.table import left_out, proposed, together, unusual_in
from gradlog.repair.judgement import Judge
from gradlog.repair.task import LOSS
from gradlog.repair.trial import Outcome, Trial

_SHARE = 0.25  # of a training, that a candidate runs at first
_MIN_SHORT_STEPS = 40
_WIDTH = 4  # candidates side by side


class Search:
    """Tries changes to a training.

    Args:
        case: `Case`.
        epochs: Integer, of a whole training.
        budget: `Budget`, which is spent.
        seeds: Integer, how many seeds the proof compares; the trainings that it takes are kept for it.
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
        seeds: int,
        log_dir: Path,
        advance: Callable[[], None] = lambda: None,
        is_kept: bool = True,
    ):
        self._case, self._task, self._epochs, self._budget = case, case.task, epochs, budget
        self._seeds, self._log_dir, self._advance, self._is_kept = seeds, log_dir, advance, is_kept
        data = case.data
        steps = max(1, -(-len(data.train) // data.batch_size))
        self._short = min(epochs, max(math.ceil(_SHARE * epochs), math.ceil(_MIN_SHORT_STEPS / steps)))
        self.tried: dict[tuple, Tried] = {}
        self.original = self.best = Candidate((), case.training)
        self._known: list[tuple] = []  # keys of those that were run
        self._dropped: list[Candidate] = []  # on top of the best one, after a part of a training
        self._judge = Judge(case.task, case.mistakes, self.original, self._short, epochs)

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
        names_of_unusual = ", ".join(dict.fromkeys(one.name for one in self._unusual))
        is_silent = all(one.is_note for one in self.findings) and names_of_unusual
        unusual = f"Nothing was found, but these settings are unusual: {names_of_unusual}."
        return " ".join(filter(None, (self._case.data.note, left if names else "", unusual if is_silent else "")))

    @property
    def margin(self) -> float:
        """How far two scores have to differ to count."""
        return self._judge.margin

    def train_original(self) -> None:
        """Trains the original, once to the point where candidates are compared, and to its end."""
        self.run(self.original, 0, self._short)
        self.run(self.original, 0, self._epochs)

    def is_original_healthy(self) -> bool:
        """Whether the original is healthy, and learned nearly everything, or nothing was ever wrong or unusual.

        A problem that has closed may still have cost much of what could be learned, and where steps are too small to
        move the weights, what the untrained network gets right by chance passes for learned.
        """
        outcome = self.original.outcome(self._epochs)
        is_moving = all(one.code != StepsTooSmall.code for one in self._case.mistakes)
        is_sound = is_moving and all(one.is_note for one in outcome.findings) and not self._unusual
        return self._judge.is_healthy(outcome) and (is_sound or self._task.is_nearly_perfect(outcome.score))

    def improve(self) -> None:
        """Tries changes until one heals, none is left, or the trainings are used up; then leaves out what it can."""
        is_first = True
        while not self._judge.is_healed(self.best) and self._try_on(self.best, is_first):
            is_first = False
        self._finish_dropped()
        self._improve_further()
        self._leave_out()

    def run(self, candidate: Candidate, seed: int, epochs: int) -> Outcome:
        """Trains a candidate until so many epochs are done."""
        if candidate.trial is None:
            candidate.trial = self._trial(candidate)
            self._known.append(candidate.key)
        key = candidate.changes, seed
        before = candidate.trial.done(seed)
        outcome = candidate.trial.train(seed, epochs)
        candidate.outcomes[seed, epochs] = outcome
        cost = (candidate.trial.done(seed) - before) / self._epochs
        self._budget.spent += cost
        log_dir = candidate.trial.log_dir if self._is_kept else ""
        cost += self.tried[key].cost if key in self.tried else 0.0
        self.tried[key] = Tried(candidate.changes, seed, outcome, cost, self._budget.spent, log_dir)
        return outcome

    # What it is made of.

    @property
    def _unusual(self):
        """The changes of what is unusual in the original, in itself; none where it has learned something before."""
        has_learned = self._case.start is not None and self._case.start.is_learned
        is_known = self.original.trial is not None and not has_learned and self._task.kind != LOSS
        return unusual_in(self.original.trial.observed()) if is_known else []

    @property
    def _reserve(self):
        """The trainings that are kept for the proof: as many of the original as of the change."""
        original = self.original.outcomes.get((0, self._epochs))
        return (self._seeds - 1) * (1 + (original.epochs / self._epochs if original is not None else 1))

    @property
    def _to_the_end(self):
        """What it takes to train a candidate from the point where candidates are compared to its end."""
        return 1 - self._short / self._epochs

    def _try_on(self, base, is_first):
        """Tries changes on top of a candidate; returns whether any was left to try."""
        changes = proposed(base.trial.observed(self._case.mistakes)) if base.trial is not None else []
        singles = [(one,) for one in changes]
        both = [(changes[0], changes[1])] if len(changes) > 1 else []
        wanted = [*singles[:2], *both, *singles[2:]]
        if is_first:
            return self._try(base, self._candidates(base, wanted), otherwise=lambda: self._of_all(base))
        return self._try(base, self._candidates(base, wanted, self._of_all(base)))

    def _candidates(self, base, wanted, beside=()):
        """Returns the next candidates: as many as the budget allows to try and one of them to train to its end.

        Those that are to be tried `beside` come first.
        """
        share, found = self._short / self._epochs, list(beside)
        for added in wanted:
            if len(found) == _WIDTH or not self._allows((len(found) + 1) * share + self._to_the_end):
                break
            candidate = base.with_changes(added, self.original)
            if candidate is not None and not candidate.is_one_of([*self._known, *(one.key for one in found)]):
                found.append(candidate)
        return found

    def _of_all(self, base):
        """Returns the candidate in which everything is usual, on top of a base that is good; none if it was tried.

        A change that heals nothing alone may stand in the way of others.
        """
        base = base if self._task.is_good(base.outcome(self._epochs).score) else self.original
        changes = together(self.original.trial.observed(self._case.mistakes))
        return self._candidates(base, [[one for one in changes if base.is_changed_by(one)]])

    def _allows(self, trainings):
        return self._budget.allows(trainings, self._reserve)

    def _try(self, base, candidates, otherwise=lambda: []):
        """Runs candidates side by side, and the best of them to its end; it becomes the best if it is.

        Where no score is ahead of the base's by then, those that `otherwise` returns run beside them.

        Returns:
            Whether there was anything to try.
        """
        running = self._ahead_of(base, candidates)
        if not any(self._judge.has_gained(one, base) for one in running):
            added = otherwise()
            running += self._ahead_of(base, added)
            candidates = [*added, *candidates]
        running.sort(key=self._judge.rank, reverse=True)
        for candidate in running:
            if not self._allows(self._to_the_end):
                break
            self.run(candidate, 0, self._epochs)
            if self._judge.is_better(candidate, base, self._epochs):
                self._take(candidate)
                break
        dropped = [one for one in candidates if self._may_learn_later(one)]
        self._dropped = [*self._dropped, *dropped][:_WIDTH] if self.best is base else []
        for candidate in candidates:
            if candidate is not self.best and candidate.trial is not None:
                candidate.trial.forget()
        return bool(candidates)

    def _take(self, candidate):
        """Makes a candidate the best one, and lets go of the model of the one before."""
        if self.best not in (self.original, candidate):
            self.best.trial.forget()
        self.best = candidate

    def _may_learn_later(self, candidate):
        """Whether a candidate was run, and dropped before its end; not one that failed or whose loss was not finite."""
        short, whole = (candidate.outcomes.get((0, epochs)) for epochs in (self._short, self._epochs))
        return whole is None and short is not None and not short.failure and short.epochs > self._short - 0.01

    def _ahead_of(self, base, candidates):
        """Runs candidates a part of a training; returns those that are worth the rest. A promising one ends it."""
        found = []
        for candidate in candidates:
            self.run(candidate, 0, self._short)
            if self._judge.has_gained(candidate, base) or self._judge.is_better(candidate, base, self._short):
                found.append(candidate)
            if self._judge.is_promising(candidate):
                break
        return found

    def _finish_dropped(self):
        """Trains the first of those that were dropped to their end, until one heals."""
        for candidate in self._dropped:
            if self._judge.is_healed(self.best) or not self._allows(1.0):
                break
            self.run(candidate, 0, self._epochs)
            if self._judge.is_better(candidate, self.best, self._epochs):
                self._take(candidate)
            else:
                candidate.trial.forget()
        self._dropped = []

    def _improve_further(self):
        """Tries changes on top of what has healed, where there is still something to gain.

        Where it is much, any; else those that make everything usual.
        """
        healed = self.best
        if self._task.kind == LOSS or not self._judge.is_healed(healed):
            return
        score = healed.outcome(self._epochs).score
        if not self._task.has_come_far(score):
            self._try_on(healed, is_first=False)
        elif not self._task.is_nearly_perfect(score):
            self._try(healed, self._of_all(healed))
        if not self._judge.is_healed(self.best):
            self._take(healed)

    def _leave_out(self):
        """Leaves out each of several changes that heal, if it is not missed."""
        whole, kept = self.best, self.best
        if len(whole.changes) < 2 or not self._judge.is_healed(whole):
            return
        enough = self._short if self._judge.shows_early(whole) else self._epochs
        for change in reversed(whole.changes):
            if not self._allows(1.0):
                break
            candidate = kept.without(change, self.original)
            if candidate is None or candidate.is_one_of(self._known):
                continue
            self.run(candidate, 0, enough)
            if not self._judge.is_missed(candidate, whole, enough):
                kept = candidate
            else:
                candidate.trial.forget()
        if kept is not whole:
            self.run(kept, 0, self._epochs)
            if self._judge.is_healed(kept) and not self._judge.is_missed(kept, whole, self._epochs):
                self._take(kept)

    def _trial(self, candidate):
        name = f"{len(self.tried):02d}_{_slug(candidate.changes)}"
        start = self._case.start if candidate.keeps_model(self.original) else None
        parts = candidate.training, self._case.data, self._task, self._epochs, self._log_dir / name
        return Trial(*parts, start, self._advance, histograms=self._is_kept)


def _slug(changes):
    return re.sub("[^a-z0-9]+", "_", " ".join(map(said, changes[-2:])).lower()).strip("_") or "original"
