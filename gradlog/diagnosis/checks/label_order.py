"""GL509: the data are sorted by class.

Why: a step on a batch of one class teaches the network to answer that class, whatever the input; the next class
undoes it. `fit` shuffles arrays, but not datasets, and `validation_split` takes the last rows before it shuffles.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import Setup
from gradlog.diagnosis.finding import NOTE, Finding

_DATASET = ("Shuffle before batching: dataset.shuffle(buffer_size=number_of_rows).batch(batch_size).",)
_ARRAYS = (
    "With validation_split, shuffle first: order = numpy.random.permutation(len(x)); x, y = x[order], y[order].",
    "Leave shuffle=True in fit, which is the default.",
)


@dataclass(frozen=True)
class LabelOrder:
    """Finds class labels that follow each other in long runs of the same class; of arrays this is a note.

    Attributes:
        fraction: Number of changes from one row's class to the next's, over that of shuffled rows, below which the
            data are sorted.
        min_rows: Number of rows from which this is judged.
    """

    fraction: float = 0.1
    min_rows: int = 64
    code = "GL509"
    name = "data sorted by class"
    remedies = (*_DATASET, *_ARRAYS)

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding for each such output."""
        for output in setup.outputs:
            classes = output.classes
            values, counts = np.unique(classes, return_counts=True)
            if len(classes) < self.min_rows or not 2 <= len(values) <= len(classes) / 8:
                continue
            shuffled = (1 - np.square(counts / len(classes)).sum()) * (len(classes) - 1)
            changes = int((np.diff(classes) != 0).sum())
            if changes < self.fraction * shuffled:
                message = (
                    f"The targets of {output.name} are sorted by class: the class changes {changes:,} times in the "
                    f"first {len(classes):,} rows; shuffled, it would about {shuffled:,.0f} times."
                )
                remedies, severity = (_ARRAYS, NOTE) if setup.is_shuffled else (_DATASET, "warning")
                numbers = {"measured": changes / shuffled, "threshold": self.fraction}
                yield finding_of(self, output.name, message, remedies, severity=severity, **numbers)
