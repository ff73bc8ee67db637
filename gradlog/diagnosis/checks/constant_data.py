"""GL518: the targets, or columns of a table of inputs, hold one value alone.

Why: from a constant target there is nothing to learn. A constant column says nothing about the target; it adds to the
biases of the first layer, and to its gradient where it is large.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import Setup
from gradlog.diagnosis.finding import NOTE, Finding, some

_TARGETS = ("Check how the targets are read; and shuffle data that are sorted by class.",)
_COLUMNS = ("Drop the columns: x = x[:, x.std(axis=0) > 0]; or check how they are read.",)


@dataclass(frozen=True)
class ConstantData:
    """Finds targets that are all equal, and, as a note, columns of a table that are.

    Attributes:
        min_rows: Number of rows from which the targets are judged; columns are from ten times as many.
        max_columns: Number of columns up to which the inputs are taken for a table, and not for the pixels of images,
            where edges are often empty.
    """

    min_rows: int = 16
    max_columns: int = 100
    code = "GL518"
    name = "data all the same"
    remedies = (*_TARGETS, *_COLUMNS)

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding for each output, and one for each input."""
        for output in setup.outputs:
            rows = np.zeros((0, 1)) if output.targets is None else output.targets.reshape(len(output.targets), -1)
            if len(rows) >= self.min_rows and (rows == rows[:1]).all():
                message = f"The first {len(rows):,} targets of {output.name} are all the same."
                yield finding_of(self, output.name, message, _TARGETS, measured=len(rows), threshold=self.min_rows)
        for number, inputs in enumerate(setup.inputs, 1):
            is_table = inputs.num_columns <= self.max_columns
            if inputs.constant and is_table and inputs.size >= 10 * self.min_rows * inputs.num_columns:
                what = f"input {number}" if len(setup.inputs) > 1 else "x"
                verb, noun = ("holds", "column") if len(inputs.constant) == 1 else ("hold", "columns")
                columns = some(tuple(map(str, inputs.constant)))
                message = f"Of {what}, {noun} {columns} {verb} the same number in all rows that were looked at."
                yield finding_of(self, "", message, _COLUMNS, severity=NOTE, measured=len(inputs.constant))
