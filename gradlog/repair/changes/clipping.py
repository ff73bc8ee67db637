"""Clipping by global norm: no gradient can throw the weights far (Pascanu et al. 2013, algorithm 1)."""

from dataclasses import dataclass

from gradlog.repair.changes.change import Observed, optimizer_code
from gradlog.repair.training import Training

CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")
_LEAST = 0.01  # of a usual one


@dataclass(frozen=True)
class Clipping:
    """All gradients as one vector are at most so long.

    Attributes:
        norm: Number.
    """

    norm: float = 1.0
    name = "clipping"

    def applied(self, training: Training) -> Training:
        """Returns the training with an optimizer that clips."""
        return training.with_settings(**self._settings())

    def code(self, training: Training) -> str:
        """Returns the optimizer."""
        before = f"  # was {optimizer_code(training)}" if clips(training) else ""
        return f"optimizer={optimizer_code(training, **self._settings())}{before}"

    def _settings(self):
        return dict.fromkeys(CLIPS) | {"global_clipnorm": self.norm}


def proposals(observed: Observed) -> list[Clipping]:
    """Proposes to clip where the optimizer does not."""
    return [] if clips(observed.training) else [Clipping()]


def unusual(observed: Observed) -> list[Clipping]:
    """Proposes the usual norm where gradients are clipped to almost nothing."""
    return [Clipping()] if min(clips(observed.training), default=1.0) < _LEAST else []


def clips(training: Training) -> list[float]:
    """Returns what the optimizer clips gradients to; empty where it does not."""
    return [value for name in CLIPS if (value := training.settings.get(name))]
