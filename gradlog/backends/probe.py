"""Probe: what a model's layers do with one fixed batch, in a separate pass.

The pass runs inference, and is compiled once, as the model is. It runs in a `keras.StatelessScope`: whatever a layer
assigns to its variables meanwhile (statistics, counters, the state of a random generator) is thrown away.

To see what a layer gets and returns, methods of that layer are patched while the pass is traced. So it does not matter
how the model was built, and nothing stays behind. What is made of it is a matter of the measures, a file each.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras

from gradlog.backends.attention import ATTENTION
from gradlog.backends.checks import ArgumentError, checked_batch, in_short
from gradlog.backends.engine import engine
from gradlog.backends.experts import EXPERTS
from gradlog.backends.hidden import hidden_measure
from gradlog.backends.moving_statistics import MOVING_STATISTICS
from gradlog.backends.residual_stream import RESIDUAL_STREAM
from gradlog.backends.watching import kept
from gradlog.history.history import Snapshot


class Observed(NamedTuple):
    """What a pass has seen.

    Attributes:
        finishes: Functions of arrays on the host to fields of a `Snapshot`, one for each measure.
        parts: The arrays of each measure; nothing where there was no pass.
    """

    finishes: Sequence[Callable]
    parts: Sequence[Sequence]

    def added_to(self, snapshot: Snapshot) -> Snapshot:
        """Returns a snapshot with what was seen in it."""
        fields: dict[str, Any] = {}
        scalars = dict(snapshot.scalars)
        for finish, arrays in zip(self.finishes, self.parts, strict=False):
            found = finish(arrays)
            scalars |= found.pop("scalars")
            fields |= found
        return dataclasses.replace(snapshot, **fields, scalars=scalars)


class Probe:
    """Looks at what a model's layers do with a batch: activations, attention, residual stream, moving statistics.

    If anything fails there, except that the batch does not fit, only the pass ends: gradients are still logged.

    Args:
        batch: Array, tensor, or a list, tuple or dictionary of them: inputs of the model. `None` for no probe.
        has_histograms: Boolean, whether histograms are asked for, beside the fractions.
    """

    def __init__(self, batch, has_histograms: bool):
        self._batch = batch
        self._measures = (hidden_measure(has_histograms), ATTENTION, RESIDUAL_STREAM, MOVING_STATISTICS, EXPERTS)
        self._inputs = self._setting = None
        self._model: keras.Model | None = None
        self._guard: Any = None
        self._program: Callable | None = None
        self._observed: list[list] | None = None
        self._is_ready = False
        # One for each part of what the program returns; known once it is traced.
        self._finishes: tuple[Callable, ...] = ()

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
            self._observed = [[_on_host(part) for part in parts] for parts in self._program(self._inputs)]
            self._setting = setting
        except ArgumentError as error:  # of a model that was built meanwhile: too late to raise it
            self._guard.fail(error)

    def take(self) -> "Observed":
        """Returns what was observed last; only the first that asks gets it."""
        observed, self._observed = self._observed, None
        return Observed(self._finishes, observed or ())

    def _compile(self):
        """Makes the program, or keeps that of an earlier training where the model is as it was."""
        model = self._model
        watched = [measure.watches(model) for measure in self._measures]
        activations = [getattr(watch.owner, "activation", None) for watches in watched for watch in watches]
        setting = model._flatten_layers(), [*filter(callable, activations)], model.run_eagerly, model.jit_compile
        if setting != self._setting:
            self._setting = None
            self._program = engine().compiled(model, functools.partial(self._look, watched), self._inputs)
            self._setting = setting
        self._is_ready = True

    def _look(self, watched, inputs, state=()):
        """Returns what each of the measures that saw something read, and knows what finishes it."""
        calls, results = _outputs(self._model, watched, inputs, state, self._guard)
        readings = [
            measure.reading(watches, [next(calls) for _ in watches], results)
            for measure, watches in zip(self._measures, watched, strict=True)
        ]
        readings = [reading for reading in readings if reading is not None]
        if not readings:
            raise RuntimeError(
                "None of the model's hidden layers shows an activation, and none is attention, a residual block, batch "
                "normalization or a router of experts. Expected layers such as `Dense(10, 'relu')` or `ReLU()` whose "
                "output is not the model's own, called outside of a loop or a `tf.function` of the model's own; leave "
                f"`activations` out otherwise. Received: {self._model.name!r}"
            )
        self._finishes = tuple(reading.finish for reading in readings)
        return [list(reading.tensors) for reading in readings]


def _outputs(model, watched, inputs, state, guard):
    """Runs the pass; returns an iterator of what was kept of the calls of each watch, and the model's results."""
    _check_number(model, inputs)
    watches = [watch for of_measure in watched for watch in of_measure]
    with kept(watches, guard) as calls, keras.StatelessScope(state):
        results = _called(model, inputs)
    return iter(calls), results


def _on_host(tensor):
    return None if tensor is None else engine().to_numpy(tensor)


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
