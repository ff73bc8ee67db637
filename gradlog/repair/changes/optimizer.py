"""Adam in place of another optimizer: its steps do not depend on how large the gradients are (Kingma and Ba 2015)."""

from dataclasses import dataclass

import keras

from gradlog.repair.changes.change import Observed, optimizer_code
from gradlog.repair.changes.clipping import clips
from gradlog.repair.training import Training

_LEAST, _MOST = 0.9e-4, 1.1e-2  # usual learning rates, which Keras rounds
_MIN_CLIP = 0.1


@dataclass(frozen=True)
class Adam:
    """Adam with a learning rate.

    Attributes:
        rate: Number. Defaults to Keras' default.
    """

    rate: float = 1e-3
    name = "Adam"
    overrides = ("learning rate", "warm-up", "clipping")

    def applied(self, training: Training) -> Training:
        """Returns the training with Adam and its defaults."""
        settings = keras.optimizers.Adam(self.rate).get_config()
        settings["learning_rate"] = self.rate  # which Keras rounds to float32
        return training.changed(
            optimizer=keras.optimizers.Adam,
            settings={name: value for name, value in settings.items() if name != "name"},
        )

    def code(self, training: Training) -> str:
        """Returns the optimizer."""
        return f"optimizer=keras.optimizers.Adam({self.rate:g})  # was {optimizer_code(training)}"


def proposals(observed: Observed) -> list[Adam]:
    """Proposes Adam where it is not the optimizer, or has arguments of its own."""
    is_adam = observed.training.optimizer is keras.optimizers.Adam
    usual = Adam().applied(observed.training).settings
    return [] if is_adam and observed.training.settings == usual else [Adam()]


def unusual(observed: Observed) -> list[Adam]:
    """Proposes Adam where the optimizer is of another kind, or its steps are unusually large, small or clipped."""
    training = observed.training
    is_of_kind = issubclass(training.optimizer, (keras.optimizers.Adam, keras.optimizers.Nadam))
    is_clipped = min(clips(training), default=1.0) < _MIN_CLIP
    is_usual = is_of_kind and training.rate and _LEAST <= training.rate <= _MOST and not is_clipped
    return [] if is_usual else proposals(observed)
