"""Scaled targets: numbers with mean 0 and deviation 1, which an output reaches from small initial weights."""

from dataclasses import dataclass

import numpy as np

from gradlog.repair.changes.change import Observed
from gradlog.repair.data import Rows
from gradlog.repair.task import NUMBERS
from gradlog.repair.training import Training


@dataclass(frozen=True)
class ScaledTargets:
    """The network learns scaled targets; its predictions have to be scaled back.

    Attributes:
        mean: Number.
        deviation: Number.
    """

    mean: float
    deviation: float
    name = "scaled targets"

    def applied(self, training: Training) -> Training:
        """Returns the training with targets prepared, and predictions restored."""

        def prepare(data):
            scaled = [Rows(rows.x, ((rows.y - self.mean) / self.deviation).astype(np.float32)) for rows in data[:2]]
            return data._replace(train=scaled[0], held_out=scaled[1])

        return training.changed(
            preparations=(*training.preparations, prepare),
            restore=lambda predictions: predictions * self.deviation + self.mean,
        )

    def code(self, training: Training) -> str:
        """Returns the preparation."""
        back = f"{self.deviation:.7g} * model.predict(x) + {self.mean:.7g}"
        return f"y = (y - {self.mean:.7g}) / {self.deviation:.7g}  # {back} in the units of before"


def proposals(observed: Observed) -> list[ScaledTargets]:
    """Proposes it where the targets are numbers that are far from 0, or large, or small."""
    if observed.task.kind != NUMBERS or observed.training.restore is not None:
        return []
    y = np.asarray(observed.data.train.y, np.float64)
    y = y[np.isfinite(y)]
    mean, deviation = float(y.mean()), float(y.std())
    is_scaled = abs(mean) < 3 and 0.1 < deviation < 5
    return [] if is_scaled or not deviation > 0 else [ScaledTargets(mean, deviation)]
