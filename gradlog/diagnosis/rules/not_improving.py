"""GL401: the loss has not fallen since the start.

Why: this is what one notices first, but it does not reveal the cause; the other findings do. The ten logged steps are
those of SageMaker Debugger's rule LossNotDecreasing. Many healthy trainings stand still for their first hundreds of
steps, so a loss that is flat is a note at first, unless another finding gives a reason.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Symptom
from gradlog.diagnosis.rules.windows import trailing

_REMEDIES = (
    "Look at the other findings first: they point to the cause.",
    "Raise or lower the learning rate by a factor of ten.",
    "Check whether the network can overfit ten examples; if not, check the labels, the loss and the last activation.",
)


@dataclass(frozen=True)
class NotImproving:
    """Finds a loss that has not fallen after many logged steps of a run logged from its start.

    Attributes:
        progress: Fraction by which the loss must have fallen.
        min_logged_steps: Logged steps to wait before judging.
        min_steps: Optimizer steps to wait before judging, for runs that log every step.
        long: Pairs (logged steps, optimizer steps); where either pair is reached, a flat loss is a warning.
    """

    progress: float = 0.03
    min_logged_steps: int = 10
    min_steps: int = 100
    long: tuple[tuple[int, int], ...] = ((40, 300), (20, 1000))
    code = "GL401"
    name = "loss not improving"
    remedies = _REMEDIES

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields one symptom."""
        steps = evidence.steps
        numbers = np.arange(1, len(steps) + 1)
        is_long = [(numbers >= logged) & evidence.is_after(number) for logged, number in self.long]
        is_late = (numbers >= self.min_logged_steps) & evidence.is_after(self.min_steps)
        is_known = np.isfinite(evidence.loss) & np.isfinite(evidence.first_loss)
        is_flat = (evidence.lasting_progress < self.progress) & ~evidence.is_good
        yield Symptom(
            is_on=evidence.is_from_start & is_late & is_known & is_flat & ~_is_warming_up(evidence),
            measured=np.maximum(evidence.lasting_progress, 0),
            threshold=self.progress,
            message="The loss is not improving: its largest relative decrease since the start is {measured}.",
            remedies=_REMEDIES,
            is_lower_worse=True,
            min_logged_steps=1,
            window=len(steps),
            is_note=~np.any(is_long, axis=0),
        )


def _is_warming_up(evidence):
    if not evidence.kernels:
        return np.zeros(len(evidence.steps), bool)
    ratios = np.fmax.reduce(evidence.of_kernels("update_ratio"), axis=1)
    return ratios > 1.2 * trailing(ratios, 6)[:, 0]
