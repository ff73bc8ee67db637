"""Layers that are trained: where the output layer is frozen, what the others learn has nowhere to go."""

from dataclasses import dataclass

from gradlog.repair.changes.change import Observed, where
from gradlog.repair.surgery import cloned, flattened, output_layers, rebuilt
from gradlog.repair.training import Training


@dataclass(frozen=True)
class Unfrozen:
    """All layers are trainable."""

    name = "trainable"
    changes_layers = True

    def applied(self, training: Training) -> Training:
        """Returns the training with another model."""

        def edit(layer):
            return [cloned(layer) if layer.trainable else cloned(layer, trainable=True)]

        return training.changed(model=rebuilt(training.model, edit))

    def code(self, training: Training) -> str:
        """Returns the attribute."""
        return f"layer.trainable = True  # {where(_frozen(training.model))}; before compile"


def proposals(observed: Observed) -> list[Unfrozen]:
    """Proposes it where an output layer is frozen."""
    model = observed.training.model
    return [Unfrozen()] if any(one.weights and not one.trainable for one in output_layers(model)) else []


def _frozen(model):
    return [one for one in flattened(model) if one.weights and not one.trainable]
