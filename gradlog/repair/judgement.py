"""Judgement: which of two candidates is better, and when one is healed."""

import math

from gradlog.diagnosis.finding import Finding
from gradlog.repair.candidate import Candidate
from gradlog.repair.task import LOSS, Task
from gradlog.repair.trial import Outcome

_OF_LOSS = 0.02  # share of a loss, which is more than chance


class Judge:
    """Compares the candidates of a search.

    Args:
        task: `Task`.
        mistakes: The `Finding`s of `gradlog.check`.
        original: The `Candidate` without changes.
        short: Integer, the epochs after which candidates are compared.
        epochs: Integer, of a whole training.
    """

    def __init__(self, task: Task, mistakes: tuple[Finding, ...], original: Candidate, short: int, epochs: int):
        self._task, self._mistakes, self._original = task, mistakes, original
        self._short, self._epochs = short, epochs

    @property
    def margin(self) -> float:
        """How far two scores have to differ to count; of losses a share of that of the original."""
        score = self._original.outcome(self._epochs).score
        return self._task.margin or (_OF_LOSS * abs(score) if math.isfinite(score) else 0.0)

    def is_healthy(self, outcome: Outcome) -> bool:
        """Whether nothing is wrong at the end, and something was learned: much, if the set-up is wrong."""
        if outcome.failure or outcome.problems or not self._task.is_learned(outcome.score):
            return False
        return self._task.is_good(outcome.score) or not any(not one.is_note for one in self._mistakes)

    def is_healed(self, candidate: Candidate) -> bool:
        """Whether a candidate is healthy after a whole training, and has learned much."""
        outcome = candidate.outcome(self._epochs)
        if candidate is self._original or not self.is_healthy(outcome):
            return False
        return self._task.is_good(outcome.score) or self._task.kind == LOSS

    def is_missed(self, candidate: Candidate, whole: Candidate, epochs: int) -> bool:
        """Whether what was left out of a whole is missed: the score is clearly worse, or there are more problems."""
        one, other = candidate.outcome(epochs), whole.outcome(epochs)
        return one.score < other.score - self.margin or _badness(one) > _badness(other)

    def shows_early(self, candidate: Candidate) -> bool:
        """Whether a part of a training comes halfway from guessing to what the whole one reaches, so that it tells."""
        part, whole = (candidate.outcome(epochs).score for epochs in (self._short, self._epochs))
        return self._task.kind == LOSS or part - self._task.chance >= (whole - self._task.chance) / 2

    def has_gained(self, candidate: Candidate, base: Candidate) -> bool:
        """Whether a part of a training already comes further than the whole one of the base, and than guessing."""
        to_beat = max(base.outcome(self._epochs).score, self._task.chance)
        return candidate.outcome(self._short).score > to_beat + self.margin

    def is_promising(self, candidate: Candidate) -> bool:
        """Whether a candidate is silent, and halfway to perfect, after a part of a training."""
        outcome = candidate.outcome(self._short)
        return self._task.is_good(outcome.score) and self.is_healthy(outcome)

    def is_better(self, candidate: Candidate, base: Candidate, epochs: int) -> bool:
        """Whether a candidate's score is clearly better, or it has fewer problems and is not clearly worse."""
        one, other = candidate.outcome(epochs), base.outcome(epochs)
        if one.failure:
            return False
        if one.score > other.score + self.margin:
            return True
        has_fewer = _badness(one) < _badness(other)
        return has_fewer and one.score >= other.score - self.margin

    def rank(self, candidate: Candidate) -> tuple:
        """A sort key, larger for better candidates: a score counts most, but for what is not clearly apart.

        Then one that changes less counts more; of those that have learned nothing yet, the one that changes most.
        """
        outcome, step = candidate.outcome(self._short), self.margin or 1e-9
        rough = round(outcome.score / step) if math.isfinite(outcome.score) else -math.inf
        changes = len(candidate.changes) * (-1 if self._task.is_learned(outcome.score) else 1)
        return rough, -_badness(outcome), changes, outcome.score


def _badness(outcome):
    """Returns how bad the findings at the end are: alarms count most."""
    return sum(10 if one.severity == "alarm" else 1 for one in outcome.problems if not one.cause)
