"""GL508: the loss or the output's activation suits classes less well than another.

Why: squared error and hinge give little gradient where a probability is far off, since they go through the flat ends
of sigmoid and softmax (Golik, Doetsch and Ney 2013, "Cross-Entropy vs. Squared Error Training"). Sigmoid gives each
class a probability of its own, although only one of them can be right. Networks learn so too: this is a note.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import CATEGORICAL, HINGES, REGRESSION, Setup
from gradlog.diagnosis.finding import NOTE, Finding

_CROSS_ENTROPY = (
    'For one class of several: activation="softmax" with loss="categorical_crossentropy".',
    'For yes or no: activation="sigmoid" with loss="binary_crossentropy".',
)
_SOFTMAX = (
    'For one class of several: activation="softmax".',
    'For several labels at once: keep sigmoid, with loss="binary_crossentropy".',
)


@dataclass(frozen=True)
class ClassLoss:
    """Finds squared error or hinge on probabilities of classes, and sigmoid under a categorical cross-entropy."""

    code = "GL508"
    name = "loss does not suit classes"
    remedies = (*_CROSS_ENTROPY, *_SOFTMAX)

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding for each such output."""
        for output in setup.outputs:
            is_probability, classes = output.activation in ("sigmoid", "softmax"), output.classes
            if not is_probability or not len(classes) or not {*classes} <= {*range(max(2, output.units or 2))}:
                continue
            if output.loss in (*REGRESSION, *HINGES):
                message = f"The output {output.name} ends in {output.activation}, but its loss is {output.loss}."
                yield finding_of(self, output.name, message, _CROSS_ENTROPY, severity=NOTE)
            elif output.loss in CATEGORICAL and output.activation == "sigmoid" and (output.units or 1) > 1:
                message = (
                    f"The classes of {output.name} exclude each other, but it ends in sigmoid, whose probabilities do "
                    "not sum to 1."
                )
                yield finding_of(self, output.name, message, _SOFTMAX, severity=NOTE)
