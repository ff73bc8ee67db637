"""GL515: the steps are so small that a whole training hardly moves the weights.

Why: steps of about a thousandth of the weights work well (Karpathy, cs231n notes, "Ratio of weights:updates"). A
training of many steps can move a weight by no more than all of them together.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import Setup
from gradlog.diagnosis.finding import Finding, written

_REMEDIES = (
    "Raise the learning rate, by a factor of ten to start with.",
    "Use an optimizer that adapts to the size of the gradient, such as Adam.",
)


@dataclass(frozen=True)
class StepsTooSmall:
    """Finds a first step so small that a hundred epochs of such steps move no kernel by a hundredth.

    A learning rate that a schedule raises from zero is not judged, nor is one without a gradient.

    Attributes:
        travel: How far the weights should be able to move, as a fraction of their norm.
        epochs: Number of epochs.
        min_steps: Steps that these are taken to be at least, as where the number of rows is not known.
    """

    travel: float = 0.01
    epochs: int = 100
    min_steps: int = 1000
    code = "GL515"
    name = "steps too small"
    remedies = _REMEDIES

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding, if the step was tried."""
        step = setup.first_step
        if step is None or "schedule" in setup.optimizer or not step.snapshot.scalars["gradient_norm/global"] > 1e-6:
            return
        _, ratio = step.largest_ratio
        per_epoch = np.ceil(setup.num_rows / setup.batch_size) if setup.num_rows and setup.batch_size else 1
        number = int(max(self.epochs * per_epoch, self.min_steps))
        if not ratio * number < self.travel:
            return
        message = (
            f"The first step moves no kernel by more than {written(ratio)} of its weights: {number:,} such steps move "
            f"them by at most {written(ratio * number)}."
        )
        numbers = {"measured": ratio, "threshold": self.travel / number}
        yield finding_of(self, "", message, _REMEDIES, severity="warning", **numbers)
