"""GL301: the steps are too large or too small, relative to the weights, for the network to learn.

Why: steps of about a thousandth of the weights work well (Karpathy, cs231n notes, "Ratio of weights:updates"); 1e-4 to
1e-1 is usual (Ben Braiek and Khomh 2022). If the weights hardly move, neither does the loss.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence, started_at_zero
from gradlog.diagnosis.rules.rule import LARGE_STEPS, SMALL_STEPS, Symptom
from gradlog.diagnosis.rules.windows import trailing

_TOO_LARGE = (
    "Lower the learning rate, by a factor of ten to start with.",
    "Clip the gradient: global_clipnorm=1.0.",
    "Start with a warm-up.",
)
_TOO_SMALL = (
    "Raise the learning rate, by a factor of ten to start with.",
    "Use an optimizer that adapts to the size of the gradient, such as Adam.",
    "Check whether a schedule has lowered the learning rate to almost zero.",
)


_NOISE = 1e-8  # below, float32 rounds most of a step away, and what is left goes up and down


@dataclass(frozen=True)
class UpdateRatio:
    """Finds steps that are too large or too small for the weights while the loss is not falling.

    Small steps are not reported while the ratio rises, as in a warm-up, or after it has fallen, as under a schedule.

    Attributes:
        max_ratio: Update ratio of a kernel above which its steps are too large; median of five logged steps.
        exploding: Update ratio above which GL102 reports an explosion instead.
        min_ratio: Update ratio of all kernels below which the steps are too small; median of five logged steps.
        progress: Fraction by which the loss must have fallen for small steps to be fine.
        replaced: Update ratio of half the kernels in the very first step above which it has replaced the weights that
            the network began with: too large where the loss has hardly fallen after it.
        replaced_progress: Fraction by which the loss must have fallen for such a first step to be fine.
        min_steps: Optimizer steps to wait before that is judged.
    """

    max_ratio: float = 0.1
    exploding: float = 0.3
    min_ratio: float = 5e-5
    progress: float = 0.03
    replaced: float = 0.5
    replaced_progress: float = 0.2
    min_steps: int = 50
    code = "GL301"
    name = "update ratio out of range"
    remedies = (*_TOO_LARGE, *_TOO_SMALL)

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields four symptoms."""
        if evidence.kernels:
            ratios = evidence.medians_of_kernels("update_ratio", 5)
            yield self._too_large(evidence, np.where(started_at_zero(evidence), np.nan, ratios))
            yield self._too_small(evidence, ratios)
            yield self._first_steps(evidence)
            yield self._replaced(evidence)

    def _too_large(self, evidence, ratios):
        where = (ratios > self.max_ratio) & (ratios <= self.exploding) & evidence.is_stuck(0.5)[:, None]
        message = "The steps are too large: the update ratio of {where} is {measured}."
        symptom = _large(evidence, ratios, where, self.max_ratio, message)
        return replace(symptom, min_logged_steps=5, is_note=evidence.is_early)

    def _first_steps(self, evidence):
        """Large first steps are common and usually harmless: a hint, reported only if it explains damage."""
        ratios = np.where(started_at_zero(evidence), np.nan, evidence.of_kernels("update_ratio"))
        where = (ratios > self.exploding) & evidence.is_early[:, None] & evidence.is_from_start
        message = "The first steps were too large: the update ratio of {where} was {measured}."
        return replace(_large(evidence, ratios, where, self.exploding, message), min_logged_steps=1, is_hint=True)

    def _replaced(self, evidence):
        is_late = evidence.is_after(self.min_steps) & ~evidence.is_early
        is_on = (evidence.first_ratio > self.replaced) & is_late & evidence.is_stuck(self.replaced_progress)
        return Symptom(
            is_on=is_on,
            measured=np.full(len(is_on), evidence.first_ratio),
            threshold=self.replaced,
            message="The first step replaced the weights: it changed half the kernels by {measured} times their size.",
            remedies=_TOO_LARGE,
            min_logged_steps=1,
            window=len(is_on),
            kind=LARGE_STEPS,
        )

    def _too_small(self, evidence, ratios):
        largest = np.fmax.reduce(ratios, axis=1)
        before = trailing(largest, 6)[:, 0]  # five logged steps ago
        is_rising = (largest > 1.2 * before) & (largest > _NOISE)
        is_fallen = np.fmax.accumulate(largest) > 10 * largest
        is_stuck = evidence.is_stuck(self.progress)
        return Symptom(
            is_on=(largest < self.min_ratio) & (largest > 0) & ~is_rising & ~is_fallen & is_stuck,
            measured=largest,
            threshold=self.min_ratio,
            message="The steps are too small: the largest update ratio is {measured}, and the loss is not falling.",
            remedies=_TOO_SMALL,
            is_lower_worse=True,
            min_logged_steps=10,
            kind=SMALL_STEPS,
        )


def _large(evidence, ratios, where, threshold, message):
    """Returns the symptom of kernels [T, K] whose steps are too large."""
    return Symptom(
        is_on=where.any(axis=1),
        measured=np.fmax.reduce(np.where(where, ratios, np.nan), axis=1),
        threshold=threshold,
        message=message,
        remedies=_TOO_LARGE,
        names=evidence.kernels,
        where=where,
        kind=LARGE_STEPS,
    )
