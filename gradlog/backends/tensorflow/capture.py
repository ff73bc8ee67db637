"""Capture: takes the numbers out of the training step itself. The only module that reaches into Keras' insides.

While a recorded step runs, or is traced, five methods of the optimizer and the model are wrapped. What the step
hands them is reduced where it is and put into a `Ring`, which the host reads afterwards:

    optimizer.scale_loss                the loss, before it is scaled
    optimizer.apply                     how far the update moves the weights
    optimizer._backend_apply_gradients  which variables the gradients belong to
    optimizer._clip_gradients           the gradients: unscaled, accumulated, not yet clipped
    model.compute_metrics               targets and predictions, for the metrics of this batch alone

What goes wrong in a wrapper never reaches the step: it is kept in `error`, and nothing more is recorded.
"""

import contextlib
import functools
import math
import threading
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from gradlog.backends.tensorflow.embeddings import touched_rows
from gradlog.backends.tensorflow.histograms import histograms
from gradlog.backends.tensorflow.optimizers import batches_per_step, clips, inner_optimizer
from gradlog.backends.tensorflow.ring import Ring, variable
from gradlog.backends.tensorflow.totals import square_distances, totals
from gradlog.backends.tensorflow.wrappers import Wrappers
from gradlog.history import names
from gradlog.history.history import Snapshot
from gradlog.stats import buckets
from gradlog.stats.snapshots import StepLayout, snapshot


class Options(NamedTuple):
    """What a `Capture` records.

    Attributes:
        every: Integer, a step is due where its number is a multiple of it.
        histograms: Boolean, whether to keep the bucket counts of gradients and weights.
        updates: Boolean, whether to compare the weights before and after the update. This keeps one more copy of
            them while a recorded step runs.
        select: Function of a variable and its name that says whether it is recorded.
    """

    every: int
    histograms: bool
    updates: bool
    select: Callable[[keras.Variable, str], bool]


class Mode(NamedTuple):
    """How the steps of a `Capture` come to be recorded.

    Attributes:
        slots: Integer, how many recorded steps can wait for the host.
        decides: `"call"` where whoever calls the program knows that its step is due, `"step"` where the program asks
            at every step, `"update"` where the optimizer asks at every update.
        returns: Boolean, whether the step returns what it recorded.
        is_alone: Boolean, whether the optimizer is taken to update all of the model's variables, and the loss to be
            the one that it minimizes; else only its own variables are recorded.
    """

    slots: int
    decides: str
    returns: bool
    is_alone: bool = True


