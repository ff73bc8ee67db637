"""GL517: the network cannot learn one batch by heart.

Why: a network of any use can fit a few examples; one that cannot has a mistake in the data, the loss or its layers
(Karpathy 2019, "A Recipe for Training Neural Networks": overfit one batch).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import Setup
from gradlog.diagnosis.finding import Finding, written

_REMEDIES = (
    "Check whether inputs and targets belong together, and whether loss and last activation fit the targets.",
    "Raise or lower the learning rate by a factor of ten, or use Adam.",
    "Look at the other findings, or train with gradlog.GradientLogger: the gradients show where the signal ends.",
)


@dataclass(frozen=True)
class Overfit:
    """Finds a network whose loss on one batch has not fallen far after many steps on that batch alone.

    Attributes:
        fraction: Fraction of the first loss that should be reached; the median of the last ten losses counts.
    """

    fraction: float = 0.2
    code = "GL517"
    name = "cannot overfit one batch"
    remedies = _REMEDIES

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding, if it was tried."""
        losses = np.asarray(setup.overfit)
        if setup.first_step is None or not len(losses):
            return
        last = float(np.median(losses[-10:]))
        if last <= self.fraction * losses[0]:
            return
        message = (
            f"The network does not learn one batch by heart: its loss is {written(losses[0])} at first and "
            f"{written(last)} after {len(losses):,} steps on the same {setup.first_step.num_rows:,} rows."
        )
        numbers = {"measured": last / losses[0] if losses[0] else np.nan, "threshold": self.fraction}
        yield finding_of(self, "", message, _REMEDIES, severity="warning", **numbers)
