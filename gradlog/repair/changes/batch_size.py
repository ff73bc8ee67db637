"""Another batch size: the gradient of a tiny batch is noise, and huge batches leave few steps."""

from dataclasses import dataclass

from gradlog.repair.changes.change import Observed
from gradlog.repair.training import Training

_USUAL = 32
_MIN_STEPS = 20  # an epoch
_FEW_STEPS = 100


@dataclass(frozen=True)
class BatchSize:
    """As many rows a step.

    Attributes:
        rows: Integer.
    """

    rows: int
    name = "batch size"

    def applied(self, training: Training) -> Training:
        """Returns the training with the batch size."""
        return training.changed(batch_size=self.rows)

    def code(self, training: Training) -> str:
        """Returns the argument of `fit`."""
        if not training.is_shuffled:  # a dataset
            return f"dataset = dataset.rebatch({self.rows})  # was {training.batch_size}"
        return f"model.fit(..., batch_size={self.rows})  # was {training.batch_size}"


def proposals(observed: Observed) -> list[BatchSize]:
    """Proposes the usual size where batches are smaller than 8 rows, or an epoch has few steps."""
    size, rows = observed.training.batch_size, len(observed.data.train)
    if size < _USUAL // 4 or (size > _USUAL and rows / size < _MIN_STEPS):
        return [BatchSize(_USUAL)]
    return []


def unusual(observed: Observed) -> list[BatchSize]:
    """Proposes the same where all rows are one batch, and the whole training has few steps."""
    is_whole = observed.training.batch_size >= len(observed.data.train)
    return proposals(observed) if is_whole and observed.num_steps < _FEW_STEPS else []
