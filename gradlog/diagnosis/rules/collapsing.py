"""GL303: the weights of a layer collapse to zero.

Why: weight decay or a regularizer that is stronger than the gradient shrinks the weights at every step, until the layer
passes no signal on.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Symptom

_REMEDIES = (
    "Reduce the weight decay or the regularization, by a factor of ten to start with.",
    "Exclude biases and normalization layers from the weight decay.",
    "Lower the learning rate if the weight decay is multiplied by it.",
)


@dataclass(frozen=True)
class Collapsing:
    """Finds kernels whose norm has fallen to a small fraction of what it was.

    Attributes:
        fraction: Fraction of the largest norm so far below which the weights have collapsed.
        alarm_fraction: Fraction below which this is an alarm.
    """

    fraction: float = 0.01
    alarm_fraction: float = 0.001
    code = "GL303"
    name = "weights collapsing to zero"
    remedies = _REMEDIES

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields one symptom."""
        if not evidence.kernels or not len(evidence.steps):
            return
        norms = evidence.of_kernels("weight_norm")
        is_broken = evidence.of_kernels("gradient_nonfinite") > 0  # NaN weights have no norm
        with np.errstate(divide="ignore", invalid="ignore"):
            fractions = np.where(is_broken, np.nan, norms / np.fmax.accumulate(norms, axis=0))
        where = fractions < self.fraction
        smallest = np.fmin.reduce(fractions, axis=1)
        yield Symptom(
            is_on=np.any(where, axis=1),
            measured=smallest,
            threshold=self.fraction,
            message="The weights of {where} collapse to zero: their norm is {measured} times its largest value.",
            remedies=_REMEDIES,
            names=evidence.kernels,
            where=where,
            is_alarm=smallest < self.alarm_fraction,
            is_lower_worse=True,
        )
