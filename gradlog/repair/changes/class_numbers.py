"""Class numbers from zero: a cross-entropy takes 0 and 1, or 0 to the number of units less 1."""

from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.checks.setup import BINARY, SPARSE
from gradlog.repair.changes.change import Observed
from gradlog.repair.data import Data, Rows
from gradlog.repair.task import CLASSES, class_numbers
from gradlog.repair.training import Training


@dataclass(frozen=True)
class ClassNumbers:
    """The classes are numbered 0, 1 … in the order of the numbers that they have.

    Attributes:
        classes: Tuple of integers, the numbers that they have.
    """

    classes: tuple[int, ...]
    name = "class numbers"

    def applied(self, training: Training) -> Training:
        """Returns the training with targets prepared."""

        def numbered(rows):
            return Rows(rows.x, np.searchsorted(self.classes, class_numbers(rows.y)).reshape(np.shape(rows.y)))

        def prepare(data: Data) -> Data:
            return data._replace(train=numbered(data.train), held_out=numbered(data.held_out))

        weights = training.class_weight
        if weights is not None:
            weights = {number: weights[name] for number, name in enumerate(self.classes) if name in weights}
        preparations = (*training.preparations, prepare)
        return training.changed(preparations=preparations, classes=self.classes, class_weight=weights)

    def code(self, training: Training) -> str:
        """Returns the preparation."""
        first, number = self.classes[0], len(self.classes)
        if self.classes == tuple(range(first, first + number)):
            return f"y = y {'-' if first > 0 else '+'} {abs(first)}  # classes 0 to {number - 1}; were from {first}"
        classes = ", ".join(map(str, self.classes))
        return f"y = numpy.searchsorted([{classes}], y)  # classes 0 to {number - 1}; were these numbers"


def proposals(observed: Observed) -> list[ClassNumbers]:
    """Proposes it where a cross-entropy of class numbers gets others than it takes."""
    task, outputs = observed.task, observed.run.outputs
    if task.kind != CLASSES or task.is_one_hot or task.is_sequence or observed.training.classes or len(outputs) != 1:
        return []
    is_counted = task.classes == tuple(range(len(task.classes)))
    is_taken = min(task.classes) >= 0 and max(task.classes) < (outputs[0].units or np.inf)
    wants = (outputs[0].loss in BINARY and len(task.classes) == 2) or (outputs[0].loss in SPARSE and not is_taken)
    return [ClassNumbers(task.classes)] if wants and not is_counted else []
