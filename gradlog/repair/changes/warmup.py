"""A warm-up: the learning rate rises from zero, so that first steps are small (Goyal et al. 2017, section 2.2)."""

from dataclasses import dataclass

import keras

from gradlog.repair.changes.change import Observed, optimizer_code
from gradlog.repair.changes.learning_rate import largest
from gradlog.repair.training import Training

_SHARE = 0.1  # of all steps


@dataclass(frozen=True)
class WarmUp:
    """The learning rate rises over the first steps, and falls along a cosine to zero over the others.

    Attributes:
        rate: Number, the largest learning rate.
        steps: Integer, over which it rises.
        decay_steps: Integer, over which it falls.
    """

    rate: float
    steps: int
    decay_steps: int
    name = "warm-up"
    overrides = ("learning rate",)

    def applied(self, training: Training) -> Training:
        """Returns the training with the schedule."""
        return training.with_settings(learning_rate=keras.optimizers.schedules.serialize(self._schedule()))

    def code(self, training: Training) -> str:
        """Returns schedule and optimizer."""
        schedule = f"keras.optimizers.schedules.CosineDecay(0.0, {self.decay_steps}, warmup_target={self.rate:g}, "
        optimizer = optimizer_code(training, learning_rate="schedule")
        return f"schedule = {schedule}warmup_steps={self.steps})\noptimizer={optimizer}"

    def _schedule(self):
        decay = {"warmup_target": self.rate, "warmup_steps": self.steps}
        return keras.optimizers.schedules.CosineDecay(0.0, self.decay_steps, **decay)


def proposals(observed: Observed) -> list[WarmUp]:
    """Proposes a warm-up over a tenth of the steps, to a usual rate at most, where none follows a schedule."""
    training, steps = observed.training, observed.num_steps
    if isinstance(training.settings.get("learning_rate"), dict) or not training.rate or steps < 20:
        return []
    rising = max(1, round(_SHARE * steps))
    return [WarmUp(min(training.rate, largest(training)), rising, steps - rising)]
