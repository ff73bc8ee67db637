"""Normalization between the layers: each gets inputs of one size (Ioffe and Szegedy 2015; Ba et al. 2016)."""

from dataclasses import dataclass

import keras

from gradlog.repair.changes.change import Observed, where
from gradlog.repair.surgery import cloned, flattened, hidden_layers, is_chain, rebuilt
from gradlog.repair.training import Training

_KINDS = {"BatchNormalization": keras.layers.BatchNormalization, "LayerNormalization": keras.layers.LayerNormalization}
_MIN_BATCH = 8  # rows, for the statistics of a batch
_DEEP, _VERY_DEEP = 6, 10  # layers
_USUAL, _QUICK = 0.99, 0.9  # of what was there; after 100 steps, a third of the start is still in it, or nothing
_MANY_STEPS = 1000


@dataclass(frozen=True)
class Normalization:
    """A normalization after each hidden layer.

    Attributes:
        kind: String, the class of the layer.
        momentum: Number in [0, 1), how much of its moving statistics a `BatchNormalization` keeps in a step.
    """

    kind: str = "BatchNormalization"
    momentum: float = _USUAL
    name = "normalization"
    changes_layers = True

    def applied(self, training: Training) -> Training:
        """Returns the training with another model."""
        hidden = {id(one) for one in hidden_layers(training.model)}

        def edit(layer):
            name = f"{layer.name}_normalization"
            added = [_KINDS[self.kind](name=name, **self._arguments())] if id(layer) in hidden else []
            return [cloned(layer), *added]

        return training.changed(model=rebuilt(training.model, edit))

    def code(self, training: Training) -> str:
        """Returns the layer."""
        after = where(hidden_layers(training.model)).removeprefix("in ")
        inside = "" if self.momentum == _USUAL else f"momentum={self.momentum:g}"
        return f"keras.layers.{self.kind}({inside})  # after {after}"

    def _arguments(self):
        return {} if self.momentum == _USUAL else {"momentum": self.momentum}


def proposals(observed: Observed) -> list[Normalization]:
    """Proposes batch normalization where there is none, and layer normalization where batches are small."""
    model = observed.training.model
    if any(map(_normalizes, flattened(model))) or not hidden_layers(model):
        return []
    momentum = _USUAL if observed.num_steps >= _MANY_STEPS else _QUICK
    of_batch = [Normalization(momentum=momentum)] if observed.training.batch_size >= _MIN_BATCH else []
    return [*of_batch, Normalization("LayerNormalization")]


def of_deep(observed: Observed) -> list[Normalization]:
    """Proposes the same where many hidden layers follow one another."""
    return proposals(observed)[:1] if len(hidden_layers(observed.training.model)) >= _DEEP else []


def unusual(observed: Observed) -> list[Normalization]:
    """Proposes the same where very many that learn follow one another, and nothing leads around any of them."""
    model = observed.training.model
    learning = [one for one in hidden_layers(model) if one.trainable]
    return proposals(observed)[:1] if len(learning) >= _VERY_DEEP and is_chain(model) else []


def _normalizes(layer):
    """Whether a layer normalizes what the layers before it make, and not the inputs."""
    return "Normalization" in type(layer).__name__ and not isinstance(layer, keras.layers.Normalization)
