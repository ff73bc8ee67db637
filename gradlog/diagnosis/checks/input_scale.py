"""GL507: the inputs are so large that they drive the first layer far out.

Why: a unit of the first layer gets the sum of its inputs times its weights. With inputs of mean 0 and deviation 1 and
Glorot's or He's initial weights that sum is about 1; far beyond, sigmoid and tanh are saturated, and the steps of the
first layer are large beside those of the others (LeCun, Bottou, Orr and Müller 1998, "Efficient BackProp", section
4.3).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.changes import SQUASHING, deviation
from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import Setup
from gradlog.diagnosis.finding import Finding

_REMEDIES = (
    "Scale the inputs: x = (x - x.mean(axis=0)) / x.std(axis=0), and new data by the same numbers.",
    "For images from 0 to 255: x / 255, or keras.layers.Rescaling(1 / 255) as the first layer.",
    "Let the model do it: keras.layers.Normalization() as the first layer, adapted to the training data.",
)


@dataclass(frozen=True)
class InputScale:
    """Finds inputs for which the first layer's sums are large; with ReLU and its variants this is a note.

    Attributes:
        max_sum: Root mean square of the sums that the first layer's units get at the start.
    """

    max_sum: float = 10.0
    code = "GL507"
    name = "inputs not scaled"

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding where one input reaches a first layer whose initial weights are known."""
        layer = setup.first
        if layer is None or len(setup.inputs) != 1 or setup.inputs[0].dtype.kind not in "fiu":
            return
        weights, squares = deviation(layer), _mean_squares(setup.inputs[0], len(layer.kernel))
        if weights is None or len(squares) * _area(layer.kernel) < 1:
            return
        size = weights * np.sqrt(_area(layer.kernel) * squares.sum())
        if not size > self.max_sum:
            return
        message = (
            f"The inputs are not scaled: the units of {layer.name} get sums of about {size:.3g} at the start, where 1 "
            f"is usual.{_largest(squares)}"
        )
        severity = "warning" if setup.activation_of(layer) in SQUASHING else "note"
        numbers = {"measured": size, "threshold": self.max_sum}
        yield finding_of(self, layer.name, message, _REMEDIES, severity=severity, **numbers)


def _mean_squares(inputs, rank):
    """Returns the mean square of each column, or of each channel of an image; of what is finite."""
    columns = inputs.reshape(-1, inputs.shape[-1]) if rank > 2 else inputs.reshape(len(inputs), -1)
    values = np.where(np.isfinite(columns), columns, 0).astype(np.float64)
    return np.square(values).mean(axis=0) if len(values) else np.zeros(0)


def _area(kernel):
    """Returns how many positions a kernel covers: 1 of a dense layer, 9 of a 3 x 3 convolution."""
    return int(np.prod(kernel[:-2])) if len(kernel) > 2 else 1


def _largest(squares):
    if len(squares) < 2 or squares.max() < 100 * np.median(squares):
        return ""
    return f" Column {int(np.argmax(squares))} is the largest: {np.sqrt(squares.max()):.3g}."
