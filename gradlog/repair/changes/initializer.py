"""Initial weights that keep the size of the signal from layer to layer (Glorot and Bengio 2010; He et al. 2015)."""

import math
from dataclasses import dataclass

from gradlog.diagnosis.changes.initial_weights import deviation, fans
from gradlog.diagnosis.changes.of_run import SQUASHING
from gradlog.repair.changes.activation import activation_of
from gradlog.repair.changes.change import Observed
from gradlog.repair.surgery import cloned, flattened, hidden_layers, output_layers, rebuilt
from gradlog.repair.training import Training


@dataclass(frozen=True)
class Initializer:
    """All kernels start with another initializer, and biases at zero.

    Attributes:
        initializer: String, Keras' name.
    """

    initializer: str
    name = "initializer"
    changes_layers = True

    def applied(self, training: Training) -> Training:
        """Returns the training with another model."""

        def edit(layer):
            if not _starts_at_random(layer):
                return [cloned(layer)]
            bias = {"bias_initializer": "zeros"} if hasattr(layer, "bias_initializer") else {}
            return [cloned(layer, kernel_initializer=self.initializer, **bias)]

        return training.changed(model=rebuilt(training.model, edit))

    def code(self, training: Training) -> str:
        """Returns the arguments."""
        found = [one for one in flattened(training.model) if _starts_at_random(one)]
        before = ", ".join(dict.fromkeys(_said(one.kernel_initializer) for one in found))
        biases = '\nbias_initializer="zeros"' if any(map(_starts_off_zero, found)) else ""
        return f'kernel_initializer="{self.initializer}"  # in all layers with a kernel; was {before}{biases}'


def proposals(observed: Observed) -> list[Initializer]:
    """Proposes He's initializer, with squashing activations Glorot's; unless it is there."""
    hidden = hidden_layers(observed.training.model)
    if not hidden and not is_unusual(observed):
        return []
    squashes = any(activation_of(one) in SQUASHING for one in hidden)
    name = "glorot_uniform" if squashes else "he_normal"
    found = [one for one in flattened(observed.training.model) if _starts_at_random(one)]
    is_there = all(_said(one.kernel_initializer) == _class(name) for one in found)
    return [] if is_there and not any(map(_starts_off_zero, found)) else [Initializer(name)]


def unusual(observed: Observed) -> list[Initializer]:
    """Proposes the same, but only where weights start much larger or smaller than usual, or biases elsewhere."""
    return proposals(observed) if is_unusual(observed) else []


def is_unusual(observed: Observed) -> bool:
    """Whether a kernel starts far from the usual deviations, or the bias of a hidden layer at another number than zero.

    Usual are those of LeCun, Glorot and He; far is less than half of the smallest, or more than twice the largest.
    """
    for layer in observed.run.layers:
        if not layer.kernel or (found := deviation(layer)) is None:
            continue
        fan_in, fan_out = fans(layer)
        usual = [math.sqrt(one) for one in (1 / fan_in, 2 / fan_in, 2 / (fan_in + fan_out))]
        if not min(usual) / 2 <= found <= 2 * max(usual):
            return True
    outputs = {id(one) for one in output_layers(observed.training.model)}
    return any(_starts_off_zero(one) for one in flattened(observed.training.model) if id(one) not in outputs)


def _starts_at_random(layer):
    return hasattr(layer, "kernel_initializer") and not hasattr(layer, "recurrent_initializer")


def _starts_off_zero(layer):
    """Whether a layer's bias starts at another number than zero."""
    initializer = getattr(layer, "bias_initializer", None)
    return initializer is not None and not _is_zero(initializer)


def _is_zero(initializer):
    return _said(initializer) in ("zeros", "Zeros") or getattr(initializer, "value", None) == 0


def _said(initializer):
    return getattr(initializer, "__name__", None) or type(initializer).__name__


def _class(name):
    return "".join(part.title() for part in name.split("_"))
