"""Returning: recorder and tap for engines whose training step returns the recorded numbers to the host."""

import keras
import numpy as np

from gradlog.backends.engine import engine
from gradlog.backends.options import Options, RecordingPlan
from gradlog.backends.recorded import RecordedStep, stacked
from gradlog.backends.recorder import Recorder
from gradlog.backends.tap import Tap
from gradlog.stats.snapshots import StepLayout


class ReturningRecorder(Recorder):
    """Records the steps of one optimizer that are due, as `Recorder` says: each returns its numbers.

    The host cannot know which step a batch belongs to where loss scaling has skipped some, so the step tells how many
    batches came before it, and whether it was applied.
    """

    def __init__(self, model, optimizer, options: Options, plan: RecordingPlan, guard):
        super().__init__(model, optimizer, options, plan, guard)
        self._returned: list[tuple[dict, StepLayout]] = []
        self._last_step = -1

    def start(self) -> None:
        """Begins a training: forgets the steps of an earlier one."""
        self._returned = []
        self._last_step = engine().num_batches(self.model, self.outer_optimizer) // self.stride - 1

    def switch_on(self) -> None:
        """Does nothing: a step that was made without a tap never records."""

    def switch_off(self) -> None:
        """Does nothing."""

    def take(self, outputs: dict, layout: StepLayout) -> None:
        """Takes what a recorded step has returned, and the layout that says what it means."""
        self._returned.append((outputs, layout))

    def fetch(self, tap: Tap, step: int | None = None) -> list[RecordedStep]:
        """Returns every step recorded since the last call, in order."""
        returned, self._returned = self._returned, []
        found = []
        if step is not None and len(returned) == 1 and "is_applied" not in returned[0][0]:
            (outputs, layout), self._last_step = returned[0], step
            num_bytes = sum(array.nbytes for array in keras.tree.flatten(outputs))
            has_histograms = self.options.has_histograms(step)
            return [RecordedStep(step, layout, outputs, self._on_host, num_bytes, has_histograms)]
        for outputs, layout in returned:
            arrays = engine().on_host(outputs)
            batches, is_applied = int(arrays.pop("batches")), bool(arrays.pop("is_applied", True))
            number, rest = divmod(batches, self.stride)
            is_due = number % self.options.every == 0 or not self.plan.is_only_optimizer  # of several, one decides
            if is_applied and is_due and rest == self.stride - 1 and number > self._last_step:
                self._last_step = number
                found.append(RecordedStep.of(layout, number, arrays, self.options.has_histograms(number)))
        return found

    def _on_host(self, steps):
        arrays = list(map(engine().on_host, steps))
        return stacked([one | {"step": int(one.pop("batches")) // self.stride} for one in arrays])


class ReturningTap(Tap):
    """Records the steps of one program for one recorder, as `Tap` says: the numbers of a step are its outputs."""

    def __init__(self, recorder):
        self._begin()
        super().__init__(recorder)

    def put_on(self) -> None:
        """Begins to look at a step."""
        self._begin()
        super().put_on()

    def outputs(self) -> dict:
        """Returns what the step has to return, by the name under which it stands among Keras' logs."""
        return {self.recorder.key: self._numbers} if self._is_seen else {}

    def _begin(self):
        self._numbers, self._before, self._applied = {}, None, None
        self._is_seen, self._is_penalized = False, False

    def _record(self, grads, clipped):
        """Records the gradients of the applied variables, and the weights before the update."""
        of, self._is_seen = engine(), True
        if self._plan.is_watched:  # no program begins the step
            self._begin_layout()
        by_variable = dict(zip(map(id, self._applied), grads, strict=True))
        own = [by_variable.pop(id(variable), None) for variable in self._variables]
        self.layout.has_gradient = np.array([gradient is not None for gradient in own])
        own = [keras.ops.zeros((0,)) if gradient is None else gradient for gradient in own]
        self._record_gradients(own, self._before)
        if self._is_penalized:
            self._record_loss_gradients(own, self._before)
        if by_variable:  # of variables that are not recorded
            self._store("others", of.totals(list(by_variable.values()), ["squares"]))
        self._record_ratios(dict(zip(map(id, self._applied), clipped, strict=True)))
        if self.recorder.clips:
            self._store("clipped", of.totals(list(clipped), ["squares"]))

    def _store(self, name, value, batches_ago=0):
        self._numbers[name] = value
