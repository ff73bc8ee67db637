"""Handover: how the numbers of recorded steps come to the host.

A training function returns what a step of it computed last. So where each call is one step, the numbers are returned
with it, and nothing has to be stored (`Returned`). Where a call is many steps, or a step's numbers are computed
inside a branch, they wait in variables, a slot for each of the steps that can be due in one call (`Stored`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from gradlog.backends.tensorflow.packing import Packing

_BEGUN, _STEP = "begun", "step"
_APART = ("before",)  # read before the update, which would have to copy what something else still waits to read


class Step(NamedTuple):
    """A step on the host: its number, and its arrays by name."""

    step: int
    arrays: dict[str, np.ndarray]


class Fetched(NamedTuple):
    """What the host gets.

    Attributes:
        steps: List of `Step`s, in order.
        num_lost: Integer, how many recorded steps were overwritten before they could be fetched.
    """

    steps: list[Step]
    num_lost: int = 0


class Form(Packing):
    """How what a program returns is packed.

    Attributes:
        is_certain: Boolean, whether every call of the program completes a step.
    """

    is_certain = False

    def on_host(self, steps: Sequence[dict[str, tf.Tensor]]) -> tuple[list[int], dict[str, np.ndarray]]:
        """Returns the numbers of K steps, and their arrays [K, ...] by name, of what the calls have returned."""
        arrays = self.unpacked({name: np.stack([_array(one[name]) for one in steps]) for name in steps[0]})
        return arrays.pop(_STEP).tolist() if _STEP in arrays else [-1] * len(steps), arrays


class Handover(Protocol):
    """Takes numbers by name in the graph, and hands them to the host by step.

    The number of a step is given as a function, called where it is needed, in the graph.
    """

    def begin(self, number: Callable[[], tf.Tensor]) -> None:
        """Begins a step."""

    def store(self, name: str, value: tf.Tensor, number: Callable[[], tf.Tensor]) -> None:
        """Keeps a tensor, always of one shape and dtype."""

    def finish(self, number: Callable[[], tf.Tensor]) -> None:
        """Ends a step."""

    def start(self, step: int) -> None:
        """Forgets the steps of an earlier training; the next one is `step` or a later one."""

    def fetch(self, form: Form) -> Fetched:
        """Returns every step that was recorded since the last call, in a certain form."""

    def take_certain(self, form: Form, step: int) -> dict[str, tf.Tensor] | None:
        """Returns what the last call has returned of a step, for `Form.on_host`, or `None` where nothing is certain."""


class Stored:
    """Keeps numbers in variables, for as many steps as there are slots.

    A step's number is stored before everything else of it and once more after it, so that a reader in another thread
    can tell a whole step from one that is being overwritten.

    Args:
        every: Integer, the number of steps from one recorded step to the next.
        slots: Integer, how many recorded steps can wait.
        is_replicated: Boolean, whether several replicas run the step; those write the steps that are not due too, to
            a slot that is never read.
    """

    def __init__(self, every: int, slots: int, *, is_replicated: bool = False):
        self.slots, self._every, self._is_replicated = slots, every, is_replicated
        self._buffers: dict[str, tf.Variable] = {}
        self._last_step = -1
        self.allocate(_BEGUN, [], tf.int64)
        self.allocate(_STEP, [], tf.int64)

    # In the graph.

    def begin(self, number: Callable[[], tf.Tensor]) -> None:
        """Marks a slot as being written."""
        self._assign(_BEGUN, tf.identity(number()), number)

    def store(self, name: str, value: tf.Tensor, number: Callable[[], tf.Tensor]) -> None:
        """Keeps a tensor, always of one shape and dtype, of the step whose number a function tells."""
        if value.dtype == tf.int32:  # a GPU keeps no variables of it
            value = tf.cast(value, tf.int64)
        self.allocate(name, value.shape, value.dtype)
        with self._after(_BEGUN):
            self._assign(name, value, number)

    def finish(self, number: Callable[[], tf.Tensor]) -> None:
        """Marks a slot as written; comes last, so a reader that sees the step finds the rest."""
        with self._after(*(name for name in self._buffers if name != _STEP)):
            self._assign(_STEP, tf.identity(number()), number)

    def first_slot(self) -> dict[str, tf.Tensor]:
        """Returns what stands in the first slot, by name."""
        return {name: buffer.value()[0] for name, buffer in self._buffers.items() if name != _BEGUN}

    def allocate(self, name: str, shape: Sequence[int], dtype: tf.DType) -> tf.Variable:
        """Makes the variable of a name, if it is missing, outside of any graph; returns it."""
        if name not in self._buffers:
            with tf.init_scope():
                empty = tf.constant(-1 if name in (_BEGUN, _STEP) else 0, dtype)
                self._buffers[name] = variable(tf.fill([self.slots + self._is_replicated, *shape], empty))
        return self._buffers[name]

    def _after(self, *names):
        """Has what follows wait for what was done to some variables.

        A graph keeps the order of what is done to one variable, so to read it is to wait for what it got.
        """
        return tf.control_dependencies([] if _graph() is None else [self._buffers[name].value() for name in names])

    def _assign(self, name, value, number):
        buffer = self._buffers[name]
        if buffer.shape[0] == 1:
            buffer.assign(value[None])
            return
        step = number()
        slot = step // self._every % self.slots
        if self._is_replicated:
            slot = tf.where(tf.equal(step % self._every, 0), slot, self.slots)
        buffer.scatter_update(tf.IndexedSlices(value[None], slot[None]))

    # On the host.

    def start(self, step: int) -> None:
        """Forgets the steps of an earlier training; the next one is `step` or a later one."""
        self._last_step = step - 1
        for name in (_BEGUN, _STEP):
            self._buffers[name].assign(tf.fill(self._buffers[name].shape, tf.constant(-1, tf.int64)))

    def take_certain(self, form: Form, step: int) -> None:
        """Returns `None`: the variables tell."""

    def fetch(self, form: Form) -> Fetched:
        """Returns every step that was recorded since the last call, in order, and how many were overwritten."""
        steps = self._buffers[_STEP].numpy()[: self.slots]
        fresh = [slot for slot in np.argsort(steps) if steps[slot] > self._last_step]
        if not fresh:
            return Fetched([])
        arrays = {name: buffer.numpy() for name, buffer in self._buffers.items() if name not in (_BEGUN, _STEP)}
        begun = self._buffers[_BEGUN].numpy()
        whole = [slot for slot in fresh if begun[slot] == steps[slot]]
        found = [Step(int(steps[slot]), {name: array[slot] for name, array in arrays.items()}) for slot in whole]
        if not found:
            return Fetched([])
        last, self._last_step = self._last_step, found[-1].step
        return Fetched(found, self._last_step // self._every - last // self._every - len(found))


class Returned:
    """Has the step return its numbers, beside Keras' logs; those stored in another graph, as in a branch, cannot be.

    Args:
        stored: `Stored` of one slot, for what cannot be returned.
    """

    def __init__(self, stored: Stored):
        self._stored, self._graph, self._last_step = stored, None, -1
        self._returned: dict[str, tf.Tensor] = {}
        self._outputs: dict[str, tf.Tensor] | None = None

    # In the graph.

    def begin_outputs(self) -> None:
        """Begins a step, in the graph whose outputs are returned."""
        self._returned, self._graph = {}, _graph()

    def begin(self, number: Callable[[], tf.Tensor]) -> None:
        """Does nothing: what is returned belongs to one step."""

    def store(self, name: str, value: tf.Tensor, number: Callable[[], tf.Tensor]) -> None:
        """Keeps a tensor to be returned."""
        if _graph() is self._graph:
            self._returned[name] = value
        else:
            self._stored.store(name, value, number)

    def finish(self, number: Callable[[], tf.Tensor]) -> None:
        """Ends a step."""
        self.store(_STEP, tf.identity(number()), number)

    def outputs(self, form: Form) -> dict[str, tf.Tensor]:
        """Returns what the step that was begun has to return, in a certain form, which is noted."""
        outputs, form.is_certain = self._stored.first_slot() | self._returned, _STEP in self._returned
        self._returned, self._graph = {}, None
        return form.packed(outputs, _APART)

    # On the host.

    def start(self, step: int) -> None:
        """Forgets the steps of an earlier training; the next one is `step` or a later one."""
        self._last_step, self._outputs = step - 1, None
        self._stored.start(step)

    def take(self, outputs: dict[str, tf.Tensor]) -> None:
        """Takes what a step has returned."""
        self._outputs = outputs

    def fetch(self, form: Form) -> Fetched:
        """Returns the step that was recorded since the last call, in a certain form."""
        outputs, self._outputs = self._outputs, None
        if outputs is None:
            return Fetched([])
        (step,), arrays = form.on_host([outputs])
        if step <= self._last_step:
            return Fetched([])
        self._last_step = step
        return Fetched([Step(step, {name: array[0] for name, array in arrays.items()})])

    def take_certain(self, form: Form, step: int) -> dict[str, tf.Tensor] | None:
        """Returns what the last call has returned of a step; `None` where it may not have completed one."""
        if not form.is_certain or self._outputs is None:
            return None
        outputs, self._outputs, self._last_step = self._outputs, None, step
        return outputs


def _array(tensor):
    """Returns what a tensor holds, which is not copied where it is on the host already."""
    return np.asarray(memoryview(tensor))


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
