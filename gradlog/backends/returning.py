"""Returning: a recorder for engines whose training step returns the recorded numbers to the host."""

from gradlog.backends.engine import engine
from gradlog.backends.recorder import Recorder
from gradlog.history.history import Snapshot
from gradlog.stats.snapshots import snapshot


class ReturningRecorder(Recorder):
    """Records the steps of one optimizer that are due, as `Recorder` says: each returns its numbers.

    The host cannot know which step a batch belongs to where loss scaling has skipped some, so the step tells how many
    batches came before it, and whether it was applied.
    """

    def __init__(self, model, optimizer, options, plan, guard):
        super().__init__(model, optimizer, options, plan, guard)
        self._returned, self._last_step = [], -1

    def start(self) -> None:
        """Begins a training: forgets the steps of an earlier one."""
        self._returned = []
        self._last_step = engine().num_batches(self.model, self.outer_optimizer) // self.stride - 1

    def switch_on(self) -> None:
        """Does nothing: a step that was made without a tap never records."""

    def switch_off(self) -> None:
        """Does nothing."""

    def take(self, outputs: dict) -> None:
        """Takes what a recorded step has returned."""
        self._returned.append(outputs)

    def fetch(self, tap) -> list[Snapshot]:
        """Returns the `Snapshot` of every step recorded since the last call, in order."""
        returned, self._returned = self._returned, []
        found = []
        for arrays in map(engine().on_host, returned):
            batches, is_applied = int(arrays.pop("batches")), bool(arrays.pop("is_applied", True))
            step, rest = divmod(batches, self.stride)
            is_due = step % self.options.every == 0 or not self.plan.is_only_optimizer  # of several, one decides
            if is_applied and is_due and rest == self.stride - 1 and step > self._last_step:
                self._last_step = step
                found.append(snapshot(tap.layout, step, arrays))
        return found
