"""Setup: what is known of a training before its first step."""

from dataclasses import dataclass

import numpy as np

REGRESSION = ("mean_squared_error", "mean_absolute_error", "mean_squared_logarithmic_error", "huber", "log_cosh")
BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
CATEGORICAL = ("categorical_crossentropy", "categorical_focal_crossentropy")
SPARSE = ("sparse_categorical_crossentropy",)
CROSS_ENTROPIES = (*BINARY, *CATEGORICAL, *SPARSE)


@dataclass(frozen=True)
class Output:
    """One output of a model, what its loss is, and what it is to learn.

    Attributes:
        name: String, the name of the layer, as tags have it.
        units: Integer, the size of its last axis, or `None` if it is not known.
        activation: String, Keras' name of its activation, such as `"softmax"`; `None` if it is not known.
        loss: String, Keras' name of the loss, such as `"mean_squared_error"`; `None` if there is none.
        from_logits: Boolean, whether the loss expects logits.
        targets: Array [n, ...] of its first n targets, or `None` if there are none.
    """

    name: str
    units: int | None = None
    activation: str | None = None
    loss: str | None = None
    from_logits: bool = False
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
        outputs: The `Output`s of the model, in its order.
        inputs: Arrays [n, ...] of its first n inputs, in the model's order.
    """

    outputs: tuple[Output, ...]
    inputs: tuple[np.ndarray, ...] = ()
