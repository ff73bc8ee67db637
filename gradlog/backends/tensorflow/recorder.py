"""Recorder: what is recorded of the steps of one optimizer, and how it comes to the host."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from gradlog.backends.tensorflow import penalties
from gradlog.backends.tensorflow.checks import ArgumentError
from gradlog.backends.tensorflow.handover import Returned, Stored, variable
from gradlog.backends.tensorflow.optimizers import batches_per_step, clips, inner_optimizer, num_batches, strategy_of
from gradlog.backends.tensorflow.samples import SHAPE_OF_TARGETS, SIZE_OF_INPUTS
from gradlog.backends.tensorflow.tap import Tap, is_scalar, named_variables
from gradlog.history.history import Snapshot
from gradlog.stats import buckets
from gradlog.stats.snapshots import snapshot


class Options(NamedTuple):
    """What is recorded.

    Attributes:
        every: Integer, a step is due where its number is a multiple of it.
        histograms: Boolean, whether to keep the bucket counts of gradients and weights.
        updates: Boolean, whether to compare the weights before and after the update. This keeps one more copy of
            them while a recorded step runs.
        select: Function of a variable and its name that says whether it is recorded.
        check: Boolean, whether to keep what checks need: the first targets of a batch, and how large its inputs are.
    """

    every: int
    histograms: bool
    updates: bool
    select: Callable[[keras.Variable, str], bool]
    check: bool = True


class RecordingPlan(NamedTuple):
    """How the steps of a program come to be recorded.

    Attributes:
        slots: Integer, how many recorded steps can wait for the host.
        decides: `"call"` where the caller of the program knows that its step is due, `"step"` where the program asks
            at every step, `"update"` where the optimizer asks at every update.
        returns: Boolean, whether the step returns what it recorded.
        is_only_optimizer: Boolean, whether the optimizer is taken to update all of the model's variables, and the loss
            to be the one that it minimizes; else only its own variables are recorded.
        is_watched: Boolean, whether another thread fetches while the steps run.
    """

    slots: int
    decides: str
    returns: bool
    is_only_optimizer: bool = True
    is_watched: bool = False


class Recorder:
    """Records the steps of one optimizer that are due, and hands them to the host.

    Args:
        model: A Keras model.
        optimizer: The Keras optimizer whose gradients are recorded.
        options: `Options`.
        plan: `RecordingPlan`.
        guard: The `Guard` of the training.

    Attributes:
        num_lost: Integer, how many recorded steps were overwritten before they could be fetched.
    """

    def __init__(self, model, optimizer: keras.optimizers.Optimizer, options: Options, plan: RecordingPlan, guard):
        self.model, self.outer_optimizer, self.optimizer = model, optimizer, inner_optimizer(optimizer)
        self.options, self.plan, self.guard, self.num_lost = options, plan, guard, 0
        self.is_replicated = strategy_of(model).num_replicas_in_sync > 1
        # A step that only accumulates, or that loss scaling skips, applies no gradient.
        skips = self.optimizer is not optimizer or bool(self.optimizer.gradient_accumulation_steps)
        self.may_skip = skips or plan.decides == "update"
        self.is_fresh, self.is_on = variable(tf.constant(False)), variable(tf.constant(False))
        self._stride = batches_per_step(optimizer)
        self._stored = Stored(options.every, plan.slots, is_replicated=self.is_replicated)
        self.handover = Returned(self._stored) if plan.returns else self._stored

    @property
    def is_checked(self) -> bool:
        """Whether what checks need of a batch is recorded; replicas have a part of it each."""
        return self.options.check and not self.is_replicated

    @property
    def key(self) -> str:
        """The name of what is returned, among Keras' logs."""
        return f"gradlog/{id(self)}"

    def start(self) -> None:
        """Begins a training: forgets the steps of an earlier one."""
        self.num_lost = 0
        self.handover.start(num_batches(self.optimizer) // self._stride)

    def fetch(self, tap: Tap) -> list[Snapshot]:
        """Returns the `Snapshot` of every step recorded since the last call, in order."""
        steps, num_lost = self.handover.fetch()
        self.num_lost += num_lost
        return [snapshot(tap.layout, *step) for step in steps]

    def due_steps(self, batches: range) -> list[int]:
        """Returns the steps that are due among those that a range of batches completes."""
        steps = range(batches.start // self._stride, batches.stop // self._stride)
        return [step for step in steps if step % self.options.every == 0]

    def chosen(self, owned) -> set[str]:
        """Returns the names of the variables to record, of those that an optimizer owns.

        Raises:
            ArgumentError: there are none.
        """
        chosen = chosen_variables(self.model, self.options.select)
        if not self.plan.is_only_optimizer:
            keys = {id(one.value if isinstance(one, keras.Variable) else one) for one in owned}
            chosen = {name: variable for name, variable in chosen.items() if id(variable.value) in keys}
        return set(chosen)

    # In the step.

    def number(self, batches_ago: int = 0) -> tf.Tensor:
        """Returns the number of the step that the coming batch belongs to, or one that came before."""
        return (self._batches() - batches_ago) // self._stride

    def is_due(self) -> tf.Tensor:
        """Returns whether the coming batch completes a step, and that one is due."""
        batches = self._batches()
        completes = tf.equal(batches % self._stride, self._stride - 1)
        return tf.logical_and(completes, tf.equal(batches // self._stride % self.options.every, 0))

    def is_built(self) -> bool:
        """Whether everything that a step makes variables for has them."""
        metrics, loss = (getattr(self.model, name, None) for name in ("_compile_metrics", "_compile_loss"))
        return all(part is None or part.built for part in (self.model, self.optimizer, metrics, loss))

    def allocate(self) -> None:
        """Makes the buffers whose form is known ahead of the trace, which would be traced twice if it made them."""
        if not self.is_built() or (self.plan.returns and not self.may_skip):
            return
        names = self.chosen(self.optimizer._trainable_variables)
        number = len(names)
        metrics, allocate = getattr(self.model, "_compile_metrics", None), self._stored.allocate
        allocate("loss", [], tf.float32)
        if hasattr(self.model, "compute_metrics") and not self.plan.is_watched:
            allocate("batch_size", [], tf.int64)
            for index in range(len(getattr(self.model, "outputs", None) or [None]) if self.is_checked else 0):
                allocate(f"targets{index}", SHAPE_OF_TARGETS, tf.float32)
            if self.is_checked:
                allocate("inputs", [SIZE_OF_INPUTS], tf.float32)
        if self.plan.is_only_optimizer and penalties.adds_penalties(self.model):
            regularized = penalties.regularized([one for name, one in named_variables(self.model) if name in names])
            allocate("penalty", [], tf.float32)
            if regularized:
                allocate("loss_totals", [len(regularized), 2], tf.float64)
        if self.options.updates:
            allocate("moved", [number], tf.float64)
        if metrics is not None and metrics.variables:
            allocate("metrics", [sum(map(is_scalar, metrics.result().values()))], tf.float32)
        if number < len(self.model.trainable_variables):
            allocate("others", [], tf.float64)
        if clips(self.optimizer):
            allocate("clipped", [], tf.float64)
        allocate("totals", [number, 2], tf.float64)
        allocate("weights", [number, 1], tf.float64)
        allocate("counts", [number * (1 + self.options.histograms), buckets.NUM_BUCKETS], tf.int64)

    def _batches(self):
        return tf.cast(self.optimizer._iterations.value, tf.int64)


def chosen_variables(model, select: Callable[[keras.Variable, str], bool]) -> dict[str, keras.Variable]:
    """Returns the trainable variables to record, by name.

    Raises:
        ArgumentError: none is chosen.
    """
    named = named_variables(model)
    chosen = {name: variable for name, variable in named if select(variable, name)}
    if named and not chosen:
        raise ArgumentError(
            "`variables` chooses none of the model's variables. Expected it to match some of these names: "
            f"{', '.join(name for name, _ in named)}"
        )
    return chosen
