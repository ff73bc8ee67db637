"""One output for each input: a `Dense` layer after a convolution gives one for each place of the image."""

from dataclasses import dataclass

import keras
import numpy as np

from gradlog.repair.changes.change import Observed
from gradlog.repair.surgery import cloned, is_chain, output_layers, rebuilt
from gradlog.repair.training import Training


@dataclass(frozen=True)
class Flattened:
    """All that the output layer gets of an input is one vector."""

    name = "flatten"
    changes_layers = True

    def applied(self, training: Training) -> Training:
        """Returns the training with another model."""
        last = output_layers(training.model)[0]

        def edit(layer):
            return [*([keras.layers.Flatten()] if layer is last else []), cloned(layer)]

        return training.changed(model=rebuilt(training.model, edit))

    def code(self, training: Training) -> str:
        """Returns the layer."""
        return f"keras.layers.Flatten()  # before {output_layers(training.model)[0].name}"


def proposals(observed: Observed) -> list[Flattened]:
    """Proposes it where a chain of layers returns more axes than the targets of a row have."""
    model, targets = observed.training.model, keras.tree.flatten(observed.data.train.y)
    if not is_chain(model) or len(model.outputs) != 1 or len(targets) != 1 or observed.task.is_sequence:
        return []
    last, has_too_many = output_layers(model), len(model.outputs[0].shape) > 2 >= np.ndim(targets[0])
    return [Flattened()] if has_too_many and last and isinstance(last[0], keras.layers.Dense) else []
