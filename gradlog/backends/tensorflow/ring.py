"""Ring: where the numbers of recorded steps wait for the host.

A training function returns what a step of it computed last. So where each call is one step, the numbers are returned
with it, and nothing has to be stored. Where a call is many steps, or a step's numbers come to be known inside of
a branch, they are assigned to variables, a slot for each of the steps that can be due in one call.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

_STEP = "step"


class Ring:
    """Takes numbers by name in the graph, and hands them to the host by step.

    Args:
        every: Integer, the number of steps from one recorded step to the next.
        slots: Integer, how many recorded steps can wait.
        returns: Boolean, whether the step returns its numbers (`outputs`); else they are read from variables.
        is_replicated: Boolean, whether several replicas run the step; those write the steps that are not due too, to
            a slot that nobody reads.
    """

    def __init__(self, every: int, slots: int, *, returns: bool, is_replicated: bool):
        self._every, self._slots, self._returns, self._is_replicated = every, slots, returns, is_replicated
        self._buffers, self._returned, self._graph, self._outputs = {}, {}, None, None
        self._last_step = -1
        if not returns:
            self.allocate(_STEP, [], tf.int64)

    # In the graph.

    def begin(self) -> None:
        """Begins a step, in the graph whose outputs are to be returned."""
        self._returned, self._graph = {}, _graph()

    def store(self, name: str, value: tf.Tensor, number: Callable[[], tf.Tensor]) -> None:
        """Keeps a tensor, always of one shape and dtype, of the step whose number is told by a function."""
        if self._returns and _graph() is self._graph:
            self._returned[name] = value
            return
        if value.dtype == tf.int32:  # a GPU keeps no variables of it
            value = tf.cast(value, tf.int64)
        buffer = self.allocate(name, value.shape, value.dtype)
        if buffer.shape[0] == 1:
            buffer.assign(value[None])
            return
        step = number()
        slot = step // self._every % self._slots
        if self._is_replicated:
            slot = tf.where(tf.equal(step % self._every, 0), slot, self._slots)
        buffer.scatter_update(tf.IndexedSlices(value[None], slot[None]))

    def finish(self, number: Callable[[], tf.Tensor]) -> None:
        """Ends a step that was recorded; comes last, since whoever sees the step finds the rest.

        A graph keeps the order of what is done to one variable, so to read the others is to wait for what they got.
        """
        others = [buffer for name, buffer in self._buffers.items() if name != _STEP]
        with tf.control_dependencies([] if _graph() is None else [buffer.value() for buffer in others]):
            self.store(_STEP, tf.identity(number()), number)

    def outputs(self) -> dict[str, tf.Tensor]:
        """Returns what the step that was begun has to return."""
        outputs = {name: buffer.value()[0] for name, buffer in self._buffers.items()} | self._returned
        self._returned, self._graph = {}, None
        return outputs

    def allocate(self, name: str, shape: Sequence[int], dtype: tf.DType) -> tf.Variable:
        """Makes the variable of a name, if there is none, in what is no graph; returns it."""
        if name not in self._buffers:
            with tf.init_scope():
                empty = tf.constant(-1 if name == _STEP else 0, dtype)
                self._buffers[name] = variable(tf.fill([self._slots + self._is_replicated, *shape], empty))
        return self._buffers[name]

    # On the host.

    def clear(self) -> None:
        """Forgets the steps of an earlier training."""
        self._last_step, self._outputs = -1, None
        if _STEP in self._buffers:
            self._buffers[_STEP].assign(tf.fill(self._buffers[_STEP].shape, tf.constant(-1, tf.int64)))

    def take(self, outputs: dict[str, tf.Tensor]) -> None:
        """Takes what a step has returned."""
        self._outputs = outputs

    def fetch(self) -> list[tuple[int, dict[str, np.ndarray]]]:
        """Returns every step recorded since the last call, in order, each with its arrays by name."""
        if self._returns:
            arrays = {name: np.asarray(tensor)[None] for name, tensor in (self._outputs or {}).items()}
            self._outputs = None
        else:
            arrays = {_STEP: self._buffers[_STEP].numpy()}
        steps = arrays.pop(_STEP, np.zeros(0, np.int64))[: self._slots]
        fresh = [slot for slot in np.argsort(steps) if steps[slot] > self._last_step]
        if not fresh:
            return []
        self._last_step = int(steps.max())
        if not self._returns:
            arrays = {name: buffer.numpy() for name, buffer in self._buffers.items() if name != _STEP}
        return [(int(steps[slot]), {name: array[slot] for name, array in arrays.items()}) for slot in fresh]


def variable(value: tf.Tensor) -> tf.Variable:
    """Returns a variable of gradlog's own; under a distribution strategy, every replica may write to it."""
    return tf.Variable(
        value,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def _graph():
    """Returns the graph that is being made, or `None` where operations run at once."""
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
