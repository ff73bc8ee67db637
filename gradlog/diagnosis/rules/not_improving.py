"""GL401: the loss has not fallen since the start.

Why: it is what a person sees first, and alone it says nothing of the cause; the other findings do. Ten logged steps as
in SageMaker Debugger's rule LossNotDecreasing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence, trailing
from gradlog.diagnosis.rules.rule import Sign

_REMEDIES = (
    "Look at the other findings first: they say why.",
    "Raise or lower the learning rate by a factor of ten.",
    "Try whether the network can learn ten examples by heart; if not, look at labels, loss and last activation.",
)


@dataclass(frozen=True)
class NotImproving:
    """Finds a loss that never fell, over many logged steps of a run that was logged from its start.

    Attributes:
        progress: Part by which it has to have fallen.
        least: Logged steps from which on it is expected to have.
        least_steps: The same of the optimizer's steps, for runs that log each.
    """

    progress: float = 0.03
    least: int = 10
    least_steps: int = 100
    code = "GL401"
    name = "loss not improving"

    def signs(self, evidence: Evidence) -> Iterator[Sign]:
        """Yields the one sign."""
        steps = evidence.steps
        is_late = (np.arange(1, len(steps) + 1) >= self.least) & evidence.is_after(self.least_steps)
        is_known = np.isfinite(evidence.loss) & np.isfinite(evidence.first_loss)
        is_flat = evidence.is_stuck(self.progress)
        yield Sign(
            is_on=evidence.is_from_start & is_late & is_known & is_flat & ~_is_warming_up(evidence),
            measured=np.maximum(evidence.progress, 0),
            threshold=self.progress,
            message="The loss has not fallen since the start: by {measured} of it at most.",
            remedies=_REMEDIES,
            is_worst_small=True,
            least=1,
            window=len(steps),
        )


def _is_warming_up(evidence):
    if not evidence.kernels:
        return np.zeros(len(evidence.steps), bool)
    ratios = np.fmax.reduce(evidence.of_kernels("update_ratio"), axis=1)
    return ratios > 1.2 * trailing(ratios, 6)[:, 0]
