"""GL303: the weights of a layer shrink to nothing.

Why: weight decay or a regularizer that is stronger than the gradient takes a part of the weights away at every step,
and what is left of a layer passes nothing on.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Sign

_REMEDIES = (
    "Weaken the weight decay or the regularizer, by a factor of ten to begin with.",
    "Leave biases and normalization out of the weight decay.",
    "Lower the learning rate, if the decay is multiplied by it.",
)


@dataclass(frozen=True)
class Collapsing:
    """Finds kernels whose norm is a small part of what it was.

    Attributes:
        part: Of the largest norm so far.
        alarm_part: The same where it is an alarm.
    """

    part: float = 0.01
    alarm_part: float = 0.001
    code = "GL303"
    name = "weights collapsing to zero"

    def signs(self, evidence: Evidence) -> Iterator[Sign]:
        """Yields the one sign."""
        if not evidence.kernels or not len(evidence.steps):
            return
        norms = evidence.of_kernels("weight_norm")
        is_broken = evidence.of_kernels("gradient_nonfinite") > 0  # weights of NaN have no norm
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = np.where(is_broken, np.nan, norms / np.fmax.accumulate(norms, axis=0))
        where = parts < self.part
        smallest = np.fmin.reduce(parts, axis=1)
        yield Sign(
            is_on=where.any(axis=1),
            measured=smallest,
            threshold=self.part,
            message="The weights of {where} shrink to nothing: to {measured} of what they were.",
            remedies=_REMEDIES,
            names=evidence.kernels,
            where=where,
            is_alarm=smallest < self.alarm_part,
            is_worst_small=True,
        )
