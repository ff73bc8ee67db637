"""Setup: what is known of a training before its first step."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from gradlog.history.run import Layer, Output

REGRESSION = ("mean_squared_error", "mean_absolute_error", "mean_squared_logarithmic_error", "huber", "log_cosh")
BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
CATEGORICAL = ("categorical_crossentropy", "categorical_focal_crossentropy")
SPARSE = ("sparse_categorical_crossentropy",)
_SCALES = re.compile("Normalization|Rescaling|Embedding|Discretization|Hashing|Encoding|Lookup|Vectorization")
_WITH_SUMS = ("Dense", "Conv1D", "Conv2D", "Conv3D")
CROSS_ENTROPIES = (*BINARY, *CATEGORICAL, *SPARSE)


@dataclass(frozen=True)
class TrainedOutput(Output):
    """One output of a model, and what it is to learn.

    Attributes:
        targets: Array [n, ...] of its first n targets, or `None` if they are not known.
    """

    targets: np.ndarray | None = None

    @property
    def labels(self) -> np.ndarray:
        """The targets that are numbers and finite, flat; empty if there are none."""
        if self.targets is None or not np.issubdtype(self.targets.dtype, np.number):
            return np.zeros(0)
        values = np.asarray(self.targets, np.float64).ravel()
        return values[np.isfinite(values)]


@dataclass(frozen=True)
class Setup:
    """What is known of a training before its first step.

    Attributes:
        outputs: The `TrainedOutput`s of the model, in its order.
        inputs: Arrays [n, ...] of its first n inputs, in the model's order; none if they are not known.
        layers: The `Layer`s of the model; none if they are not known.
    """

    outputs: tuple[TrainedOutput, ...]
    inputs: tuple[np.ndarray, ...] = ()
    layers: tuple[Layer, ...] = ()

    @classmethod
    def of(
        cls,
        outputs: Sequence[Output],
        targets: Sequence = (),
        inputs: Sequence[np.ndarray] = (),
        layers: Sequence[Layer] = (),
    ) -> "Setup":
        """Returns the set-up of outputs, each with its targets, if there are any."""
        pairs = itertools.zip_longest(outputs, targets)
        trained = tuple(TrainedOutput(**asdict(one), targets=values) for one, values in pairs)
        return cls(trained, tuple(inputs), tuple(layers))

    @property
    def first(self) -> Layer | None:
        """The layer with weights that the inputs reach first; `None` if something scales or embeds them before."""
        first = next((one for one in self.layers if one.kernel or _SCALES.search(one.kind)), None)
        return first if first is not None and first.kind in _WITH_SUMS else None

    def activation_of(self, layer: Layer) -> str | None:
        """Returns the activation of a layer, or that of a layer of its own right behind it."""
        behind = (one.activation for one in self.layers if one.inputs == (layer.name,) and one.activation)
        return layer.activation if layer.activation not in (None, "linear") else next(behind, layer.activation)
