"""GL501: softmax over one unit outputs 1, whatever the input is.

Why: softmax divides each unit's exponential by the sum over the units; with one unit that is 1. Keras takes the binary
cross-entropy from the logits behind it, so the loss falls, the gradients look healthy, and every prediction is 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import Setup
from gradlog.diagnosis.finding import Finding

_REMEDIES = (
    'For two classes: Dense(1, activation="sigmoid") with loss="binary_crossentropy".',
    'For n classes: Dense(n, activation="softmax") with loss="sparse_categorical_crossentropy".',
    "To predict a number: Dense(1), without an activation.",
)


@dataclass(frozen=True)
class SoftmaxOfOne:
    """Finds an output layer of one unit whose activation is softmax."""

    code = "GL501"
    name = "softmax over one unit"
    remedies = _REMEDIES

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding for each such output."""
        for output in setup.outputs:
            if output.units == 1 and output.activation == "softmax":
                message = f"The output {output.name} is a softmax over one unit: it is 1 for every input."
                yield finding_of(self, output.name, message, _REMEDIES, threshold=2)
