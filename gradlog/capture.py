"""Capture: takes the numbers out of the training step itself. The only module that reaches into Keras' insides.

While a recorded step runs, or is traced, five methods of the optimizer and the model are wrapped. What the step
hands them is reduced where it is and assigned to variables, which the host reads afterwards:

    optimizer.scale_loss                the loss, before it is scaled
    optimizer.apply                     how far the update moves the weights
    optimizer._backend_apply_gradients  which variables the gradients belong to
    optimizer._clip_gradients           the gradients: unscaled, accumulated, not yet clipped
    model.compute_metrics               targets and predictions, for the metrics of this batch alone
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

from gradlog import buckets, names, statistics
from gradlog.histograms import histograms
from gradlog.history import Snapshot

_NORM = {"norm": statistics.norm}
_NORM_COLUMN = list(statistics.STATISTICS).index("gradient_norm")
_CLIPPED_NORM = names.tag("gradient_norm", f"{names.GLOBAL}_clipped")
_STEP = 2  # float32s that the step's 64 bits take
_SCALARS = ("train/loss", names.tag("gradient_norm", names.GLOBAL), _CLIPPED_NORM)


class Capture:
    """Records the steps that are due and hands them to the host.

    Args:
        model: A Keras model.
        every: Integer, a step is due where its number is a multiple of it.
        steps_per_call: Integer, how many batches one call of the training program runs.
        histograms: Boolean, whether to count gradients and weights into buckets.
        updates: Boolean, whether to compare the weights before and after the update. This keeps one more copy of
            them while a recorded step runs.
        select: Function of a variable and its name that says whether it is recorded.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        every: int,
        steps_per_call: int,
        histograms: bool,
        updates: bool,
        select: Callable[[keras.Variable, str], bool],
    ):
        self.model = model
        self.optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        self._every = every
        self._histograms, self._updates, self._select = histograms, updates, select
        self._slots = math.ceil(steps_per_call / every)  # as many steps of one call can be due
        # A step that only accumulates, or that loss scaling skips, applies no gradient.
        scales = self.optimizer is not model.optimizer
        self._may_skip = scales or bool(self.optimizer.gradient_accumulation_steps)
        # A call of one step is made only where that step is due, if no step before it was skipped unseen.
        self._decides = steps_per_call > 1 or scales
        self.knows_loss = False
        self._stride = batches_per_step(model)
        self._variables, self._names, self._metric_names = None, (), ()
        self._is_replicated = model.distribute_strategy.num_replicas_in_sync > 1
        self._step = threading.local()  # what one replica's step knows of itself while it is traced
        self._lock, self._depth, self._unwrap = threading.Lock(), 0, contextlib.ExitStack()
        self._buffers, self._last_step = {}, -1
        self._is_fresh = _variable(tf.constant(False))
        self._loss = _variable(tf.constant(math.nan))

    def recorded(self, step: Callable) -> Callable:
        """Returns a training step that does what `step` does, and records it where it is due."""

        def record(*args):
            with self._wrappers():
                return step(*args)

        def record_if_due(*args):
            # An unbuilt model's first graph is a draft that makes the variables, and will not run. Replicas cannot
            # meet inside of a `tf.cond`: there every step is recorded, and those not due go where nobody looks.
            if self._is_replicated or not _is_built(self.model):
                return record(*args)
            return tf.cond(self._is_due(), lambda: record(*args), lambda: step(*args))

        if _is_built(self.model):
            self._allocate()
        return record_if_due if self._decides else record

    def start(self) -> None:
        """Forgets the steps of an earlier training."""
        self._last_step = -1
        if "numbers" in self._buffers:
            self._buffers["numbers"].assign(_blank(self._buffers["numbers"].shape))

    def fetch(self) -> list[Snapshot]:
        """Returns the `Snapshot` of every step recorded since the last call, in order."""
        numbers = self._buffers["numbers"].numpy()
        steps = np.ascontiguousarray(numbers[: self._slots, :_STEP]).view(np.int64)[:, 0]
        fresh = [slot for slot in np.argsort(steps) if steps[slot] > self._last_step]
        if not fresh:
            return []
        self._last_step = int(steps.max())
        arrays = {name: buffer.numpy() for name, buffer in self._buffers.items() if name != "numbers"}
        arrays["numbers"] = numbers
        return [
            self._snapshot(int(steps[slot]), {name: array[slot] for name, array in arrays.items()}) for slot in fresh
        ]

    # In the step.

    @contextlib.contextmanager
    def _wrappers(self):
        """Wraps the five methods; of several replicas, whose steps are traced by turns, for as long as one is."""
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._wrap()
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if self._depth == 0:
                    self._unwrap.close()

    def _wrap(self):
        for owner, method, wrapper in (
            (self.model.optimizer, "scale_loss", self._scale_loss),
            (self.optimizer, "apply", self._apply),
            (self.optimizer, "_backend_apply_gradients", self._backend_apply_gradients),
            (self.optimizer, "_clip_gradients", self._clip_gradients),
            (self.model, "compute_metrics", self._compute_metrics),
        ):
            self._unwrap.enter_context(_wrapped(owner, method, wrapper))

    def _scale_loss(self, original, loss):
        self.knows_loss = True
        self._loss.assign(self._reduced(tf.cast(loss, tf.float32), tf.distribute.ReduceOp.SUM))
        if self._may_skip:
            self._is_fresh.assign(False)
        return original(loss)

    def _apply(self, original, grads, trainable_variables=None):
        self._step.before = [tf.identity(variable.value) for variable in self._recorded()]
        result = original(grads, trainable_variables)
        self._if_fresh(self._finish)
        return result

    def _backend_apply_gradients(self, original, grads, trainable_variables):
        self._step.applied = list(trainable_variables)
        return original(grads, trainable_variables)

    def _clip_gradients(self, original, grads):
        clipped = original(grads)
        reduced = self._reduced(grads, tf.distribute.ReduceOp.SUM)
        self._record(reduced, reduced if clipped is grads else self._reduced(clipped, tf.distribute.ReduceOp.SUM))
        return clipped

    def _compute_metrics(self, original, x, y, y_pred, sample_weight=None):
        result = original(x, y, y_pred, sample_weight)
        metrics = self.model._compile_metrics
        if metrics is not None and metrics.built:
            self._if_fresh(functools.partial(self._record_metrics, metrics, y, y_pred, sample_weight))
        return result

    def _record(self, grads, clipped):
        gradients = dict(zip(map(_key, self._step.applied), map(_gradient, grads), strict=True))
        rows = [gradients.pop(_key(variable), None) for variable in self._recorded()]
        table = _table(rows)
        norms = [_present(table[:, _NORM_COLUMN])] + ([_norms(gradients.values())] if gradients else [])
        norm = _joint_norm(tf.concat(norms, 0))
        clipped_norm = norm if clipped is grads else _joint_norm(_norms(map(_gradient, clipped)))
        step = self._batches() // self._stride
        bits = tf.bitcast(step, tf.float32)  # a float32 itself counts no further than 2**24
        scalars = tf.stack([self._loss, norm, clipped_norm])
        self._store("numbers", tf.concat([bits, scalars, tf.reshape(table, [-1])], 0), step)
        if self._histograms:
            weights = [_Gradient(weight, 0) for weight in self._step.before]
            self._store("counts", tf.stack([_counts(rows), _counts(weights)]), step)
        if self._may_skip:
            self._is_fresh.assign(True)

    def _finish(self):
        """Follows the update: how far did it move the weights?"""
        before = compared = self._step.before
        if self._updates:
            after = [variable.value for variable in self._recorded()]
            compared = [*before, *[new - old for new, old in zip(after, before, strict=True)]]
        norms = _norms([_Gradient(tensor, 0) for tensor in compared])
        self._store("norms", tf.reshape(norms, [-1, len(before)]), (self._batches() - 1) // self._stride)

    def _record_metrics(self, metrics, *batch):
        state = metrics.stateless_update_state(metrics.stateless_reset_state(), *batch)
        values = metrics.stateless_result(state)
        self._metric_names = tuple(values)
        if values:
            numbers = tf.stack([tf.cast(value, tf.float32) for value in values.values()])
            step = (self._batches() - 1) // self._stride
            self._store("metrics", self._reduced(numbers, tf.distribute.ReduceOp.MEAN), step)

    # What the step is made of.

    def _recorded(self):
        """Returns the variables to record; known only once a lazily built model has been built."""
        if self._variables is None:
            variables = self.model.trainable_variables
            tags = names.variable_names([v.path for v in variables], self.model.name)
            chosen = {t: v for t, v in zip(tags, variables, strict=True) if self._select(v, t)}
            if not chosen:
                raise ValueError(
                    "`variables` chooses none of the model's variables. Expected it to match some of these names: "
                    f"{', '.join(tags)}"
                )
            self._names, self._variables = tuple(chosen), tuple(chosen.values())
        return self._variables

    def _batches(self):
        return tf.cast(self.optimizer._iterations.value, tf.int64)

    def _is_due(self):
        """Whether the coming batch completes a step, and that one is due."""
        batches = self._batches()
        completes = tf.equal(batches % self._stride, self._stride - 1)
        return tf.logical_and(completes, tf.equal(batches // self._stride % self._every, 0))

    def _reduced(self, values, reduction):
        """Returns what all replicas' values come to together, in each of them."""
        return tf.distribute.get_replica_context().all_reduce(reduction, values) if self._is_replicated else values

    def _if_fresh(self, record):
        if self._may_skip:
            tf.cond(self._is_fresh, lambda: (record(), 0)[1], lambda: 0)
        else:
            record()

    def _allocate(self):
        """Makes the buffers ahead of the trace, which would be traced twice if it had to make them."""
        num_variables, metrics = len(self._recorded()), self.model._compile_metrics
        self._buffer("numbers", [_STEP + len(_SCALARS) + num_variables * len(statistics.STATISTICS)], tf.float32)
        self._buffer("norms", [2 if self._updates else 1, num_variables], tf.float32)
        if self._histograms:
            self._buffer("counts", [2, num_variables, buckets.NUM_BUCKETS], tf.int64)
        if metrics is not None and metrics.variables:
            self._buffer("metrics", [len(metrics.result())], tf.float32)

    def _buffer(self, name, shape, dtype):
        if name not in self._buffers:
            shape = [self._slots + self._is_replicated, *shape]  # replicas write steps that are not due to the last
            with tf.init_scope():
                self._buffers[name] = _variable(_blank(shape) if name == "numbers" else tf.zeros(shape, dtype))
        return self._buffers[name]

    def _store(self, name, value, step):
        buffer = self._buffer(name, value.shape, value.dtype)
        if buffer.shape[0] == 1:
            buffer.assign(value[None])
            return
        slot = step // self._every % self._slots
        if self._is_replicated:
            slot = tf.where(tf.equal(step % self._every, 0), slot, self._slots)
        buffer.scatter_update(tf.IndexedSlices(value[None], slot[None]))

    # On the host.

    def _snapshot(self, step, arrays):
        _, scalars, table = np.split(arrays["numbers"], [_STEP, _STEP + len(_SCALARS)])
        weights, *moved = arrays["norms"]
        columns = {"weight_norm": weights}
        if moved:
            ratio = np.divide(moved[0], weights, out=np.full_like(weights, math.nan), where=weights > 0)
            columns["update_ratio"] = ratio
        gradients, weights = arrays.get("counts", (None, None))
        return Snapshot(
            step=step,
            variables=self._names,
            columns=(*statistics.STATISTICS, *columns),
            statistics=np.column_stack([table.reshape(len(self._names), -1), *columns.values()]),
            gradients=gradients,
            weights=weights,
            scalars=self._scalars(scalars, arrays.get("metrics", ())),
        )

    def _scalars(self, numbers, metrics):
        scalars = dict(zip(_SCALARS, numbers.tolist(), strict=True))
        if not self.knows_loss:
            del scalars["train/loss"]
        if not any((self.optimizer.clipnorm, self.optimizer.global_clipnorm, self.optimizer.clipvalue)):
            del scalars[_CLIPPED_NORM]
        metrics = zip(self._metric_names, map(float, metrics), strict=True)
        return scalars | {names.tag("train", name): value for name, value in metrics}


def num_batches(model: keras.Model) -> int:
    """Returns how many batches the model's optimizer has seen; several make a step where it accumulates."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    return int(optimizer._iterations.numpy())


def batches_per_step(model: keras.Model) -> int:
    """Returns over how many batches the model's optimizer accumulates the gradient of a step."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    return optimizer.gradient_accumulation_steps or 1


@contextlib.contextmanager
def _wrapped(owner, method, wrapper):
    """Puts a wrapper in front of a method of one object; afterwards the object is as it was."""
    earlier = owner.__dict__.get(method)
    owner.__dict__[method] = functools.partial(wrapper, getattr(owner, method))
    try:
        yield
    finally:
        if earlier is None:
            del owner.__dict__[method]
        else:
            owner.__dict__[method] = earlier


def _variable(value):
    """Returns a variable of gradlog's own; under a distribution strategy, every replica may write to it."""
    return tf.Variable(
        value,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def _blank(shape):
    """Returns numbers whose step is -1."""
    return tf.constant(np.full(shape, -1, np.int32).view(np.float32))


def _key(variable):
    return id(getattr(variable, "value", variable))


def _is_built(model):
    parts = [model, model.optimizer, model._compile_metrics, model._compile_loss]
    return all(part is None or part.built for part in parts)


class _Gradient(NamedTuple):
    """A gradient as it is reduced: its elements, and how many zeros it has beside them."""

    values: tf.Tensor
    zeros: int | tf.Tensor


def _gradient(gradient):
    """Returns a dense gradient, or the rows that an embedding's gradient consists of.

    A batch may touch a row several times. Such rows are summed, as the optimizer sums them, but the tensor is not
    made dense: the sums stand in as many rows as were touched, of which those left over are zeros.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return _Gradient(tf.convert_to_tensor(gradient), 0)
    order = tf.argsort(gradient.indices)
    indices = tf.gather(gradient.indices, order)
    is_new = tf.concat([tf.ones_like(indices[:1]), tf.cast(indices[1:] != indices[:-1], indices.dtype)], 0)
    segment = tf.cumsum(is_new) - 1
    sums = tf.math.unsorted_segment_sum(tf.gather(gradient.values, order), segment, tf.shape(indices)[0])
    num_elements = tf.reduce_prod(tf.cast(gradient.dense_shape, tf.int64))
    return _Gradient(sums, num_elements - tf.size(sums, tf.int64))


def _norms(gradients):
    values, zeros = zip(*gradients, strict=True)
    return statistics.table(values, _NORM, zeros)[:, 0]


def _joint_norm(norms):
    """Returns the L2 norm of several vectors as one, from the norm of each."""
    return tf.cast(tf.norm(tf.cast(norms, tf.float64)), tf.float32)


def _present(norms):
    """Returns the norms [V] with 0 where a variable has no gradient, whose whole row is NaN."""
    return tf.where(tf.math.is_nan(norms), 0.0, norms)


def _table(rows):
    """Returns the statistics [V, S] of the gradients; NaN where a variable has none."""
    present = [index for index, row in enumerate(rows) if row is not None]
    table = statistics.table([rows[i].values for i in present], zeros=[rows[i].zeros for i in present])
    if len(present) == len(rows):
        return table
    empty = tf.fill([len(rows), table.shape[1]], math.nan)
    return tf.tensor_scatter_nd_update(empty, [[index] for index in present], table)


def _counts(rows):
    """Returns the bucket counts [V, B] of the tensors; zeros where there is none."""
    present = [index for index, row in enumerate(rows) if row is not None]
    counts = histograms([rows[i].values for i in present], [rows[i].zeros for i in present])
    counts = tf.cast(counts, tf.int64)  # a GPU keeps no variables of int32
    if len(present) == len(rows):
        return counts
    empty = tf.zeros([len(rows), buckets.NUM_BUCKETS], tf.int64)
    return tf.tensor_scatter_nd_update(empty, [[index] for index in present], counts)
