"""Normalization between the layers: each gets inputs of one size (Ioffe and Szegedy 2015; Ba et al. 2016)."""

from dataclasses import dataclass

import keras

from gradlog.repair.changes.change import Observed, where
from gradlog.repair.surgery import cloned, flattened, hidden_layers, rebuilt
from gradlog.repair.training import Training

_KINDS = {"BatchNormalization": keras.layers.BatchNormalization, "LayerNormalization": keras.layers.LayerNormalization}
_MIN_BATCH = 8  # rows, for the statistics of a batch


@dataclass(frozen=True)
class Normalization:
    """A normalization after each hidden layer.

    Attributes:
        kind: String, the class of the layer.
    """

    kind: str = "BatchNormalization"
    name = "normalization"
    changes_layers = True

    def applied(self, training: Training) -> Training:
        """Returns the training with another model."""
        hidden = {id(one) for one in hidden_layers(training.model)}

        def edit(layer):
            added = [_KINDS[self.kind](name=f"{layer.name}_normalization")] if id(layer) in hidden else []
            return [cloned(layer), *added]

        return training.changed(model=rebuilt(training.model, edit))

    def code(self, training: Training) -> str:
        """Returns the layer."""
        after = where(hidden_layers(training.model)).removeprefix("in ")
        return f"keras.layers.{self.kind}()  # after {after}"


def proposals(observed: Observed) -> list[Normalization]:
    """Proposes batch normalization where there is none, and layer normalization where batches are small."""
    model = observed.training.model
    if any("Normalization" in type(one).__name__ for one in flattened(model)) or not hidden_layers(model):
        return []
    kinds = ["BatchNormalization"] if observed.training.batch_size >= _MIN_BATCH else []
    return [Normalization(kind) for kind in (*kinds, "LayerNormalization")]
