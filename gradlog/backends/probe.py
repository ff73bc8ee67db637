"""Probe: a model's hidden activations on one fixed batch, in a separate pass.

The pass runs inference, and is compiled once, as the model is. It runs in a `keras.StatelessScope`: whatever a layer
assigns to its variables meanwhile (statistics, counters, the state of a random generator) is thrown away.

To see a layer's output, the probe patches the `call` of that layer while the pass is traced. So it does not matter
how the model was built, and nothing stays behind.
"""

import dataclasses
import functools

import keras
from keras import ops

from gradlog.backends.checks import ArgumentError, checked_batch, in_short
from gradlog.backends.engine import engine
from gradlog.backends.layers import fractions_of, hidden_outputs, kept_outputs, watched_layers
from gradlog.history.history import Snapshot


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
            self._inputs = checked_batch("activations", self._batch, engine().constant)
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
            self._observed = [None if part is None else engine().to_numpy(part) for part in self._program(self._inputs)]
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
            self._program = engine().compiled(model, functools.partial(self._look, watched), self._inputs)
            self._setting = setting
        self._is_ready = True

    def _look(self, watched, inputs, state=()):
        """Returns counts [L, B] of the layers that were called, or `None`, and fractions [F]."""
        seen = _outputs(self._model, watched, inputs, state, self._guard)
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
        flat = [ops.concatenate([ops.reshape(outputs, (-1,)) for outputs in calls]) for _, calls in seen]
        counts = engine().histograms(flat) if self._has_histograms else None
        return counts, ops.stack(list(fractions.values())) if fractions else ops.zeros((0,))


def _outputs(model, watched, inputs, state, guard):
    """Runs the pass; returns the watched layers that were called, and the outputs of each that are not the model's."""
    _check_number(model, inputs)
    with kept_outputs(watched, guard) as calls, keras.StatelessScope(state):
        results = _called(model, inputs)
    return hidden_outputs(watched, calls, results)


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


def _described(inputs):
    def described(tensor):
        return f"{keras.backend.standardize_dtype(tensor.dtype)} {tuple(tensor.shape)}"

    return keras.tree.map_structure(described, inputs)
