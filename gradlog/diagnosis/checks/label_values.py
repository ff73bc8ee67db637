"""GL504: the labels are not what the loss expects.

Why: cross-entropy compares probabilities, from 0 to 1; beyond them it has no lower bound, and the loss runs away below
zero. The sparse loss takes class numbers from 0 to the number of units less 1; what is larger becomes NaN.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import BINARY, CATEGORICAL, SPARSE, Setup
from gradlog.diagnosis.finding import Finding, written

_PROBABILITIES = (
    "Use labels 0 and 1, or probabilities; for numbers, use mean squared error and an output without an activation.",
    'For n classes numbered from 0: Dense(n, activation="softmax") with loss="sparse_categorical_crossentropy".',
)
_NUMBERS = (
    "Number the classes from 0, and give the output layer as many units as there are classes.",
    "For targets that are numbers, use mean squared error and an output without an activation.",
)


@dataclass(frozen=True)
class LabelValues:
    """Finds labels outside of 0 to 1 under a cross-entropy, and class numbers that the output has no unit for.

    Attributes:
        tolerance: How far outside of 0 to 1 a label may lie.
    """

    tolerance: float = 1e-3
    code = "GL504"
    name = "labels do not fit the loss"
    remedies = (*_PROBABILITIES, *_NUMBERS)

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding for each such output."""
        for output in setup.outputs:
            labels = output.labels
            if not len(labels):
                continue
            if output.loss in (*BINARY, *CATEGORICAL):
                yield from self._probabilities(output, labels)
            elif output.loss in SPARSE:
                yield from self._numbers(output, labels)

    def _probabilities(self, output, labels):
        is_outside = (labels < -self.tolerance) | (labels > 1 + self.tolerance)
        if is_outside.any():
            message = (
                f"The loss {output.loss} of {output.name} expects labels from 0 to 1, but {is_outside.mean():.0%} lie "
                f"outside: they go from {written(labels.min())} to {written(labels.max())}."
            )
            yield finding_of(self, output.name, message, _PROBABILITIES, measured=is_outside.mean())

    def _numbers(self, output, labels):
        is_fraction = labels != np.round(labels)
        if is_fraction.any():
            message = (
                f"The loss {output.loss} of {output.name} expects class numbers, but {is_fraction.mean():.0%} of the "
                "labels are not integers."
            )
            yield finding_of(self, output.name, message, _NUMBERS, measured=is_fraction.mean())
            return
        is_outside = (labels < 0) | (labels >= (output.units or np.inf))
        if is_outside.any() and output.units != 1:
            message = (
                f"The output {output.name} has {output.units} units, for classes 0 to {output.units - 1}, but "
                f"{is_outside.mean():.0%} of the labels are others: they go from {labels.min():.0f} to "
                f"{labels.max():.0f}."
            )
            yield finding_of(self, output.name, message, _NUMBERS, measured=is_outside.mean())