class Capture:
    """Records the steps that are due and hands them to the host.

    Args:
        model: A Keras model.
        optimizer: The Keras optimizer whose gradients are recorded.
        options: `Options`.
        mode: `Mode`.
    """

    def __init__(self, model: keras.Model, optimizer: keras.optimizers.Optimizer, options: Options, mode: Mode):
        self.model, self.optimizer = model, inner_optimizer(optimizer)
        self._options, self._mode = options, mode
        # A step that only accumulates, or that loss scaling skips, applies no gradient.
        skips = self.optimizer is not optimizer or bool(self.optimizer.gradient_accumulation_steps)
        self._may_skip = skips or mode.decides == "update"
        self.sees_gradients = False
        self.error = None  # what went wrong in recording, if anything did
        self._stride = batches_per_step(optimizer)
        self._variables, self._owned, self._form = None, (), StepLayout()
        self._is_replicated = model.distribute_strategy.num_replicas_in_sync > 1
        self._step = threading.local()  # what one replica's step knows of itself while it is traced
        self._wrappers = Wrappers(
            (optimizer, "scale_loss", self._scale_loss),
            (self.optimizer, "apply", self._apply),
            (self.optimizer, "_backend_apply_gradients", self._backend_apply_gradients),
            (self.optimizer, "_clip_gradients", self._clip_gradients),
            (model, "compute_metrics", self._compute_metrics),
        )
        self._ring = Ring(options.every, mode.slots, returns=mode.returns, is_replicated=self._is_replicated)
        self._is_fresh, self._is_on = variable(tf.constant(False)), variable(tf.constant(False))

    def recorded(self, step: Callable) -> Callable:
        """Returns a training step that does what `step` does, and records it where it is due."""

        def record(*args):
            self._ring.begin()
            with self._wrappers:
                logs = step(*args)
            return {**logs, self._key: self._ring.outputs()} if self._mode.returns else logs

        def record_if_due(*args):
            # An unbuilt model's first graph is a draft that makes the variables, and will not run. Replicas cannot
            # meet inside of a `tf.cond`: there every step is recorded, and those not due go where nobody looks.
            if self._is_replicated or not self._is_built():
                return record(*args)
            return tf.cond(self._is_due(), lambda: record(*args), lambda: step(*args))

        self._allocate()
        self._is_on.assign(True)
        return record_if_due if self._mode.decides == "step" else record

    @contextlib.contextmanager
    def attached(self):
        """Wraps the methods for a loop of the user's own, whose updates decide for themselves whether to record."""
        self._allocate()
        self._is_on.assign(True)
        try:
            with self._wrappers:
                yield
        finally:
            self._is_on.assign(False)  # a step that was traced meanwhile goes on without recording

    @property
    def knows_loss(self) -> bool:
        """Whether the step tells its loss; a `train_step` of the user's own may not."""
        return self._form.has_loss

    def due_steps(self, batches: range) -> list[int]:
        """Returns the steps that are due among those that a range of batches completes."""
        steps = range(batches.start // self._stride, batches.stop // self._stride)
        return [step for step in steps if step % self._options.every == 0]

    def start(self) -> None:
        """Forgets the steps of an earlier training."""
        self._ring.clear()

    def take(self, logs: dict) -> dict:
        """Takes what a step returned for gradlog out of what it returned, and returns the rest."""
        if self._mode.returns:
            self._ring.take(logs[self._key])
            logs = {name: value for name, value in logs.items() if name != self._key}
        return logs

    def fetch(self) -> list[Snapshot]:
        """Returns the `Snapshot` of every step recorded since the last call, in order."""
        fetched = []
        self._harmless(lambda: fetched.extend(snapshot(self._form, *recorded) for recorded in self._ring.fetch()))
        return fetched

    # In the step.

    @property
    def _key(self):
        return f"gradlog/{id(self)}"

    def _scale_loss(self, original, loss):
        self._harmless(self._record_loss, loss)
        return original(loss)

    def _apply(self, original, grads, trainable_variables=None):
        self._owned = trainable_variables or self.optimizer._trainable_variables
        self._recorded()  # what is wrong with the argument `variables` is the user's to know
        self._harmless(self._begin)
        result = original(grads, trainable_variables)
        self._harmless(self._if_fresh, self._finish)
        return result

    def _backend_apply_gradients(self, original, grads, trainable_variables):
        self._step.applied = list(trainable_variables)
        return original(grads, trainable_variables)

    def _clip_gradients(self, original, grads):
        clipped = original(grads)
        self._harmless(self._record_if_due, grads, clipped)
        return clipped

    def _compute_metrics(self, original, x, y, y_pred, sample_weight=None):
        result = original(x, y, y_pred, sample_weight)
        metrics = self.model._compile_metrics
        if metrics is not None and metrics.built:
            self._harmless(self._if_fresh, functools.partial(self._record_metrics, metrics, y, y_pred, sample_weight))
        return result

    def _harmless(self, record, *args):
        """Records; an error in that is kept, and ends the recording, not the training."""
        if self.error is None:
            try:
                record(*args)
            except Exception as error:
                self.error = error

    # What is recorded.

    def _record_loss(self, loss):
        if self._mode.is_alone:
            self._form.has_loss = True
            self._store("loss", self._reduced(tf.cast(loss, tf.float32), tf.distribute.ReduceOp.SUM))

    def _begin(self):
        self.sees_gradients = True
        if self._may_skip:
            self._is_fresh.assign(False)
        self._step.before = [tf.identity(variable.value) for variable in self._recorded()]

    def _record_if_due(self, grads, clipped):
        if not self._recorded():  # of several optimizers, one whose variables nobody asked for
            return
        reduced = self._reduced(grads, tf.distribute.ReduceOp.SUM)
        after = reduced if clipped is grads else self._reduced(clipped, tf.distribute.ReduceOp.SUM)
        if self._mode.decides == "update":
            _if(tf.logical_and(self._is_on, self._is_due()), functools.partial(self._record, reduced, after))
        else:
            self._record(reduced, after)

    def _record(self, grads, clipped):
        by_variable = dict(zip(map(_key, self._step.applied), map(_dense_or_rows, grads), strict=True))
        own = [by_variable.pop(_key(variable), None) for variable in self._recorded()]
        self._form.has_gradient = np.array([gradient is not None for gradient in own])
        self._form.has_rows = any(isinstance(gradient, tf.IndexedSlices) for gradient in grads)
        own = [tf.zeros([0]) if gradient is None else gradient for gradient in own]
        self._store("totals", totals(own))
        self._store("weights", totals(self._step.before, ["squares"]))
        self._store("counts", histograms([*own, *self._step.before] if self._options.histograms else own))
        if by_variable:  # of variables that are not recorded
            self._store("others", tf.reduce_sum(totals(list(by_variable.values()), ["squares"])))
        if clipped is not grads:
            self._store("clipped", tf.reduce_sum(totals(list(map(_dense_or_rows, clipped)), ["squares"])))
        if self._may_skip:
            self._is_fresh.assign(True)

    def _finish(self):
        """Follows the update: how far did it move the weights?"""
        if not self._recorded():
            return
        if self._options.updates:
            after = [variable.value for variable in self._recorded()]
            self._store("moved", square_distances(after, self._step.before), batches_ago=1)
        self._ring.finish(functools.partial(self._number, 1))

    def _record_metrics(self, metrics, *batch):
        state = metrics.stateless_update_state(metrics.stateless_reset_state(), *batch)
        values = {name: value for name, value in metrics.stateless_result(state).items() if _is_scalar(value)}
        self._form.metrics = tuple(values)
        if values:
            numbers = tf.stack([tf.cast(value, tf.float32) for value in values.values()])
            self._store("metrics", self._reduced(numbers, tf.distribute.ReduceOp.MEAN), batches_ago=1)

    # What the step is made of.

    def _recorded(self):
        """Returns the variables to record; known only once a lazily built model has been built."""
        if self._variables is None:
            named = named_variables(self.model)
            chosen = {name: variable for name, variable in named if self._options.select(variable, name)}
            if not chosen:
                raise ValueError(
                    "`variables` chooses none of the model's variables. Expected it to match some of these names: "
                    f"{', '.join(name for name, _ in named)}"
                )
            if not self._mode.is_alone:
                owned = set(map(_key, self._owned))
                chosen = {tag: variable for tag, variable in chosen.items() if _key(variable) in owned}
            self._variables = tuple(chosen.values())
            self._form.variables = tuple(chosen)
            self._form.sizes = np.array([math.prod(variable.shape) for variable in self._variables])
        return self._variables

    def _batches(self):
        return tf.cast(self.optimizer._iterations.value, tf.int64)

    def _number(self, batches_ago=0):
        return (self._batches() - batches_ago) // self._stride

    def _is_due(self):
        """Whether the coming batch completes a step, and that one is due."""
        batches = self._batches()
        completes = tf.equal(batches % self._stride, self._stride - 1)
        return tf.logical_and(completes, tf.equal(batches // self._stride % self._options.every, 0))

    def _reduced(self, values, reduction):
        """Returns what all replicas' values come to together, in each of them."""
        return tf.distribute.get_replica_context().all_reduce(reduction, values) if self._is_replicated else values

    def _if_fresh(self, record):
        """Records where the step that has just been applied was recorded."""
        if self._may_skip:
            _if(self._is_fresh, record)
        else:
            record()

    def _is_built(self):
        parts = [self.model, self.optimizer, self.model._compile_metrics, self.model._compile_loss]
        return all(part is None or part.built for part in parts)

    def _store(self, name, value, batches_ago=0):
        self._ring.store(name, value, functools.partial(self._number, batches_ago))

    def _allocate(self):
        """Makes the buffers whose form is known ahead of the trace, which would be traced twice if it made them."""
        if not self._is_built() or (self._mode.returns and not self._may_skip):
            return
        self._owned = self.optimizer._trainable_variables
        number, metrics = len(self._recorded()), self.model._compile_metrics
        self._ring.allocate("loss", [], tf.float32)
        if self._options.updates:
            self._ring.allocate("moved", [number], tf.float64)
        if metrics is not None and metrics.variables:
            self._ring.allocate("metrics", [sum(map(_is_scalar, metrics.result().values()))], tf.float32)
        if number < len(self.model.trainable_variables):
            self._ring.allocate("others", [], tf.float64)
        if clips(self.optimizer):
            self._ring.allocate("clipped", [], tf.float64)
        self._ring.allocate("totals", [number, 2], tf.float64)
        self._ring.allocate("weights", [number, 1], tf.float64)
        self._ring.allocate("counts", [number * (1 + self._options.histograms), buckets.NUM_BUCKETS], tf.int64)


def _dense_or_rows(gradient):
    return touched_rows(gradient) if isinstance(gradient, tf.IndexedSlices) else tf.convert_to_tensor(gradient)


def _is_scalar(value):
    return tf.convert_to_tensor(value).shape.rank == 0


def named_variables(model: keras.Model) -> list[tuple[str, keras.Variable]]:
    """Returns a model's trainable variables, in its order, each with the name that tags use."""
    variables = model.trainable_variables
    tags = names.variable_names([variable.path for variable in variables], model.name)
    return list(zip(tags, variables, strict=True))


def _if(condition, action):
    tf.cond(condition, lambda: (action(), 0)[1], lambda: 0)


def _key(variable):
    return id(variable.value if isinstance(variable, keras.Variable) else variable)
