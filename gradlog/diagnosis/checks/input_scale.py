"""GL507: the inputs are so large that they drive the first layer far out.

Why: a unit of the first layer gets the sum of its inputs times its weights. With inputs of mean 0 and deviation 1 and
Glorot's or He's initial weights that sum is about 1; far beyond, sigmoid and tanh are saturated, and the steps of the
first layer are large beside those of the others (LeCun, Bottou, Orr and Müller 1998, "Efficient BackProp", section
4.3).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.changes.initial_weights import deviation, fans
from gradlog.diagnosis.changes.of_run import SQUASHING
from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import Setup
from gradlog.diagnosis.finding import Finding, written

_REMEDIES = (
    "Scale the inputs: x = (x - x.mean(axis=0)) / x.std(axis=0), and new data by the same numbers.",
    "For images from 0 to 255: x / 255, or keras.layers.Rescaling(1 / 255) as the first layer.",
    "Let the model do it: keras.layers.Normalization() as the first layer, adapted to the training data.",
)


@dataclass(frozen=True)
class InputScale:
    """Finds inputs for which the first layer's sums are large; with ReLU and its variants this is a note.

    Attributes:
        max_sum: Root mean square of the sums that the first layer's units get at the start, with its own initial
            weights and with He's, so that large weights do not count.
    """

    max_sum: float = 10.0
    code = "GL507"
    name = "inputs not scaled"
    remedies = _REMEDIES

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding where one input reaches a first layer whose initial weights are known."""
        layer = setup.first
        if layer is None or len(setup.inputs) != 1 or (weights := deviation(layer)) is None:
            return
        (inputs,), (fan_in, _) = setup.inputs, fans(layer)
        size, usual = (one * np.sqrt(inputs.mean_square) for one in (weights * np.sqrt(fan_in), np.sqrt(2)))
        if not min(size, usual) > self.max_sum:
            return
        message = (
            f"The inputs are not scaled: the units of {layer.name} get sums of about {written(size)} at the start, "
            f"where 1 is usual.{_largest(inputs, fan_in)}"
        )
        severity = "warning" if setup.activation_of(layer) in SQUASHING else "note"
        numbers = {"measured": size, "threshold": self.max_sum}
        yield finding_of(self, layer.name, message, _REMEDIES, severity=severity, **numbers)


def _largest(inputs, fan_in):
    """Says which column is the largest, where it makes up most of the inputs."""
    if fan_in < 2 or inputs.column_mean_square < 0.5 * fan_in * inputs.mean_square:
        return ""
    return f" Column {inputs.column} is the largest: {written(np.sqrt(inputs.column_mean_square))}."
