"""GL301: a step changes the weights by too much, or by too little, for the network to learn.

Why: a step of about a thousandth of the weights is what works (Karpathy, notes to cs231n, "Ratio of weights:updates");
between 1e-4 and 1e-1 is usual (Ben Braiek and Khomh 2022). With weights that hardly move, the loss does not.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence, started_at_zero, trailing
from gradlog.diagnosis.rules.rule import Sign

_TOO_LARGE = (
    "Lower the learning rate, by a factor of ten to begin with.",
    "Clip the gradient: global_clipnorm=1.0.",
    "Begin with a warm-up.",
)
_TOO_SMALL = (
    "Raise the learning rate, by a factor of ten to begin with.",
    "Use an optimizer that adapts to the gradient's size, such as Adam.",
    "Look whether a schedule has brought the learning rate to nothing.",
)


@dataclass(frozen=True)
class UpdateRatio:
    """Finds steps that are too large for the weights, or too small, while the loss is not falling.

    Too small is told only where the ratio neither rises, as in a warm-up, nor has fallen, as under a schedule.

    Attributes:
        largest: Update ratio of a kernel, median of five logged steps. From `exploding` on it is an explosion: GL102.
        exploding: Where that begins.
        smallest: The same of all kernels.
        progress: Part by which the loss has to have fallen for small steps to do.
    """

    largest: float = 0.1
    exploding: float = 0.3
    smallest: float = 5e-5
    progress: float = 0.03
    code = "GL301"
    name = "update ratio out of range"

    def signs(self, evidence: Evidence) -> Iterator[Sign]:
        """Yields the two signs."""
        if evidence.kernels:
            ratios = evidence.medians_of_kernels("update_ratio", 5)
            yield self._too_large(evidence, np.where(started_at_zero(evidence), np.nan, ratios))
            yield self._too_small(evidence, ratios)

    def _too_large(self, evidence, ratios):
        is_stuck = evidence.is_stuck(0.5)
        where = (ratios > self.largest) & (ratios <= self.exploding) & is_stuck[:, None]
        return Sign(
            is_on=where.any(axis=1),
            measured=np.fmax.reduce(np.where(where, ratios, np.nan), axis=1),
            threshold=self.largest,
            message="The steps are too large: one changes {where} by {measured} of its weights.",
            remedies=_TOO_LARGE,
            names=evidence.kernels,
            where=where,
            least=5,
        )

    def _too_small(self, evidence, ratios):
        largest = np.fmax.reduce(ratios, axis=1)
        before = trailing(largest, 6)[:, 0]  # five logged steps ago
        is_rising = largest > 1.2 * before
        is_fallen = np.fmax.accumulate(largest) > 10 * largest
        is_stuck = evidence.is_stuck(self.progress)
        return Sign(
            is_on=(largest < self.smallest) & (largest > 0) & ~is_rising & ~is_fallen & is_stuck,
            measured=largest,
            threshold=self.smallest,
            message="The steps are too small: at most {measured} of a kernel's weights, and the loss does not fall.",
            remedies=_TOO_SMALL,
            is_worst_small=True,
            least=10,
        )
