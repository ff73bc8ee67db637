"""Class weights: each class counts as much as any other, however few rows it has (King and Zeng 2001)."""

from dataclasses import dataclass

import numpy as np

from gradlog.repair.changes.change import Observed
from gradlog.repair.task import CLASSES, class_numbers
from gradlog.repair.training import Training

_RARE = 0.5  # times the share that a class would have if all had as many rows


@dataclass(frozen=True)
class ClassWeights:
    """Rows weighted by how rare their class is.

    Attributes:
        weights: Tuple of a pair for each class: its number and its weight.
    """

    weights: tuple[tuple[int, float], ...]
    name = "class weights"

    def applied(self, training: Training) -> Training:
        """Returns the training with weights."""
        return training.changed(class_weight=self._by_number(training))

    def code(self, training: Training) -> str:
        """Returns the argument of `fit`."""
        weights = ", ".join(f"{number}: {weight:.3g}" for number, weight in self._by_number(training).items())
        return f"model.fit(..., class_weight={{{weights}}})"

    def _by_number(self, training):
        """Returns the weights by the class numbers that the training has."""
        if not training.classes:
            return dict(self.weights)
        return {training.classes.index(number): weight for number, weight in self.weights}


def proposals(observed: Observed) -> list[ClassWeights]:
    """Proposes them where a class is half as frequent as it would be if all were alike."""
    if observed.task.kind != CLASSES or observed.training.class_weight or len(observed.run.outputs) != 1:
        return []
    if observed.task.is_sequence:  # for which Keras has no class weights
        return []
    found, counts = np.unique(class_numbers(observed.data.train.y), return_counts=True)
    if counts.min() >= _RARE * counts.mean():
        return []
    weights = counts.sum() / (len(found) * counts)
    return [ClassWeights(tuple((int(one), float(weight)) for one, weight in zip(found, weights, strict=True)))]
