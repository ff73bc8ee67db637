"""Skip connections: the gradient has a way around each layer (He et al. 2016)."""

from dataclasses import dataclass

from gradlog.repair.changes.change import Observed, where
from gradlog.repair.surgery import layers_of_one_shape, rebuilt
from gradlog.repair.training import Training

_MIN_LAYERS = 3


@dataclass(frozen=True)
class SkipConnections:
    """What a hidden layer gets is added to what it returns, where both have one shape."""

    name = "skip connections"
    changes_layers = True

    def applied(self, training: Training) -> Training:
        """Returns the training with another model."""
        found = {id(one) for one in layers_of_one_shape(training.model)}
        return training.changed(model=rebuilt(training.model, with_skips=lambda layer: id(layer) in found))

    def code(self, training: Training) -> str:
        """Returns the sum."""
        return f"x = keras.layers.Add()([x, layer(x)])  # {where(layers_of_one_shape(training.model))}"


def proposals(observed: Observed) -> list[SkipConnections]:
    """Proposes them where a chain of hidden layers is long enough and has none."""
    model = observed.training.model
    has_them = any(type(one).__name__ in ("Add", "Concatenate") for one in model.layers)
    return [SkipConnections()] if not has_them and len(layers_of_one_shape(model)) >= _MIN_LAYERS else []
