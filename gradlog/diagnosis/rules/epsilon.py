"""GL304: the gradients are at or below the optimizer's epsilon.

Why: Adam divides by the root of the second moment plus epsilon. Where the root is smaller, epsilon alone divides, and
the step shrinks with the gradient: nothing is adapted, and a small gradient makes hardly a step (Wortsman et al. 2023,
"Small-scale proxies for large-scale Transformer training instabilities", section 3.4, who lower epsilon to 1e-15).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Symptom
from gradlog.history.names import EPSILON_FRACTION

_REMEDIES = (
    "Lower the optimizer's epsilon, to 1e-8 or less.",
    "If the gradients are below 1e-8, find out why they are so small: the loss may be scaled down.",
)


@dataclass(frozen=True)
class Epsilon:
    """Finds kernels most of whose steps are divided by epsilon, while the loss is not falling.

    Attributes:
        fraction: Fraction of a kernel's elements whose root of the second moment is below epsilon.
        min_share: Share of the kernels that must show it.
        progress: Fraction by which the loss must have fallen for the network to count as learning.
        min_logged_steps: Logged steps in a row that make a finding.
    """

    fraction: float = 0.5
    min_share: float = 0.5
    progress: float = 0.5
    min_logged_steps: int = 5
    code = "GL304"
    name = "gradients below epsilon"
    remedies = _REMEDIES

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields one symptom, if the optimizer has a second moment."""
        if not evidence.kernels or EPSILON_FRACTION not in evidence.history.columns:
            return
        fractions = evidence.of_kernels(EPSILON_FRACTION)
        where = fractions > self.fraction
        is_most = where.sum(axis=1) >= self.min_share * np.maximum((~np.isnan(fractions)).sum(axis=1), 1)
        yield Symptom(
            is_on=is_most & evidence.is_stuck(self.progress),
            measured=np.fmax.reduce(fractions, axis=1),
            threshold=self.fraction,
            message="The gradients of {where} are below the optimizer's epsilon: up to {measured} of their elements.",
            remedies=_REMEDIES,
            names=evidence.kernels,
            where=where,
            min_logged_steps=self.min_logged_steps,
        )
