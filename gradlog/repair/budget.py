"""Budget: how much may be spent on a repair."""

import dataclasses
import time
from dataclasses import dataclass


@dataclass
class Budget:
    """How many trainings, and how many seconds, may still be spent.

    Attributes:
        trainings: Number.
        seconds: Number, or `None` for no limit.
        spent: Number of trainings.
    """

    trainings: float
    seconds: float | None
    spent: float = 0.0
    began: float = dataclasses.field(default_factory=time.monotonic)

    def allows(self, trainings: float, reserve: float = 0.0) -> bool:
        """Whether so many trainings more may be spent, with others held back."""
        is_late = self.seconds is not None and self.elapsed * (1 + reserve / max(self.spent, 1)) > self.seconds
        return self.spent + trainings + reserve <= self.trainings + 1e-9 and not is_late

    @property
    def elapsed(self) -> float:
        """The seconds since it began."""
        return time.monotonic() - self.began
