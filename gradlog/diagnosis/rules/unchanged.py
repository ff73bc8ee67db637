"""GL302: weights that are trained do not change, while others do; or none do.

Why: lower layers that stand still while upper ones move are how vanishing gradients show in the weights. Frozen layers
are not logged, so they are not meant.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Sign

_REMEDIES = (
    "Look at the gradient of these layers: where it vanishes, change the activation or add batch normalization.",
    "Scale the inputs: saturated first layers get no gradient.",
    "Look whether the layers are in the path from input to loss, and whether the learning rate is zero.",
)


@dataclass(frozen=True)
class Unchanged:
    """Finds kernels whose weights stand still, below others that move; or all, where none ever moved.

    Attributes:
        still: Update ratio that is no change: float32 holds seven digits.
        moving: Update ratio of a kernel that moves.
        progress: Part by which the loss has to have fallen for a layer to be spared.
        least: Logged steps in a row.
    """

    still: float = 1e-7
    moving: float = 1e-5
    progress: float = 0.5
    least: int = 5
    code = "GL302"
    name = "weights not changing"

    def signs(self, evidence: Evidence) -> Iterator[Sign]:
        """Yields the one sign."""
        if not evidence.kernels:
            return
        ratios = evidence.of_kernels("update_ratio")
        medians = evidence.medians_of_kernels("update_ratio", self.least)
        is_still = medians < self.still
        above = np.fmax.accumulate(medians[:, ::-1], axis=1)[:, ::-1]
        # So far: under a schedule that ends at zero they stand still at last.
        is_none_moving = (np.fmax.accumulate(np.fmax.reduce(ratios, axis=1)) == 0)[:, None]
        is_stuck = evidence.is_stuck(self.progress)[:, None]
        is_recurrent = np.array([kernel.endswith("recurrent_kernel") for kernel in evidence.kernels])
        where = is_still & (above > self.moving) & is_stuck & ~is_recurrent  # one step in time leaves it at rest
        where |= is_none_moving & ~evidence.is_good[:, None]  # a loss that falls all the same is noise
        yield Sign(
            is_on=where.any(axis=1),
            measured=np.fmin.reduce(np.where(where, ratios, np.nan), axis=1),
            threshold=self.still,
            message="{where} does not change: a step moves it by {measured} of its weights.",
            remedies=_REMEDIES,
            names=evidence.kernels,
            where=where,
            is_worst_small=True,
            least=self.least,
        )
