"""Scaled inputs: each column with mean 0 and deviation 1 (LeCun et al. 1998, "Efficient BackProp", section 4.3)."""

from dataclasses import dataclass

import keras
import numpy as np

from gradlog.repair.changes.change import Observed
from gradlog.repair.surgery import can_be_made_anew, flattened, rebuilt
from gradlog.repair.training import Training

_LAYERS = ("Normalization", "Rescaling", "Embedding", "Discretization", "Hashing", "CategoryEncoding", "StringLookup")


@dataclass(frozen=True)
class ScaledInputs:
    """A layer at the front that scales the inputs, so that the model takes them as they came.

    Attributes:
        means: Tuple of numbers, of each column; one number for all where inputs have more than one axis.
        variances: The same.
    """

    means: tuple[float, ...]
    variances: tuple[float, ...]
    name = "scaled inputs"
    changes_layers = True

    def applied(self, training: Training) -> Training:
        """Returns the training with another model."""

        def first(inputs):
            # A single number stands for all columns.
            axis = -1 if len(self.means) > 1 else None
            numbers = [np.array(each, np.float32) for each in (self.means, self.variances)]
            numbers = numbers if axis == -1 else [each[0] for each in numbers]
            layer = keras.layers.Normalization(axis, *numbers, name=f"{inputs.name}_scaled")
            return layer(inputs)

        return training.changed(model=rebuilt(training.model, first=first))

    def code(self, training: Training) -> str:
        """Returns the layer."""
        if len(self.means) > 1:
            return "scaled = keras.layers.Normalization(); scaled.adapt(x)  # the first layer"
        return f"keras.layers.Normalization(None, {self.means[0]:.4g}, {self.variances[0]:.4g})  # the first layer"


def proposals(observed: Observed) -> list[ScaledInputs]:
    """Proposes it where one input of numbers is not scaled."""
    model = observed.training.model
    inputs = keras.tree.flatten(observed.data.train.x)
    if not can_be_made_anew(model) or len(inputs) != 1 or len(model.inputs) != 1:
        return []
    x = inputs[0]
    first = [one for one in flattened(model) if not isinstance(one, keras.layers.InputLayer)][:1]
    has_layer = any(type(one).__name__ in _LAYERS for one in first)
    if has_layer or not np.issubdtype(x.dtype, np.number) or not keras.backend.is_float_dtype(model.inputs[0].dtype):
        return []
    means, variances = _moments(np.asarray(x, np.float64))
    is_scaled = abs(np.mean(means)) < 2 and 0.01 < np.mean(variances) < 10
    return [] if is_scaled else [ScaledInputs(tuple(means.tolist()), tuple(variances.tolist()))]


def _moments(x):
    """Returns mean and variance of each column; of images and sequences those of all numbers."""
    x = np.where(np.isfinite(x), x, np.nan)
    axis = 0 if x.ndim == 2 else None
    means, variances = np.atleast_1d(np.nanmean(x, axis)), np.atleast_1d(np.nanvar(x, axis))
    return means, np.where(variances > 1e-12 * (1 + means**2), variances, 1.0)  # of a constant column nothing is left
