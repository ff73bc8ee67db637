"""GL506: the data hold NaN or infinite numbers, or targets that are all the same.

Why: one NaN in an input makes the loss NaN, and the next step every weight. From a constant target there is nothing to
learn.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import Setup
from gradlog.diagnosis.finding import Finding

_NONFINITE = ("Find the rows with NaN or infinite numbers, and drop or fill them: numpy.isfinite(x).all(axis=1).",)
_CONSTANT = ("Check how the targets are read; and shuffle data that are sorted by class.",)


@dataclass(frozen=True)
class DataValues:
    """Finds inputs or targets that are not finite, and targets that are all equal.

    Attributes:
        min_rows: Number of rows from which constant targets are a finding.
    """

    min_rows: int = 16
    code = "GL506"
    name = "data cannot be learned from"

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding for the inputs, and one for each output."""
        names = [f"input {number}" for number in range(1, len(setup.inputs) + 1)] if len(setup.inputs) > 1 else ["x"]
        for name, values in zip(names, setup.inputs, strict=False):
            yield from self._nonfinite("", f"The data {name}", values)
        for output in setup.outputs:
            if output.targets is None:
                continue
            yield from self._nonfinite(output.name, f"The targets of {output.name}", output.targets)
            rows = output.targets.reshape(len(output.targets), -1)
            if len(rows) >= self.min_rows and (rows == rows[:1]).all():
                message = f"The first {len(rows):,} targets of {output.name} are all the same."
                yield finding_of(self, output.name, message, _CONSTANT, measured=len(rows), threshold=self.min_rows)

    def _nonfinite(self, where, what, values):
        if np.issubdtype(values.dtype, np.floating):
            number = int(np.size(values) - np.isfinite(values).sum())
            if number:
                message = f"{what} hold NaN or infinite numbers: {number:,} of {np.size(values):,}."
                yield finding_of(self, where, message, _NONFINITE, measured=number)
