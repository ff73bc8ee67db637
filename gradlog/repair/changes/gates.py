"""Gates in place of a plain recurrence: a state can pass many steps unchanged (Hochreiter and Schmidhuber 1997)."""

from dataclasses import dataclass

import keras

from gradlog.repair.changes.change import Observed, where
from gradlog.repair.surgery import can_be_made_anew, cloned, flattened, rebuilt
from gradlog.repair.training import Training

_LONG = 20  # time steps
_CELLS = {"LSTM": keras.layers.LSTM, "GRU": keras.layers.GRU}
_OF_THE_PLAIN_ONE = ("activation", "dtype")


@dataclass(frozen=True)
class Gates:
    """Layers with gates take the place of `SimpleRNN`.

    Attributes:
        layer: String, their class: `"LSTM"` or `"GRU"`.
    """

    layer: str = "LSTM"
    name = "gates"
    changes_layers = True

    def applied(self, training: Training) -> Training:
        """Returns the training with another model."""
        found = {id(one) for one in _plain(training.model)}

        def edit(layer):
            if id(layer) not in found:
                return [cloned(layer)]
            known = _CELLS[self.layer](1).get_config()
            config = {name: value for name, value in layer.get_config().items() if name in known}
            return [_CELLS[self.layer](**{name: config[name] for name in config if name not in _OF_THE_PLAIN_ONE})]

        return training.changed(model=rebuilt(training.model, edit))

    def code(self, training: Training) -> str:
        """Returns the layer."""
        return f"keras.layers.{self.layer}(...)  # {where(_plain(training.model))}; was SimpleRNN(...)"


def proposals(observed: Observed) -> list[Gates]:
    """Proposes an `LSTM`, and then a `GRU`, where a `SimpleRNN` is."""
    return [Gates(one) for one in _CELLS] if _plain(observed.training.model) else []


def of_long(observed: Observed) -> list[Gates]:
    """Proposes the same where a `SimpleRNN` reads 20 time steps or more."""
    steps = [keras.tree.flatten(one.input)[0].shape[1] for one in _plain(observed.training.model)]
    return proposals(observed) if max((one or 0 for one in steps), default=0) >= _LONG else []


def _plain(model):
    """Returns the plain recurrent layers that return their output alone."""
    if not can_be_made_anew(model):
        return []
    found = [one for one in flattened(model) if isinstance(one, keras.layers.SimpleRNN)]
    return [one for one in found if not one.return_state]
