"""Shuffled rows: batches of one class each pull the weights to and fro."""

from dataclasses import dataclass

from gradlog.repair.changes.change import Observed
from gradlog.repair.training import Training


@dataclass(frozen=True)
class ShuffledRows:
    """The rows stand in another order in every epoch."""

    name = "shuffled rows"

    def applied(self, training: Training) -> Training:
        """Returns the training with shuffled rows."""
        return training.changed(is_shuffled=True)

    def code(self, training: Training) -> str:
        """Returns the preparation."""
        return f"dataset.unbatch().shuffle(len(x)).batch({training.batch_size})"


def proposals(observed: Observed) -> list[ShuffledRows]:
    """Proposes it where the rows of a dataset come as they stand."""
    return [] if observed.training.is_shuffled else [ShuffledRows()]
