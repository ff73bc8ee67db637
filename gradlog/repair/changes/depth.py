"""Fewer layers: the gradient has a shorter way to the first one."""

from dataclasses import dataclass

from gradlog.repair.changes.change import Observed, where
from gradlog.repair.surgery import cloned, layers_of_one_shape, rebuilt
from gradlog.repair.training import Training

_MIN_LAYERS = 4
_KEPT = 2


@dataclass(frozen=True)
class FewerLayers:
    """Hidden layers whose output has the shape of their input are left out, but the first of them.

    Attributes:
        kept: Integer, how many of them stay.
    """

    kept: int = _KEPT
    name = "fewer layers"
    changes_layers = True

    def applied(self, training: Training) -> Training:
        """Returns the training with another model."""
        found = {id(one) for one in layers_of_one_shape(training.model)[self.kept :]}
        return training.changed(
            model=rebuilt(training.model, lambda layer: [] if id(layer) in found else [cloned(layer)])
        )

    def code(self, training: Training) -> str:
        """Returns a comment."""
        return f"# without the layers {where(layers_of_one_shape(training.model)[self.kept :]).removeprefix('in ')}"


def proposals(observed: Observed) -> list[FewerLayers]:
    """Proposes it where there are four such layers or more."""
    return [FewerLayers()] if len(layers_of_one_shape(observed.training.model)) >= _MIN_LAYERS else []
