"""GL403: the loss spikes.

Why: where gradients suddenly grow, an optimizer whose second moment is averaged over a thousand steps divides by what
they were, and makes steps that are too large. Spikes of the loss follow jumps of that ratio by one to eight steps
(Wortsman et al. 2023, "Stable and low-precision training for large-scale vision-language models", section 3.4).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Symptom
from gradlog.diagnosis.rules.windows import trailing, trailing_median
from gradlog.history.names import SECOND_MOMENT_RATIO

_REMEDIES = (
    "Lower beta_2, to 0.99 or 0.95, so that the second moment follows the gradient sooner.",
    "Clip the gradient: global_clipnorm=1.0.",
    "Lower the learning rate, or start with a longer warm-up.",
    "Look at the batches of these steps: a few broken examples do the same.",
)
_WINDOW = 128


@dataclass(frozen=True)
class Spike:
    """Finds a loss far above those of the last 128 logged steps, and a second moment that no longer fits.

    Attributes:
        deviations: Standard deviations above the mean of the last 128 logged losses, from which it is a spike.
        min_window: Logged steps to wait before judging.
        min_part: Part of the first loss, and of the cross-entropy of guessing, that a spike must reach: of a loss near
            zero, one mistake is many deviations.
        jump: Factor of `second_moment_ratio` over its median of the last 32 logged steps, above which it jumps.
        ratio: What the ratio must exceed as well; Wortsman et al. count it as a spike from 2.3.
    """

    deviations: float = 6.0
    min_window: int = 32
    min_part: float = 0.5
    jump: float = 5.0
    ratio: float = 2.3
    code = "GL403"
    name = "loss spike"
    remedies = _REMEDIES

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields two symptoms: the spike, and as a note what foretells one."""
        jumps = self._jumps(evidence)
        yield self._spike(evidence, jumps)
        if jumps is not None:
            yield self._coming(evidence, *jumps)

    def _spike(self, evidence, jumps):
        before = trailing(evidence.loss, _WINDOW + 1)[:, :-1]
        is_enough = np.isfinite(before).sum(axis=1) >= self.min_window
        with np.errstate(invalid="ignore"):
            before = np.where(np.isfinite(before), before, np.nan)
            mean, deviation = _mean(before), np.sqrt(_mean((before - _mean(before)[:, None]) ** 2))
            above = (evidence.loss - mean) / deviation
        is_high = evidence.loss > self.min_part * np.fmax(np.abs(evidence.first_loss), evidence.guess)
        is_on = (above > self.deviations) & is_enough & is_high
        return Symptom(
            is_on=is_on,
            measured=above,
            threshold=self.deviations,
            message=f"The loss spikes: it is {{measured}} standard deviations above the mean{_said(is_on, jumps)}.",
            remedies=_REMEDIES,
            min_logged_steps=1,
        )

    def _jumps(self, evidence):
        """Returns the ratios of all variables [T, V] and where they jump; `None` if there is no second moment."""
        if SECOND_MOMENT_RATIO not in evidence.history.columns:
            return None
        ratios = evidence.of_variables(SECOND_MOMENT_RATIO)
        usual = trailing_median(np.concatenate([np.full((1, ratios.shape[1]), np.nan), ratios[:-1]]), 32)
        is_late = (np.arange(len(ratios)) >= self.min_window)[:, None]
        return ratios, (ratios > self.ratio) & (ratios > self.jump * usual) & is_late

    def _coming(self, evidence, ratios, is_jump):
        return Symptom(
            is_on=is_jump.any(axis=1) & ~evidence.is_good,
            measured=np.fmax.reduce(np.where(is_jump, ratios, np.nan), axis=1),
            threshold=self.ratio,
            message="The gradient of {where} is {measured} times what its second moment expects: a spike may follow.",
            remedies=_REMEDIES,
            names=evidence.variables,
            where=is_jump,
            min_logged_steps=1,
            is_note=True,
        )


def _mean(rows):
    """Returns the mean of what is known in each row [T, n]; NaN where nothing is."""
    count = (~np.isnan(rows)).sum(axis=1)
    return np.where(count > 0, np.nansum(rows, axis=1) / np.maximum(count, 1), np.nan)


def _said(is_on, jumps):
    """Returns what to add where a jump of the second moment's ratio came before each spike."""
    if jumps is None or not is_on.any():
        return ""
    before = trailing(jumps[1].any(axis=1).astype(float), 9)
    came_before = np.nansum(before, axis=1) > 0
    return "; the gradient had outgrown its second moment before" if came_before[is_on].all() else ""
