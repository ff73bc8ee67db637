"""GL511: a metric does not measure what the network is trained for.

Why: accuracy counts answers that equal the target. Predicted numbers hardly ever do, so it stays near zero however good
they are. For one unit, Keras counts what is above 0.5 as a yes; of logits that is 0.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import BINARY, REGRESSION, Setup
from gradlog.diagnosis.finding import NOTE, Finding

_ACCURACY = re.compile(r"(^|_)(binary_)?acc(uracy)?$")
_NUMBERS = ('For numbers, use metrics=["mean_absolute_error"] or keras.metrics.R2Score().',)
_LOGITS = ("Give the threshold of logits: keras.metrics.BinaryAccuracy(threshold=0.0).",)


@dataclass(frozen=True)
class Metrics:
    """Finds an accuracy of predicted numbers, and a binary accuracy of logits; both notes, as training goes on well.

    Attributes:
        fraction: If more than this fraction of the targets is not integer, the targets are numbers, not classes.
    """

    fraction: float = 0.1
    code = "GL511"
    name = "metric does not measure the task"
    remedies = (*_NUMBERS, *_LOGITS)

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding, for a model with one output."""
        found = [name for name in setup.metrics if _ACCURACY.search(name)]
        if not found or len(setup.outputs) != 1:
            return
        (output,) = setup.outputs
        labels = output.labels
        fractions = float((labels != np.round(labels)).mean()) if len(labels) else 0.0
        if output.loss in REGRESSION and fractions > self.fraction:
            message = (
                f"The metric {found[0]} counts exact answers, but {fractions:.0%} of the targets of {output.name} are "
                "not integers: it stays near zero."
            )
            numbers = {"measured": fractions, "threshold": self.fraction}
            yield finding_of(self, output.name, message, _NUMBERS, severity=NOTE, **numbers)
        elif output.loss in BINARY and output.from_logits and output.units == 1:
            message = f"The metric {found[0]} counts logits above 0.5 as a yes, unless its threshold is set to 0."
            yield finding_of(self, output.name, message, _LOGITS, severity=NOTE)
