"""GL503: the output layer has too few units for its loss.

Why: categorical cross-entropy divides each unit by the sum over the units; with one unit the quotient is 1, so the loss
is zero for every input. One unit tells two classes apart, not three.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import BINARY, CATEGORICAL, SPARSE, Setup
from gradlog.diagnosis.finding import Finding

_TWO = 'For two classes: Dense(1, activation="sigmoid") with loss="binary_crossentropy".'
_MANY = 'For n classes: Dense(n, activation="softmax") with loss="sparse_categorical_crossentropy".'
_HINGES = ("hinge", "squared_hinge")


@dataclass(frozen=True)
class NumUnits:
    """Finds one unit under a categorical loss, or under a binary loss with more than two labels.

    Attributes:
        max_labels: Number of different labels of a binary loss; fractions are probabilities and do not count.
    """

    max_labels: int = 2
    code = "GL503"
    name = "too few output units"
    remedies = (_TWO, _MANY)

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding for each such output."""
        for output in setup.outputs:
            if output.units != 1:
                continue
            if output.loss in (*CATEGORICAL, *SPARSE):
                message = f"The output {output.name} has one unit, for which the loss {output.loss} is always zero."
                yield finding_of(self, output.name, message, (_TWO, _MANY), threshold=2)
            elif output.loss in (*BINARY, *_HINGES):
                labels = np.unique(output.labels)
                if len(labels) > self.max_labels and (labels == np.round(labels)).all():
                    message = (
                        f"The output {output.name} has one unit, which tells two classes apart, but there are "
                        f"{len(labels)} different labels, from {labels[0]:.0f} to {labels[-1]:.0f}."
                    )
                    measured, threshold = len(labels), self.max_labels
                    yield finding_of(self, output.name, message, (_MANY,), measured=measured, threshold=threshold)
