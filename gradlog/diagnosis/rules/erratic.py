"""GL402: the loss oscillates without falling, or diverges: upwards, or below zero without end.

Why: steps that overshoot the minimum raise the loss as often as they lower it. The loss of a single batch is noisy by
nature, so oscillation is reported only if the steps are large and the loss is not falling. A cross-entropy is at least
zero as long as its labels are probabilities; outside of 0 to 1 it has no lower bound.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.checks.setup import CROSS_ENTROPIES
from gradlog.diagnosis.rules.evidence import RUNAWAY, Evidence, started_at_zero
from gradlog.diagnosis.rules.rule import Symptom
from gradlog.diagnosis.rules.windows import lasting_median, trailing, trailing_median

_REMEDIES = (
    "Lower the learning rate, by a factor of ten to start with.",
    "Clip the gradient: global_clipnorm=1.0.",
    "Use larger batches, and shuffle the data.",
)
_NO_BOUND = (
    "Check the targets: cross-entropy needs labels or probabilities from 0 to 1, Poisson loss counts of at least 0.",
    "For targets that are numbers, use mean squared or mean absolute error.",
)
_WINDOW = 10


@dataclass(frozen=True)
class Erratic:
    """Finds a loss that oscillates while the steps are large, that diverges, or that runs away below zero.

    Attributes:
        spread: Median absolute deviation of ten logged losses over their median, above which the loss oscillates.
        update_ratio: Update ratio of a kernel above which a step is large; median of five logged steps.
        progress: Fraction by which the loss must have fallen for its oscillation to count as noise.
        growth: Factor over the first loss above which the loss diverges; median of seven logged steps.
        below_zero: How far a cross-entropy may be below zero, as by rounding; median of three logged steps.
    """

    spread: float = 0.05
    update_ratio: float = 0.05
    progress: float = 0.2
    growth: float = 3.0
    below_zero: float = 1e-3
    code = "GL402"
    name = "loss erratic"
    remedies = (*_REMEDIES, *_NO_BOUND)

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields four symptoms."""
        yield self._oscillating(evidence)
        yield self._diverging(evidence)
        yield self._running_away(evidence)
        yield self._below_zero(evidence)

    def _oscillating(self, evidence):
        rows = trailing(evidence.loss, _WINDOW)
        middle = trailing_median(evidence.loss, _WINDOW)
        deviations = np.median(np.abs(rows - middle[:, None]), axis=1)  # NaN for the first nine
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = deviations / np.abs(middle)
        is_stuck = evidence.is_stuck(self.progress)
        return Symptom(
            is_on=(spread > self.spread) & is_stuck & self._is_large(evidence),
            measured=spread,
            threshold=self.spread,
            message="The loss oscillates without falling: its median deviation is {measured} times its median.",
            remedies=_REMEDIES,
            window=_WINDOW,
        )

    def _is_large(self, evidence):
        if not evidence.kernels:
            return np.zeros(len(evidence.steps), bool)
        ratios = evidence.medians_of_kernels("update_ratio", 5)
        return np.fmax.reduce(np.where(started_at_zero(evidence), np.nan, ratios), axis=1) > self.update_ratio

    def _diverging(self, evidence):
        with np.errstate(divide="ignore", invalid="ignore"):
            growth = lasting_median(evidence.loss) / evidence.first_loss
        return Symptom(
            is_on=(growth > self.growth) & (evidence.first_loss > 0) & ~evidence.is_good & ~evidence.is_low,
            measured=growth,
            threshold=self.growth,
            message="The loss diverges: it is {measured} times the first loss.",
            remedies=_REMEDIES,
            is_alarm=True,
        )

    def _running_away(self, evidence):
        return Symptom(
            is_on=evidence.is_runaway,
            measured=evidence.loss,
            threshold=-RUNAWAY,
            message="The loss runs away below zero, to {measured}: it has no lower bound for these targets.",
            remedies=_NO_BOUND,
            is_alarm=True,
            is_lower_worse=True,
        )

    def _below_zero(self, evidence):
        """A cross-entropy below zero, before it has run away."""
        losses = [one.loss for one in evidence.run.outputs] if evidence.run is not None else []
        is_cross_entropy = bool(losses) and all(loss in CROSS_ENTROPIES for loss in losses)
        middle = trailing_median(evidence.loss, 3)
        return Symptom(
            is_on=(middle < -self.below_zero) & ~evidence.is_runaway & is_cross_entropy,
            measured=middle,
            threshold=-self.below_zero,
            message="The loss is {measured}, but a cross-entropy below zero has labels outside of 0 to 1.",
            remedies=_NO_BOUND,
            is_alarm=True,
            is_lower_worse=True,
        )
