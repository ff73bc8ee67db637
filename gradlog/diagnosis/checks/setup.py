"""Setup: what is known of a training before its first step."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from gradlog.history.first_step import FirstStep
from gradlog.history.inputs import Inputs
from gradlog.history.run import Layer, Output

REGRESSION = ("mean_squared_error", "mean_absolute_error", "mean_squared_logarithmic_error", "huber", "log_cosh")
BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
CATEGORICAL = ("categorical_crossentropy", "categorical_focal_crossentropy")
SPARSE = ("sparse_categorical_crossentropy",)
HINGES = ("hinge", "squared_hinge", "categorical_hinge")
_SCALES = re.compile("Normalization|Rescaling|Embedding|Discretization|Hashing|Encoding|Lookup|Vectorization")
_WITH_SUMS = ("Dense", "Conv1D", "Conv2D", "Conv3D", "SimpleRNNCell", "GRUCell", "LSTMCell")
_MIN_ROWS = 16
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

    @property
    def classes(self) -> np.ndarray:
        """The class numbers of the targets, integers [n]; one-hot rows are decoded. Empty if they are numbers."""
        labels = self.labels
        if self.targets is None or len(labels) < np.size(self.targets) or (labels != np.round(labels)).any():
            return np.zeros(0, int)
        rows = labels.reshape(len(self.targets), -1)
        if rows.shape[1] == 1:
            return rows[:, 0].astype(int)
        is_one_hot = ((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all()
        return rows.argmax(axis=1) if is_one_hot else np.zeros(0, int)

    @property
    def largest_share(self) -> float | None:
        """The share of the most frequent of the classes, or `None` if the targets are not classes, or too few."""
        classes = self.classes
        values, counts = np.unique(classes, return_counts=True)
        is_known = len(classes) >= _MIN_ROWS and 2 <= len(values) <= len(classes) / 2
        return float(counts.max() / len(classes)) if is_known else None


@dataclass(frozen=True)
class Setup:
    """What is known of a training before its first step.

    Attributes:
        outputs: The `TrainedOutput`s of the model, in its order.
        inputs: `Inputs` for each of its inputs, in the model's order; none if they are not known.
        layers: The `Layer`s of the model; none if they are not known.
        metrics: Names of the metrics.
        optimizer: Dictionary, as `Run` has it; empty if it is not known.
        num_rows: Integer, how many rows the data have, or `None` if that is not known.
        batch_size: Integer, the rows of a batch, or `None`.
        is_shuffled: Boolean, whether `fit` shuffles the rows; it shuffles arrays, and no datasets.
        first_loss: Number, the loss of the first batch before any step, without penalties, or `None`.
        first_step: `FirstStep`, or `None` if it was not tried.
        messages: What Keras warned of when the first step was tried.
        failure: String, how the first step fails; empty if it does not.
        overfit: The losses of steps on one batch, in their order; none if it was not tried.
    """

    outputs: tuple[TrainedOutput, ...]
    inputs: tuple[Inputs, ...] = ()
    layers: tuple[Layer, ...] = ()
    metrics: tuple[str, ...] = ()
    optimizer: dict = field(default_factory=dict)
    num_rows: int | None = None
    batch_size: int | None = None
    is_shuffled: bool = True
    first_loss: float | None = None
    first_step: FirstStep | None = None
    messages: tuple[str, ...] = ()
    failure: str = ""
    overfit: tuple[float, ...] = ()

    @classmethod
    def of(
        cls,
        outputs: Sequence[Output],
        targets: Sequence = (),
        inputs: Sequence[Inputs] = (),
        layers: Sequence[Layer] = (),
        **known,
    ) -> "Setup":
        """Returns the set-up of outputs, each with its targets, if there are any; `known` are further attributes."""
        pairs = itertools.zip_longest(outputs, targets)
        trained = tuple(TrainedOutput(**asdict(one), targets=values) for one, values in pairs)
        return cls(trained, tuple(inputs), tuple(layers), **known)

    @property
    def first(self) -> Layer | None:
        """The layer with weights that the inputs reach first; `None` if something scales or embeds them before."""
        first = next((one for one in self.layers if one.kernel or _SCALES.search(one.kind)), None)
        return first if first is not None and first.kind in _WITH_SUMS else None

    def activation_of(self, layer: Layer) -> str | None:
        """Returns the activation of a layer, or that of a layer of its own right behind it."""
        behind = (one.activation for one in self.layers if one.inputs == (layer.name,) and one.activation)
        return layer.activation if layer.activation not in (None, "linear") else next(behind, layer.activation)
