"""GL510: the data have too few rows for the batch size.

Why: an epoch of one step or two moves the weights as little as that; a training of ten epochs is ten steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import Setup
from gradlog.diagnosis.finding import NOTE, Finding

_REMEDIES = (
    "Use smaller batches, so that an epoch has ten steps or more.",
    "Or train for as many more epochs: what counts is the number of steps.",
)


@dataclass(frozen=True)
class NumRows:
    """Finds data of which an epoch is a step or two; this is a note.

    Attributes:
        min_steps: Steps of an epoch.
    """

    min_steps: float = 2
    code = "GL510"
    name = "few rows for the batch size"
    remedies = _REMEDIES

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding, if the number of rows and the batch size are known."""
        if not setup.num_rows or not setup.batch_size:
            return
        steps = setup.num_rows / setup.batch_size
        if steps < self.min_steps:
            number = "a single step" if steps <= 1 else "two steps"
            message = (
                f"An epoch is {number}: there are {setup.num_rows:,} rows, and batches have up to {setup.batch_size:,}."
            )
            numbers = {"measured": steps, "threshold": self.min_steps}
            yield finding_of(self, "", message, _REMEDIES, severity=NOTE, **numbers)
