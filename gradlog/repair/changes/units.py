"""More units where a layer has one or two: the layers after it see each input as one or two numbers."""

from dataclasses import dataclass

import keras

from gradlog.repair.changes.change import Observed, where
from gradlog.repair.surgery import cloned, hidden_layers, is_chain, rebuilt
from gradlog.repair.training import Training

_FEW, _MANY = 2, 8


@dataclass(frozen=True)
class MoreUnits:
    """Hidden `Dense` layers of one or two units get as many as the widest has.

    Attributes:
        units: Integer.
    """

    units: int
    name = "units"
    changes_layers = True

    def applied(self, training: Training) -> Training:
        """Returns the training with another model."""
        found = {id(one) for one in _narrow(training.model)}

        def edit(layer):
            return [cloned(layer, units=self.units) if id(layer) in found else cloned(layer)]

        return training.changed(model=rebuilt(training.model, edit))

    def code(self, training: Training) -> str:
        """Returns the layer."""
        found = _narrow(training.model)
        before = ", ".join(dict.fromkeys(str(one.units) for one in found))
        return f"keras.layers.Dense({self.units}, ...)  # {where(found)}; was {before}"


def proposals(observed: Observed) -> list[MoreUnits]:
    """Proposes it where a layer of one or two units stands in a chain of wide ones, but for autoencoders."""
    x, y = ([one.shape[1:] for one in keras.tree.flatten(part)] for part in observed.data.train)
    if x == y or not is_chain(observed.training.model):
        return []
    widest = max((one.units for one in _dense(observed.training.model)), default=0)
    return [MoreUnits(widest)] if widest >= _MANY and _narrow(observed.training.model) else []


def _dense(model):
    return [one for one in hidden_layers(model) if isinstance(one, keras.layers.Dense)]


def _narrow(model):
    return [one for one in _dense(model) if one.units <= _FEW]
