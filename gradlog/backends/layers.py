"""Layers: those whose output is an activation, and what they return in a pass."""

import contextlib
import functools
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from gradlog.backends.activations import Kind, dead_fraction, kind, relu_kind, saturated_fraction
from gradlog.backends.engine import engine
from gradlog.backends.patches import Patch, Patches
from gradlog.history import names

_SHAPED = (keras.layers.LeakyReLU, keras.layers.PReLU, keras.layers.ELU, keras.layers.Softmax)


class Watched(NamedTuple):
    """A layer whose output is an activation.

    Attributes:
        name: Its name in the tags.
        layer: The Keras layer.
        kind: `Kind` of its activation.
    """

    name: str
    layer: keras.layers.Layer
    kind: Kind


def watched_layers(model: keras.Model) -> list[Watched]:
    """Returns a model's layers with an activation, in its order, each with the name that tags use.

    Of a recurrent layer and of `TimeDistributed`, it is the layer itself: what it holds is called in a loop.
    """
    found = _layers_in(model, model.name)
    tags = names.layer_names([path for path, _ in found], model.name)
    watched = [Watched(tag, layer, kind_of(layer)) for tag, (_, layer) in zip(tags, found, strict=True)]
    return [one for one in watched if one.kind is not None]


def kind_of(layer: keras.layers.Layer) -> Kind | None:
    """Returns the `Kind` of what a layer returns, or `None` if it is not an activation.

    What LSTM and GRU return is an activation times a gate, or a mean of such, so only its histogram says something.
    """
    if isinstance(layer, keras.layers.ReLU):
        return relu_kind(float(np.min(layer.negative_slope)), layer.max_value)
    if isinstance(layer, _SHAPED):
        return Kind()
    if isinstance(layer, keras.layers.TimeDistributed):
        return kind_of(layer.layer)
    if isinstance(layer, keras.layers.RNN) and not isinstance(layer.cell, keras.layers.SimpleRNNCell):
        return Kind() if hasattr(layer.cell, "activation") else None
    activation = getattr(getattr(layer, "cell", layer), "activation", None)
    if isinstance(activation, keras.layers.Layer):
        return kind_of(activation) if _is_of_keras(layer) else None
    if not callable(activation) or getattr(activation, "__name__", None) == "linear":
        return None
    return kind(activation)


def _layers_in(layer, path, seen=None):
    """Returns the paths and layers of all that is inside of a layer, each once, before those that it holds."""
    seen, found = set() if seen is None else seen, []
    if isinstance(layer, (keras.layers.RNN, keras.layers.TimeDistributed)):
        return found
    activation = getattr(layer, "activation", None) if _is_of_keras(layer) else None
    parts = layer._flatten_layers(include_self=False, recursive=False)
    # A layer without weights has no path of its own; it stands where those beside it stand.
    place = next((path_of.rpartition("/")[0] for path_of in map(_path, parts) if path_of), path)
    for part in parts:
        if part is not activation and id(part) not in seen:
            seen.add(id(part))
            path_of_part = _path(part) or f"{place}/{part.name}".removeprefix("/")
            found += [(path_of_part, part), *_layers_in(part, path_of_part, seen)]
    return found


def _path(layer):
    """Returns a layer's path, or `None` where it is not built, as one without variables never is."""
    return getattr(layer, "path", None)


def _is_of_keras(layer):
    """Whether a layer returns its `activation`, as Keras' own layers do; a custom layer may use it anywhere."""
    return type(layer).__module__.partition(".")[0] == "keras"


@contextlib.contextmanager
def kept_outputs(watched, guard):
    """Keeps what watched layers return meanwhile; gives a dictionary of their ids to lists of tensors."""
    calls, scope = {id(one.layer): [] for one in watched}, engine().scope()

    def keep(layer, result, *args, **kwargs):
        first = keras.tree.flatten(result)[0]  # what follows it are states
        # What is computed in a loop, or in a function of its own, cannot be had outside of it.
        if ops.is_tensor(first) and keras.backend.is_float_dtype(first.dtype) and engine().scope() == scope:
            calls[id(layer)].append(first)

    patches = Patches(guard, [Patch(one.layer, "call", after=functools.partial(keep, one.layer)) for one in watched])
    patches.put_on()
    try:
        yield calls
    finally:
        patches.take_off()


def hidden_outputs(watched, calls, results):
    """Returns the watched layers that were called, and the outputs of each that are not the model's results."""
    ends = {id(output) for output in keras.tree.flatten(results)}
    hidden = [(one, [output for output in calls[id(one.layer)] if id(output) not in ends]) for one in watched]
    return [(one, outputs) for one, outputs in hidden if outputs]


def fractions_of(one: Watched, calls) -> dict:
    """Returns the fractions that are dead and saturated of a layer's outputs, by tag."""
    fractions = {}
    if one.kind.can_die:
        same_units = bool(one.layer.weights)  # a `ReLU()` may stand behind many layers
        dead = dead_fraction(calls, _unit_axis(one.layer, len(calls[0].shape)), same_units)
        fractions[names.tag(names.ACTIVATION_DEAD, one.name)] = dead
    if one.kind.is_saturated is not None:
        saturated = saturated_fraction(calls, one.kind.is_saturated)
        fractions[names.tag(names.ACTIVATION_SATURATED, one.name)] = saturated
    return fractions


def _unit_axis(layer, rank):
    """Returns where the units stand: last, or behind the examples."""
    data_format = getattr(layer, "data_format", None) or (rank > 3 and keras.config.image_data_format())
    return 1 if data_format == "channels_first" and rank > 2 else -1
