"""Another activation of the hidden layers: an active ReLU does not shrink the gradient (Glorot et al. 2011)."""

from dataclasses import dataclass

import keras

from gradlog.diagnosis.changes.of_run import SQUASHING
from gradlog.repair.changes.change import Observed, where
from gradlog.repair.surgery import cloned, hidden_activations, hidden_layers, rebuilt
from gradlog.repair.training import Training


@dataclass(frozen=True)
class HiddenActivation:
    """Hidden layers that have an activation get another one.

    Attributes:
        activation: String, Keras' name.
    """

    activation: str
    name = "activation"
    changes_layers = True

    def applied(self, training: Training) -> Training:
        """Returns the training with another model."""
        inside, alone = _found(training.model)
        names, alone = {id(one) for one in inside}, {id(one) for one in alone}

        def edit(layer):
            if id(layer) in alone:
                return [keras.layers.Activation(self.activation, name=layer.name)]
            return [cloned(layer, activation=self.activation)] if id(layer) in names else [cloned(layer)]

        return training.changed(model=rebuilt(training.model, edit))

    def code(self, training: Training) -> str:
        """Returns the argument."""
        inside, alone = _found(training.model)
        before = ", ".join(dict.fromkeys(filter(None, map(activation_of, [*inside, *alone]))))
        return f'activation="{self.activation}"  # {where([*inside, *alone])}; was {before}'


def proposals(observed: Observed) -> list[HiddenActivation]:
    """Proposes ReLU where hidden layers squash, and leaky ReLU where they are ReLU, which can die."""
    inside, alone = _found(observed.training.model)
    found = {activation_of(one) for one in [*inside, *alone]}
    if found & {*SQUASHING}:
        return [HiddenActivation("relu")]
    return [HiddenActivation("leaky_relu")] if found & {"relu", "relu6"} else []


def activation_of(layer: keras.Layer) -> str:
    """Returns Keras' name of a layer's activation; empty if it is linear, or not known."""
    kinds = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu", "PReLU": "prelu"}
    name = kinds.get(type(layer).__name__, getattr(getattr(layer, "activation", None), "__name__", ""))
    return "" if name == "linear" else name


def _found(model):
    """Returns the hidden layers with an activation inside, and those that are one."""
    return [one for one in hidden_layers(model) if activation_of(one)], hidden_activations(model)
