"""First step: what is seen of a training's first step, before it is made."""

from dataclasses import dataclass

import numpy as np

from gradlog.history import names
from gradlog.history.history import Snapshot


@dataclass(frozen=True)
class Activation:
    """How large the outputs of a layer are, and how much they differ from example to example.

    Attributes:
        name: String, the name of the layer, as tags have it.
        size: Root mean square of the outputs, at least 0.
        spread: Root mean square, over the units, of their standard deviation over the examples, at least 0.
    """

    name: str
    size: float
    spread: float


@dataclass(frozen=True)
class FirstStep:
    """What a training's first step would do, tried on one batch with copies of the weights.

    Attributes:
        snapshot: `Snapshot` of the step, as a logger would record it.
        loss_after: Number, the loss of the same batch after the step, without penalties.
        activations: `Activation`s of the hidden layers, in the model's order.
        num_rows: Integer, the rows of that batch, or `None`.
    """

    snapshot: Snapshot
    loss_after: float
    activations: tuple[Activation, ...] = ()
    num_rows: int | None = None

    @property
    def loss(self) -> float:
        """The loss of the batch before the step, without penalties."""
        return self.snapshot.scalars["train/loss"] - self.snapshot.scalars.get("train/penalty", 0.0)

    @property
    def largest_ratio(self) -> tuple[str, float]:
        """The kernel that the step moves furthest, and how far; weights that are zero at first do not count."""
        ratios = self.snapshot.statistics[:, self.snapshot.columns.index(names.UPDATE_RATIO)]
        known = dict(zip(self.snapshot.variables, map(float, ratios), strict=True))
        found = {name: known[name] for name in names.kernels(self.snapshot.variables) if np.isfinite(known[name])}
        return max(found.items(), key=lambda item: item[1], default=("", np.nan))
