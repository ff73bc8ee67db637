"""Rows without NaN and infinite numbers: one such number makes every weight NaN."""

from dataclasses import dataclass

from gradlog.repair.changes.change import Observed
from gradlog.repair.data import Data, finite, is_finite
from gradlog.repair.training import Training


@dataclass(frozen=True)
class FiniteRows:
    """Rows with NaN or infinite numbers are left out."""

    name = "finite rows"

    def applied(self, training: Training) -> Training:
        """Returns the training with fewer rows."""
        return training.changed(preparations=(*training.preparations, _finite))

    def code(self, training: Training) -> str:
        """Returns the preparation."""
        return "rows = numpy.isfinite(x.reshape(len(x), -1)).all(axis=1); x, y = x[rows], y[rows]"


def proposals(observed: Observed) -> list[FiniteRows]:
    """Proposes it where any row has such numbers."""
    return [] if is_finite(observed.data.train).all() else [FiniteRows()]


def _finite(data: Data) -> Data:
    return data._replace(train=finite(data.train))
