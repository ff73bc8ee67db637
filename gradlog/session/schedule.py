"""Schedule: how many steps the next call of the training program may have, and which of them are recorded."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence

from gradlog.backends.engine import engine
from gradlog.backends.optimizers import batches_per_step
from gradlog.backends.options import RecordingPlan
from gradlog.backends.recorded import RecordedStep
from gradlog.backends.recording import Recording
from gradlog.history.history import Snapshot
from gradlog.history.joining import merged

_MAX_HELD_BACK = 16  # snapshots, until every optimizer has moved once


def schedule_of(model, optimizers: Sequence, every: int) -> "OneOptimizer | SeveralOptimizers":
    """Returns the schedule of a training.

    Args:
        model: The model that is trained.
        optimizers: The optimizers that may take part.
        every: Integer, the number of steps from one logged step to the next.
    """
    if len(optimizers) == 1:
        return OneOptimizer(model, optimizers[0], every)
    return SeveralOptimizers(model, optimizers, every)


class OneOptimizer:
    """The schedule of a training with one optimizer: its steps are counted here, and the optimizer is seldom asked.

    A training loop may ask with `max_steps` how many steps the next call may have, as `gradlog.train` does; then a step
    that is due is the first of its call. `fit` does not ask, and its calls always have `steps_per_execution` steps.
    """

    def __init__(self, model, optimizer, every: int):
        self._model, self._optimizer, self._every = model, optimizer, every
        self._is_asked = False
        self._batch: int | None = None
        self._next_due: int | None = None

    def restart(self) -> None:
        """Has the count of the steps asked for anew."""
        self._batch = None

    def max_steps(self) -> int:
        """Returns how many steps the next call may have, so that a step that is due is the first of its call."""
        self._is_asked = True
        return self._steps_before() or self._every * batches_per_step(self._optimizer)

    def is_call_due(self) -> bool:
        """Whether the coming call has a step that is to be recorded."""
        return self._steps_before() < self._recordable_steps()

    def advance(self) -> None:
        """Follows a call."""
        if self._batch is not None:
            self._batch += self._model.steps_per_execution

    def due_step(self) -> int | None:
        """Returns the one step of the coming call that is to be recorded, or `None` where there may be several."""
        return self._next_due if self._recordable_steps() == 1 else None

    def plan(self) -> RecordingPlan:
        """Returns how the coming call is recorded."""
        return engine().plan(self._model, self._optimizer, self._every, self._recordable_steps(), self._is_asked)

    def fetched(self, recording: Recording, complete: Callable[[Snapshot], Snapshot]) -> list[RecordedStep]:
        """Returns what a call recorded, each step to be completed by what else is known of the call."""
        recorded = next(iter(recording.fetch(self.due_step())), [])
        if recorded:
            self._next_due = (recorded[-1].step // self._every + 1) * self._every
        if len(recorded) < self._recordable_steps():  # a step may have been skipped, and was not counted
            self._batch = None
        return [one._replace(complete=complete) for one in recorded]

    def close(self) -> list[RecordedStep]:
        """Returns nothing: no step is held back."""
        return []

    def _recordable_steps(self):
        return 1 if self._is_asked else self._model.steps_per_execution

    def _steps_before(self):
        """Returns how many batches run before the one that is to be recorded; 0 where it is the coming one."""
        stride = batches_per_step(self._optimizer)
        if self._batch is None:
            self._batch = engine().num_batches(self._model, self._optimizer)
        if self._next_due is None:
            self._next_due = -(-(self._batch // stride) // self._every) * self._every
        return max(self._next_due * stride + stride - 1 - self._batch, 0)


class SeveralOptimizers:
    """The schedule of a training with several optimizers, whose steps are those of the one that moves least often.

    Of an optimizer that moves more often, the last update of a step is recorded. Until every optimizer has moved, the
    first snapshots are held back, since it may be another one that counts. Where a call is several batches, every
    optimizer decides by its own count what is recorded; of one that moves more often, that is one of the updates of a
    step.
    """

    def __init__(self, model, optimizers: Sequence, every: int):
        self._model, self._optimizers, self._every = model, tuple(optimizers), every
        self._leader: int | None = None
        self._start: list[int] | None = None
        self._counts: list[int] = []
        self._held_back: list[Snapshot] | None = []
        self._updates, self._last_step, self._is_complete = 1, -1, False

    def restart(self) -> None:
        """Does nothing: the counts are asked for at every call."""

    def advance(self) -> None:
        """Does nothing."""

    def max_steps(self) -> int:
        """Returns 1: after every step, the next due step is looked for."""
        return 1

    def is_call_due(self) -> bool:
        """Whether the coming call has a step that is to be recorded."""
        self._counts = self._num_batches()
        self._start = self._start or self._counts
        return self._held_back is not None or self._model.steps_per_execution > 1 or self._due_step() is not None

    def due_step(self) -> None:
        """Returns `None`: which step it is shows after the call."""

    def plan(self) -> RecordingPlan:
        """Returns how the coming call is recorded."""
        steps = self._model.steps_per_execution
        if steps == 1:
            return RecordingPlan(slots=1, decides="call", returns=False, is_only_optimizer=False)
        slots = math.ceil(steps * self._updates / self._every) + 1
        return RecordingPlan(slots=slots, decides="update", returns=False, is_only_optimizer=False)

    def fetched(self, recording: Recording, complete: Callable[[Snapshot], Snapshot]) -> list[Snapshot]:
        """Returns what a call recorded, of all optimizers together, in rising steps."""
        after = self._num_batches()
        of_each = [[one.snapshot() for one in recorded] for recorded in recording.fetch()]
        if self._model.steps_per_execution > 1:
            found, self._held_back = self._of_long_call(after, of_each), None
        else:
            found = self._of_leader(after, list(itertools.chain(*of_each)))
        return self._released(list(map(complete, self._rising(found, recording.order()))))

    def close(self) -> list[Snapshot]:
        """Returns the snapshots that are held back still."""
        held_back, self._held_back = self._held_back or [], None
        return held_back

    def _of_long_call(self, after, of_each):
        """Returns snapshots under the steps of the optimizer that moved least in the call."""
        moved = [now - before for now, before in zip(after, self._counts, strict=True)]
        self._updates = max(self._updates, math.ceil(max(moved) / self._model.steps_per_execution))
        leader = min(range(len(moved)), key=lambda index: moved[index] or math.inf)
        first = [count // batches_per_step(one) for count, one in zip(self._counts, self._optimizers, strict=True)]
        found = []
        for index, of_one in enumerate(of_each):
            ratio = max(moved[index] // max(moved[leader], 1), 1)
            by_step = {first[leader] + (one.step - first[index]) // ratio: one for one in of_one}
            found += [dataclasses.replace(one, step=step) for step, one in by_step.items()]
        return [one for one in found if one.step % self._every == 0]

    def _of_leader(self, after, found):
        moved = [now - start for now, start in zip(after, self._start, strict=True)]
        leader = min(range(len(moved)), key=lambda index: moved[index] or math.inf)
        if leader != self._leader and self._held_back:
            self._held_back.clear()  # their steps were those of another optimizer
            self._last_step = -1
        self._leader = leader
        has_moved = after[leader] > self._counts[leader]
        step = self._due_step() if has_moved else None
        # The optimizer of `compile` is often not used by a step that has its own.
        self._is_complete = all(
            number or one is self._model.optimizer for number, one in zip(moved, self._optimizers, strict=True)
        )
        return [] if step is None else [dataclasses.replace(one, step=step) for one in found]

    def _rising(self, found, order):
        """Joins the snapshots of a step; a step that is not above the last one is left out."""
        found.sort(key=lambda one: one.step)
        joined = [merged(list(parts), order) for _, parts in itertools.groupby(found, lambda one: one.step)]
        joined = [one for one in joined if one.step > self._last_step]
        self._last_step = joined[-1].step if joined else self._last_step
        return joined

    def _released(self, found):
        """Returns the snapshots that may be written: all, once the optimizer that counts is known."""
        if self._held_back is None:
            return found
        self._held_back += found
        return self.close() if self._is_complete or len(self._held_back) > _MAX_HELD_BACK else []

    def _num_batches(self):
        return [engine().num_batches(self._model, optimizer) for optimizer in self._optimizers]

    def _due_step(self):
        """Returns the leader's step that the call begins with, if it is due."""
        if self._leader is None:
            return None
        stride = batches_per_step(self._optimizers[self._leader])
        step, rest = divmod(self._counts[self._leader], stride)
        return step if rest == stride - 1 and step % self._every == 0 else None
