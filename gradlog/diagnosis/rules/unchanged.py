"""GL302: some trainable weights do not change while others do, or none change.

Why: lower layers that stand still while upper layers move are a sign of vanishing gradients. Frozen layers are not
logged, so this rule does not see them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Symptom

_REMEDIES = (
    "Look at the gradient of these layers: if it vanishes, change the activation or add batch normalization.",
    "Normalize the inputs: saturated first layers get no gradient.",
    "Check that the layers lie on the path from input to loss, and that the learning rate is not zero.",
)


@dataclass(frozen=True)
class Unchanged:
    """Finds kernels that do not change while a kernel above them does, or all kernels if none ever changed.

    Attributes:
        still: Update ratio below which a kernel does not change; float32 holds about seven digits.
        moving: Update ratio above which a kernel changes.
        progress: Fraction by which the loss must have fallen for the network to count as learning.
        min_logged_steps: Logged steps in a row that make a finding.
    """

    still: float = 1e-7
    moving: float = 1e-5
    progress: float = 0.5
    min_logged_steps: int = 5
    code = "GL302"
    name = "weights not changing"
    remedies = _REMEDIES

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields one symptom."""
        if not evidence.kernels:
            return
        ratios = evidence.of_kernels("update_ratio")
        medians = evidence.medians_of_kernels("update_ratio", self.min_logged_steps)
        is_still = medians < self.still
        above = np.fmax.accumulate(medians[:, ::-1], axis=1)[:, ::-1]
        # Never moved so far: under a schedule that ends at zero, all kernels stand still at the end.
        is_none_moving = (np.fmax.accumulate(np.fmax.reduce(ratios, axis=1)) == 0)[:, None]
        is_stuck = evidence.is_stuck(self.progress)[:, None]
        is_recurrent = np.array([kernel.endswith("recurrent_kernel") for kernel in evidence.kernels])
        where = is_still & (above > self.moving) & is_stuck & ~is_recurrent  # unused if there is one time step
        where |= is_none_moving & ~evidence.is_good[:, None]  # a loss that falls nevertheless is noise
        yield Symptom(
            is_on=where.any(axis=1),
            measured=np.fmin.reduce(np.where(where, ratios, np.nan), axis=1),
            threshold=self.still,
            message="The weights of {where} do not change: the update ratio is {measured}.",
            remedies=_REMEDIES,
            names=evidence.kernels,
            where=where,
            is_lower_worse=True,
            min_logged_steps=self.min_logged_steps,
        )
