"""GL506: the data hold NaN or infinite numbers.

Why: one NaN in an input or a target makes the loss NaN, and the next step every weight. Where a ReLU turns NaN into
zero, as on TensorFlow's CPU, the loss stays finite instead, near that of guessing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import Setup
from gradlog.diagnosis.finding import Finding

_REMEDIES = ("Find the rows with NaN or infinite numbers, and drop or fill them: numpy.isfinite(x).all(axis=1).",)


@dataclass(frozen=True)
class DataValues:
    """Finds inputs or targets that are not finite."""

    code = "GL506"
    name = "data not finite"
    remedies = _REMEDIES

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding for each input and each output."""
        for number, inputs in enumerate(setup.inputs, 1):
            what = f"input {number}" if len(setup.inputs) > 1 else "x"
            yield from self._nonfinite("", f"The data {what}", inputs.num_nonfinite, inputs.size)
        for output in setup.outputs:
            if output.targets is not None and np.issubdtype(output.targets.dtype, np.floating):
                number = np.size(output.targets) - int(np.isfinite(output.targets).sum())
                yield from self._nonfinite(
                    output.name, f"The targets of {output.name}", number, np.size(output.targets)
                )

    def _nonfinite(self, where, what, number, size):
        if number:
            message = f"{what} hold NaN or infinite numbers: {number:,} of {size:,}."
            yield finding_of(self, where, message, _REMEDIES, measured=number)
