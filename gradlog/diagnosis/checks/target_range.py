"""GL502: the output layer cannot reach the targets.

Why: a sigmoid stays between 0 and 1, tanh between -1 and 1, and ReLU above 0. A target outside that range leaves an
error that no training removes, and drives the unit to where its slope is zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import REGRESSION, Setup
from gradlog.diagnosis.finding import Finding, written

RANGES = {
    "sigmoid": (0, 1),
    "hard_sigmoid": (0, 1),
    "softmax": (0, 1),
    "tanh": (-1, 1),
    "softsign": (-1, 1),
    "relu": (0, np.inf),
    "relu6": (0, 6),
    "softplus": (0, np.inf),
    "exponential": (0, np.inf),
}
_REMEDIES = (
    "To predict numbers: use an output layer without an activation, Dense(units), and scale the targets.",
    "To predict classes: use softmax or sigmoid with a cross-entropy loss.",
)


@dataclass(frozen=True)
class TargetRange:
    """Finds targets of a regression loss that lie outside of what the output's activation can return.

    Attributes:
        fraction: Fraction of the targets that may lie outside.
        tolerance: How far outside a target may lie.
    """

    fraction: float = 0.0
    tolerance: float = 1e-3
    code = "GL502"
    name = "targets out of the output's range"
    remedies = _REMEDIES

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding for each such output."""
        for output in setup.outputs:
            targets = output.labels
            if output.loss not in (*REGRESSION, "poisson") or output.activation not in RANGES or not len(targets):
                continue
            low, high = RANGES[output.activation]
            is_outside = (targets < low - self.tolerance) | (targets > high + self.tolerance)
            if is_outside.mean() > self.fraction:
                message = (
                    f"The output {output.name} ends in {output.activation}, which returns {_range(low, high)}, but "
                    f"{is_outside.mean():.0%} of the targets lie outside: they go from {written(targets.min())} to "
                    f"{written(targets.max())}."
                )
                numbers = {"measured": is_outside.mean(), "threshold": self.fraction}
                yield finding_of(self, output.name, message, _REMEDIES, **numbers)


def _range(low, high):
    return f"{low} to {high}" if np.isfinite(high) else f"{low} or more"
