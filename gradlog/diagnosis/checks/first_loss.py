"""GL512: the first loss is far above that of guessing.

Why: a network that knows nothing should give every class about the same probability, for a cross-entropy of the
logarithm of their number (Karpathy 2019, "A Recipe for Training Neural Networks": verify the loss at initialization).
A much larger loss comes from outputs that are large from the start, or far from the targets; the first steps then do
nothing but shrink them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import CATEGORICAL, SPARSE, Setup
from gradlog.diagnosis.finding import NOTE, Finding, written

_LARGE_OUTPUTS = (
    "Scale the inputs to mean 0 and deviation 1.",
    "Start with smaller weights: use Glorot or He initialization.",
    "Add batch normalization.",
)
_FAR_TARGETS = (
    "Scale the targets: y = (y - y.mean()) / y.std(), and the predictions back.",
    "Or start the output's bias at the mean: bias_initializer=keras.initializers.Constant(y.mean()).",
)


@dataclass(frozen=True)
class FirstLoss:
    """Finds a first loss that is many times that of the best constant answer, for a model with one output.

    Attributes:
        ratio: First loss over that of guessing above which this is a note.
        warning_ratio: Ratio above which it is a warning, of a cross-entropy.
    """

    ratio: float = 10.0
    warning_ratio: float = 100.0
    code = "GL512"
    name = "first loss too high"
    remedies = (*_LARGE_OUTPUTS, *_FAR_TARGETS)

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding, if the first loss is known."""
        if setup.first_loss is None or len(setup.outputs) != 1:
            return
        (output,) = setup.outputs
        guess, what, remedies = _guess(output)
        if not guess or not setup.first_loss > self.ratio * guess:
            return
        ratio = setup.first_loss / guess
        message = f"The first loss is {written(setup.first_loss)}, and that of {what} is {written(guess)}."
        severity = "warning" if remedies is _LARGE_OUTPUTS and ratio > self.warning_ratio else NOTE
        numbers = {"measured": ratio, "threshold": self.ratio}
        yield finding_of(self, output.name, message, remedies, severity=severity, **numbers)


def _guess(output):
    """Returns the loss of the best constant answer, what that answer is, and what helps; zero if it is not known."""
    if output.loss in (*CATEGORICAL, *SPARSE) and "focal" not in output.loss:
        units = output.units or 0
        return np.log(max(units, 1)), f"guessing among {units} classes", _LARGE_OUTPUTS
    if output.loss == "binary_crossentropy":
        return np.log(2), "guessing", _LARGE_OUTPUTS
    targets = output.labels
    if output.targets is None or len(targets) < np.size(output.targets) or not len(targets):
        return 0, "", ()
    rows = targets.reshape(len(output.targets), -1)
    if output.loss == "mean_squared_error":
        return rows.var(axis=0).mean(), "answering with the mean of the targets", _FAR_TARGETS
    if output.loss == "mean_absolute_error":
        return np.abs(rows - np.median(rows, axis=0)).mean(), "answering with the median", _FAR_TARGETS
    return 0, "", ()
