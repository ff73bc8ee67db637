"""GL402: the loss wanders up and down, or away.

Why: steps that overshoot the valley throw the loss back up as often as they bring it down. One batch's loss is noisy by
nature, so wandering is told only together with steps that are large and a loss that does not get anywhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence, lasting_median, started_at_zero, trailing, trailing_median
from gradlog.diagnosis.rules.rule import Sign

_REMEDIES = (
    "Lower the learning rate, by a factor of ten to begin with.",
    "Clip the gradient: global_clipnorm=1.0.",
    "Use larger batches, and shuffle them.",
)
_WINDOW = 10


@dataclass(frozen=True)
class Erratic:
    """Finds a loss that wanders while steps are large, or that runs away.

    Attributes:
        spread: Median deviation of ten logged losses from their median, in parts of it, that is wandering.
        step: Update ratio of a kernel, median of five logged steps, that is large.
        progress: Part by which the loss has to have fallen for its wandering to be noise.
        growth: Factor over the first loss, median of seven logged steps, that is running away.
    """

    spread: float = 0.05
    step: float = 0.05
    progress: float = 0.2
    growth: float = 3.0
    code = "GL402"
    name = "loss erratic"

    def signs(self, evidence: Evidence) -> Iterator[Sign]:
        """Yields the two signs."""
        yield self._wandering(evidence)
        yield self._running_away(evidence)

    def _wandering(self, evidence):
        rows = trailing(evidence.loss, _WINDOW)
        middle = trailing_median(evidence.loss, _WINDOW)
        deviations = np.median(np.abs(rows - middle[:, None]), axis=1)  # NaN until there are ten
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = deviations / np.abs(middle)
        is_stuck = evidence.is_stuck(self.progress)
        return Sign(
            is_on=(spread > self.spread) & is_stuck & self._is_large(evidence),
            measured=spread,
            threshold=self.spread,
            message="The loss wanders by {measured} of itself and gets nowhere.",
            remedies=_REMEDIES,
            window=_WINDOW,
        )

    def _is_large(self, evidence):
        if not evidence.kernels:
            return np.zeros(len(evidence.steps), bool)
        ratios = evidence.medians_of_kernels("update_ratio", 5)
        return np.fmax.reduce(np.where(started_at_zero(evidence), np.nan, ratios), axis=1) > self.step

    def _running_away(self, evidence):
        with np.errstate(divide="ignore", invalid="ignore"):
            growth = lasting_median(evidence.loss) / evidence.first_loss
        return Sign(
            is_on=(growth > self.growth) & (evidence.first_loss > 0) & ~evidence.is_good,
            measured=growth,
            threshold=self.growth,
            message="The loss runs away: it is {measured} times the first.",
            remedies=_REMEDIES,
            is_alarm=True,
        )
