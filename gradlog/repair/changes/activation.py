"""Another activation of the hidden layers: an active ReLU does not shrink the gradient (Glorot et al. 2011)."""

from dataclasses import dataclass

import keras

from gradlog.diagnosis.changes.of_run import SQUASHING
from gradlog.repair.changes.change import Observed, where
from gradlog.repair.surgery import cloned, flattened, hidden_activations, hidden_layers, is_chain, rebuilt
from gradlog.repair.training import Training

_UNUSUAL = ("softmax", "log_softmax", "exponential")
_KINDS = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu", "PReLU": "prelu", "Softmax": "softmax"}
_LINEAR = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.BatchNormalization,
    keras.layers.Normalization,
    keras.layers.Rescaling,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.AveragePooling2D,
)


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
        before = ", ".join(dict.fromkeys(filter(None, map(activation_of, [*inside, *alone])))) or "none"
        return f'activation="{self.activation}"  # {where([*inside, *alone])}; was {before}'


def proposals(observed: Observed) -> list[HiddenActivation]:
    """Proposes ReLU where hidden layers squash, or are linear; and leaky ReLU where they are ReLU, which can die."""
    is_relu = _activations(observed) & {"relu", "relu6"}
    return to_relu(observed) or ([HiddenActivation("leaky_relu")] if is_relu else [])


def to_relu(observed: Observed) -> list[HiddenActivation]:
    """Proposes ReLU where hidden layers squash, or are linear."""
    return [HiddenActivation("relu")] if _activations(observed) & {*SQUASHING, *_UNUSUAL, ""} else []


def unusual(observed: Observed) -> list[HiddenActivation]:
    """Proposes ReLU where hidden layers have an activation that is meant for an output, or none at all."""
    return [HiddenActivation("relu")] if _activations(observed) & {*_UNUSUAL, ""} else []


def activation_of(layer: keras.Layer) -> str:
    """Returns Keras' name of a layer's activation; empty if it is linear, or not known."""
    if type(layer).__name__ in _KINDS:
        return _KINDS[type(layer).__name__]
    found = getattr(layer, "activation", None)
    kind = type(found).__name__
    name = "" if found is None else getattr(found, "__name__", None) or _KINDS.get(kind, kind)
    return "" if name == "linear" else name


def _activations(observed):
    """Returns the names of the activations of the hidden layers."""
    inside, alone = _found(observed.training.model)
    return {activation_of(one) for one in [*inside, *alone]}


def _found(model):
    """Returns the hidden layers with an activation inside, and those that are one.

    Where the whole model is linear, all of its hidden layers are returned. Beside a chain, a softmax is a gate.
    """
    hidden, alone = hidden_layers(model), hidden_activations(model)
    inside = [one for one in hidden if activation_of(one)]
    if not inside and not alone and _is_linear(model):
        return hidden, alone
    kept = () if is_chain(model) else _UNUSUAL
    return tuple([one for one in each if activation_of(one) not in kept] for each in (inside, alone))


def _is_linear(model):
    """Whether a model has nothing but layers whose output is a linear function of their input."""
    return all(isinstance(one, (keras.layers.InputLayer, *_LINEAR)) for one in flattened(model)[:-1])
