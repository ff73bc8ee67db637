"""Probe: a model's hidden activations on one fixed batch, in a separate pass.

The pass runs inference, and is compiled once, as the model is. It runs in a `keras.StatelessScope`: whatever a layer
assigns to its variables meanwhile (statistics, counters, the state of a random generator) is thrown away.

To see a layer's output, the probe patches the `call` of that layer while the pass is traced. So it does not matter
how the model was built, and nothing stays behind.
"""

import contextlib
import dataclasses
import functools
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from gradlog.backends.tensorflow.activations import Kind, dead_fraction, kind, relu_kind, saturated_fraction
from gradlog.backends.tensorflow.checks import ArgumentError, checked_batch, in_short
from gradlog.backends.tensorflow.histograms import histograms
from gradlog.backends.tensorflow.patches import Patch, Patches
from gradlog.history import names
from gradlog.history.history import Snapshot

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


class Probe:
    """Looks at a model's hidden activations.

    If anything fails there, except that the batch does not fit, only the pass ends: gradients are still logged.

    Args:
        batch: Array, tensor, or a list, tuple or dictionary of them: inputs of the model. `None` for no probe.
        has_histograms: Boolean, whether histograms are asked for, beside the fractions.
    """

    def __init__(self, batch, has_histograms: bool):
        self._batch, self._has_histograms = batch, has_histograms
        self._guard = self._inputs = self._model = self._setting = self._program = self._observed = None
        self._is_ready = False
        self._layers, self._tags = (), ()  # of what the program returns; known once it is traced

    def begin(self, model: keras.Model, guard) -> None:
        """Prepares for a training; a model that has no variables yet is looked at once it has.

        Args:
            model: The model.
            guard: The `Guard` of what the probe does.

        Raises:
            ValueError: The model does not take the batch.
        """
        self._model, self._guard, self._is_ready = model, guard, False
        if self._batch is None:
            return
        if self._inputs is None:
            self._inputs = checked_batch("activations", self._batch)
        if model.built:
            guard(self._compile)

    def observe(self) -> None:
        """Runs the pass with the weights as they are now, unless there is none, or the model is not built."""
        self._observed = None
        if self._batch is None or not self._model.built:
            return
        try:
            if not self._is_ready:
                self._compile()
            setting, self._setting = self._setting, None  # a program that fails is not used again
            self._observed = [None if part is None else part.numpy() for part in self._program(self._inputs)]
            self._setting = setting
        except ArgumentError as error:  # of a model that was built meanwhile: too late to raise it
            self._guard.fail(error)

    def added_to(self, snapshot: Snapshot) -> Snapshot:
        """Returns a snapshot with what was observed last in it; only the first that is asked for gets it."""
        if self._observed is None:
            return snapshot
        (counts, fractions), self._observed = self._observed, None
        scalars = dict(zip(self._tags, fractions.tolist(), strict=True))
        layers = () if counts is None else self._layers
        return dataclasses.replace(snapshot, layers=layers, activations=counts, scalars=snapshot.scalars | scalars)

    def _compile(self):
        """Makes the program, or keeps that of an earlier training where the model is as it was."""
        watched, model = watched_layers(self._model), self._model
        activations = [activation for one in watched if callable(activation := getattr(one.layer, "activation", None))]
        setting = model._flatten_layers(), activations, model.run_eagerly, model.jit_compile
        if setting != self._setting:
            self._setting = None
            look = functools.partial(self._look, watched)
            if model.run_eagerly:
                look(self._inputs)
                self._program = look
            else:
                program = tf.function(look, jit_compile=bool(model.jit_compile), autograph=False)
                self._program = program.get_concrete_function(self._inputs)
            self._setting = setting
        self._is_ready = True

    def _look(self, watched, inputs):
        """Returns counts [L, B] of the layers that were called, or `None`, and fractions [F]."""
        seen = _outputs(self._model, watched, inputs, self._guard)
        if not seen:
            raise RuntimeError(
                "None of the model's hidden layers shows an activation. Expected layers such as `Dense(10, 'relu')` "
                "or `ReLU()` whose output is not the model's own, called outside of a loop or a `tf.function` of the "
                f"model's own; leave `activations` out otherwise. Received: {self._model.name!r}"
            )
        fractions = {}
        for one, calls in seen:
            fractions |= fractions_of(one, calls)
        self._layers, self._tags = tuple(one.name for one, _ in seen), tuple(fractions)
        flat = [tf.concat([tf.reshape(outputs, [-1]) for outputs in calls], 0) for _, calls in seen]
        counts = histograms(flat) if self._has_histograms else None
        return counts, tf.stack(list(fractions.values())) if fractions else tf.zeros([0])


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
    """Whether a layer returns its `activation`, as Keras' own do; a block of the user's own may use it anywhere."""
    return type(layer).__module__.partition(".")[0] == "keras"


def _outputs(model, watched, inputs, guard):
    """Runs the pass; returns the watched layers that were called, and the outputs of each that are not the model's."""
    _check_number(model, inputs)
    with kept_outputs(watched, guard) as calls, keras.StatelessScope():
        results = _called(model, inputs)
    return hidden_outputs(watched, calls, results)


@contextlib.contextmanager
def kept_outputs(watched, guard):
    """Keeps what watched layers return meanwhile; gives a dictionary of their ids to lists of tensors."""
    calls, graph = {id(one.layer): [] for one in watched}, tf.compat.v1.get_default_graph()

    def keep(layer, result, *args, **kwargs):
        first = keras.tree.flatten(result)[0]  # what follows it are states
        # What is computed in a loop, or in a function of its own, cannot be had outside of it.
        if tf.is_tensor(first) and first.dtype.is_floating and tf.compat.v1.get_default_graph() is graph:
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


def _check_number(model, inputs):
    """Raises where there are fewer or more arrays than inputs; Keras may take the first ones without a word."""
    number, received = len(getattr(model, "inputs", None) or ()), len(keras.tree.flatten(inputs))
    if number and number != received:
        raise _misfit(f"{number} input{'s' * (number > 1)} expected, {received} given.", inputs)


def _called(model, inputs):
    try:
        return model(inputs, training=False)
    except Exception as error:  # of the model
        raise _misfit(in_short(error), inputs) from error


def _misfit(said, inputs):
    return ArgumentError(
        "The model does not take the batch in `activations`. Expected inputs as the model is trained on, such as "
        f"`activations=x[:100]`; it said: {said} Received: {_described(inputs)}"
    )


def fractions_of(one: Watched, calls) -> dict[str, tf.Tensor]:
    """Returns the fractions that are dead and saturated of a layer's outputs, by tag."""
    fractions = {}
    if one.kind.can_die:
        same_units = bool(one.layer.weights)  # a `ReLU()` may stand behind many layers
        dead = dead_fraction(calls, _unit_axis(one.layer, calls[0].shape.rank), same_units)
        fractions[names.tag(names.ACTIVATION_DEAD, one.name)] = dead
    if one.kind.is_saturated is not None:
        saturated = saturated_fraction(calls, one.kind.is_saturated)
        fractions[names.tag(names.ACTIVATION_SATURATED, one.name)] = saturated
    return fractions


def _unit_axis(layer, rank):
    """Returns where the units stand: last, or behind the examples."""
    data_format = getattr(layer, "data_format", None) or (rank > 3 and keras.config.image_data_format())
    return 1 if data_format == "channels_first" and rank > 2 else -1


def _described(inputs):
    return keras.tree.map_structure(lambda tensor: f"{tensor.dtype.name} {tuple(tensor.shape)}", inputs)
