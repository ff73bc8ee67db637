"""Layers: what they are called, those whose output is an activation, and what these return in a pass."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import keras
import numpy as np

from gradlog.backends.activations import Kind, dead_fraction, kind, relu_kind, saturated_fraction
from gradlog.backends.watching import Watch, first_floats, kept
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


def named_layers(model: keras.Model) -> list[tuple[str, keras.layers.Layer]]:
    """Returns all layers of a model, each with the name that tags use, in its order and before those that it holds.

    Of a recurrent layer and of `TimeDistributed`, it is the layer itself: what it holds is called in a loop.
    """
    found = _layers_in(model, model.name)
    tags = names.layer_names([path for path, _ in found], model.name)
    return [(tag, layer) for tag, (_, layer) in zip(tags, found, strict=True)]


def parts(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns the layers that a layer holds, but not those that these hold."""
    return list(layer._flatten_layers(include_self=False, recursive=False))


def watched_layers(model: keras.Model) -> list[Watched]:
    """Returns a model's layers with an activation, in its order, each with the name that tags use."""
    known = [(tag, layer, kind_of(layer)) for tag, layer in named_layers(model)]
    return [Watched(tag, layer, kind) for tag, layer, kind in known if kind is not None]


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
    inside = parts(layer)
    # A layer without weights has no path of its own; it stands where those beside it stand.
    place = next((path_of.rpartition("/")[0] for path_of in map(_path, inside) if path_of), path)
    for part in inside:
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


def output_watches(watched: Sequence[Watched]) -> list[Watch]:
    """Returns what has to be seen of watched layers: what each returns first; what follows it are states."""
    return [Watch(one.name, one.layer, "call", _output) for one in watched]


def _output(layer, result, *args, **kwargs):
    return first_floats(result)


def kept_outputs(watched: Sequence[Watched], guard) -> AbstractContextManager[list[list]]:
    """Keeps what watched layers return meanwhile; gives a list of tensors for each of them."""
    return kept(output_watches(watched), guard)


def hidden_outputs(watched: Sequence[Watched], calls: Sequence, results) -> list[tuple[Watched, list]]:
    """Returns the watched layers that were called, and the outputs of each that are not the model's results."""
    ends = {id(output) for output in keras.tree.flatten(results)}
    hidden = [
        (one, [output for output in of_one if id(output) not in ends])
        for one, of_one in zip(watched, calls, strict=True)
    ]
    return [(one, outputs) for one, outputs in hidden if outputs]


def fractions_of(one: Watched, calls: Sequence) -> dict:
    """Returns the fractions that are dead and saturated of a layer's outputs, by tag."""
    fractions = {}
    if one.kind.can_die:
        same_units = bool(one.layer.weights)  # a `ReLU()` may stand behind many layers
        dead = dead_fraction(calls, unit_axis(one.layer, len(calls[0].shape)), same_units)
        fractions[names.tag(names.ACTIVATION_DEAD, one.name)] = dead
    if one.kind.is_saturated is not None:
        saturated = saturated_fraction(calls, one.kind.is_saturated)
        fractions[names.tag(names.ACTIVATION_SATURATED, one.name)] = saturated
    return fractions


def unit_axis(layer: keras.layers.Layer, rank: int) -> int:
    """Returns where the units of an output of so many axes stand: last, or behind the examples."""
    data_format = getattr(layer, "data_format", None) or (rank > 3 and keras.config.image_data_format())
    return 1 if data_format == "channels_first" and rank > 2 else -1
