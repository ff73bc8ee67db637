"""Less dropout: where few units are left, they learn hardly anything (Srivastava et al. 2014, section 7.3)."""

from dataclasses import dataclass

import keras

from gradlog.repair.changes.change import Observed, where
from gradlog.repair.surgery import can_be_made_anew, cloned, flattened, rebuilt
from gradlog.repair.training import Training

_MOST = 0.6  # share of the units that is left out where dropout is usual
_USUAL = 0.2


@dataclass(frozen=True)
class LessDropout:
    """Dropout leaves out a smaller share of the units, wherever it leaves out most of them.

    Attributes:
        rate: Number in [0, 1).
    """

    rate: float = _USUAL
    name = "dropout"
    changes_layers = True

    def applied(self, training: Training) -> Training:
        """Returns the training with another model."""
        found = {id(one) for one in _found(training.model)}

        def edit(layer):
            return [cloned(layer, rate=self.rate) if id(layer) in found else cloned(layer)]

        return training.changed(model=rebuilt(training.model, edit))

    def code(self, training: Training) -> str:
        """Returns the layer."""
        found = _found(training.model)
        rates = ", ".join(dict.fromkeys(f"{one.rate:g}" for one in found))
        kind = type(found[0]).__name__
        return f"keras.layers.{kind}({self.rate:g})  # {where(found)}; was {rates}"


def proposals(observed: Observed) -> list[LessDropout]:
    """Proposes it where dropout leaves out more than six in ten units."""
    return [LessDropout()] if _found(observed.training.model) else []


def _found(model):
    if not can_be_made_anew(model):
        return []
    kinds = keras.layers.Dropout, keras.layers.SpatialDropout1D, keras.layers.SpatialDropout2D
    return [one for one in flattened(model) if isinstance(one, kinds) and one.rate > _MOST]
