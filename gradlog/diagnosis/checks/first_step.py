"""GL514: the first step of the optimizer makes the loss of its own batch much worse.

Why: a step goes down along the gradient, so the loss of the same batch should fall. If it rises by a multiple, the step
went far beyond where the gradient holds (Goodfellow, Bengio and Courville 2016, section 4.3).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import Setup
from gradlog.diagnosis.finding import NOTE, Finding, written

_REMEDIES = (
    "Lower the learning rate, by a factor of ten to start with.",
    "Start with a warm-up.",
    "Clip the gradient: global_clipnorm=1.0.",
)
_SETTLE = ("Adagrad",)  # whose steps become smaller by themselves


@dataclass(frozen=True)
class FirstStepTooLarge:
    """Finds a first step that raises the loss of its batch by a factor, and moves a kernel far; tried on copies.

    Attributes:
        growth: Loss after the step over the loss before it.
        update_ratio: Length of the step over the norm of a kernel's weights.
    """

    growth: float = 2.0
    update_ratio: float = 0.1
    code = "GL514"
    name = "first step too large"
    remedies = _REMEDIES

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding, if the step was tried."""
        step = setup.first_step
        if step is None or not np.isfinite(step.loss):
            return
        name, ratio = step.largest_ratio
        is_worse = not step.loss_after <= max(self.growth * step.loss, 0.0)
        if not is_worse or not ratio > self.update_ratio:
            return
        message = (
            f"The first step takes the loss of its own batch from {written(step.loss)} to {written(step.loss_after)}: "
            f"it changes {name} by {written(ratio)} times its weights."
        )
        severity = NOTE if setup.optimizer.get("class") in _SETTLE else "warning"
        numbers = {"measured": ratio, "threshold": self.update_ratio}
        yield finding_of(self, name, message, _REMEDIES, severity=severity, **numbers)
