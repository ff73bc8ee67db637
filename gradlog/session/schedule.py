"""Schedule: which call of the training program is recorded, and which step what it recorded belongs to."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import keras

from gradlog.backends.tensorflow.capture import Capture, Mode, named_variables
from gradlog.backends.tensorflow.optimizers import batches_per_step, num_batches
from gradlog.history.history import Snapshot, merged

SELF_DECIDING = Mode(slots=16, decides="update", returns=False, is_alone=False)


def schedule_of(
    model: keras.Model, optimizers: Sequence[keras.optimizers.Optimizer], every: int, is_first_recorded: bool
):
    """Returns the schedule of a training.

    Args:
        model: The model that is trained.
        optimizers: The optimizers that may take part.
        every: Integer, the number of steps from one logged step to the next.
        is_first_recorded: Boolean, whether a recorded program records its first step alone, as under `gradlog.train`.
    """
    if len(optimizers) == 1:
        return OfOne(model, optimizers[0], every, is_first_recorded)
    return OfSeveral(model, optimizers, every)


class OfOne:
    """The schedule of a training with one optimizer: its steps are counted on, and seldom asked for."""

    def __init__(self, model, optimizer, every, is_first_recorded):
        self._model, self._optimizer, self._every = model, optimizer, every
        self._is_first_recorded, self._batch, self._next_due = is_first_recorded, None, None

    def restart(self) -> None:
        """Has the count of the steps asked for anew."""
        self._batch = None

    def steps_of_next_call(self) -> int:
        """Returns how many steps may run in one call of a program that records its first step, or none."""
        return self._steps_before() or self._every * batches_per_step(self._optimizer)

    def is_call_due(self) -> bool:
        """Whether the coming call has a step that is to be recorded."""
        return self._steps_before() < self.recordable_steps()

    def advance(self) -> None:
        """Follows a call."""
        self._batch += self._model.steps_per_execution

    def recordable_steps(self) -> int:
        """Returns how many steps of a call can be recorded: the first under `gradlog.train`, all under `fit`."""
        return 1 if self._is_first_recorded else self._model.steps_per_execution

    def mode(self) -> Mode:
        """Returns how a capture records."""
        steps = self.recordable_steps()
        # A call of one step is made only where that step is due, if no step before it was skipped unseen.
        decides = "step" if steps > 1 or hasattr(self._optimizer, "inner_optimizer") else "call"
        is_alone = steps == 1 and self._model.distribute_strategy.num_replicas_in_sync == 1
        returns = decides == "call" and is_alone and not self._is_first_recorded
        return Mode(slots=math.ceil(steps / self._every), decides=decides, returns=returns)

    def fetched(self, captures: Sequence[Capture]) -> list[Snapshot]:
        """Returns what a call recorded."""
        snapshots = captures[0].fetch()
        if snapshots:
            self._next_due = (snapshots[-1].step // self._every + 1) * self._every
        if len(snapshots) < self.recordable_steps():  # a step may have been skipped, and was not counted
            self._batch = None
        return snapshots

    def _steps_before(self):
        """Returns how many batches run before the one that is to be recorded; 0 where it is the coming one."""
        stride = batches_per_step(self._optimizer)
        if self._batch is None:
            self._batch = num_batches(self._optimizer)
        if self._next_due is None:
            self._next_due = -(-(self._batch // stride) // self._every) * self._every
        return max(self._next_due * stride + stride - 1 - self._batch, 0)


class OfSeveral:
    """The schedule of a training with several optimizers, whose steps are those of the one that moves least often.

    Of an optimizer that moves more often, the last update of a step is recorded. Which one leads is seen at the first
    calls. Where a call is several batches, every optimizer goes by its own count instead.
    """

    def __init__(self, model, optimizers, every):
        self._model, self._optimizers, self._every = model, optimizers, every
        self._leader, self._start, self._counts = None, None, []

    def restart(self) -> None:
        """Does nothing: the counts are asked for at every call."""

    def advance(self) -> None:
        """Does nothing."""

    def steps_of_next_call(self) -> int:
        """Returns 1: after every step, it is asked which is the next."""
        return 1

    def is_call_due(self) -> bool:
        """Whether the coming call has a step that is to be recorded."""
        self._counts = [num_batches(optimizer) for optimizer in self._optimizers]
        self._start = self._start or self._counts
        return self._leader is None or self._model.steps_per_execution > 1 or self._due_step() is not None

    def recordable_steps(self) -> int:
        """Returns how many batches are a call."""
        return self._model.steps_per_execution

    def mode(self) -> Mode:
        """Returns how the captures record."""
        if self._model.steps_per_execution > 1:
            return SELF_DECIDING
        return Mode(slots=1, decides="call", returns=False, is_alone=False)

    def fetched(self, captures: Sequence[Capture]) -> list[Snapshot]:
        """Returns what a call recorded, of all optimizers together."""
        after = [num_batches(optimizer) for optimizer in self._optimizers]
        moved = [number - start for number, start in zip(after, self._start, strict=True)]
        self._leader = min(range(len(moved)), key=lambda index: moved[index] or math.inf)
        snapshots = [snapshot for capture in captures for snapshot in capture.fetch()]
        if self._model.steps_per_execution == 1:
            has_moved = after[self._leader] > self._counts[self._leader]
            step = self._due_step() if has_moved else None
            snapshots = [] if step is None else [dataclasses.replace(one, step=step) for one in snapshots]
        snapshots.sort(key=lambda snapshot: snapshot.step)
        order = [name for name, _ in named_variables(self._model)]
        return [merged(list(parts), order) for _, parts in itertools.groupby(snapshots, lambda one: one.step)]

    def _due_step(self):
        """Returns the leader's step that the call begins with, if it is due."""
        stride = batches_per_step(self._optimizers[self._leader])
        step, rest = divmod(self._counts[self._leader], stride)
        return step if rest == stride - 1 and step % self._every == 0 else None
