"""Second moments: what an optimizer remembers of the squares of its gradients, and how it divides by that.

Adam divides by the square root of a moving average of squares (Kingma and Ba, 2015), to which it adds epsilon. Others
of Keras' optimizers do the same with small differences, which `FORMS` lists.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

_LARGEST = 1e15  # of a ratio; so many squares of it as a network has elements stay within float32
_TINY = 1e-30  # what nothing is divided by where epsilon is zero


class Form(NamedTuple):
    """How a class of optimizers keeps its second moment, and where it adds epsilon.

    Attributes:
        attribute: String, the optimizer's attribute that holds a variable for each of the model's.
        decay: String, the attribute with the decay rate of the moving average; empty where squares are only summed.
        is_corrected: Boolean, whether epsilon is added after the bias is corrected.
        is_inside: Boolean, whether epsilon is added under the square root.
        is_norm: Boolean, whether the largest gradient is kept rather than the mean of the squares.
    """

    attribute: str
    decay: str = ""
    is_corrected: bool = False
    is_inside: bool = False
    is_norm: bool = False


# By the name of Keras' class. Adafactor keeps sums of rows and columns, Ftrl adds no epsilon, Muon has it for some
# variables: these have none here, nor has an optimizer with an update of its own.
FORMS = {
    "Adam": Form("_velocities", "beta_2"),
    "Nadam": Form("_velocities", "beta_2", is_corrected=True),
    "Lamb": Form("_velocities", "beta_2", is_corrected=True),
    "ScheduleFreeAdamW": Form("_velocities", "beta_2", is_corrected=True),
    "Adamax": Form("_u", "beta_2", is_norm=True),
    "RMSprop": Form("_velocities", "rho", is_inside=True),
    "Adadelta": Form("_accumulated_grads", "rho", is_inside=True),
    "Adagrad": Form("_accumulators", is_inside=True),
}


class SecondMoments:
    """The second moments of those of an optimizer's variables that have one.

    Args:
        optimizer: A built Keras optimizer, inside of loss scaling.
        variables: V variables of the model, which it may update.
        key: Function that tells a variable from others, as `Tap.key` does.

    Attributes:
        indices: Integers, which of the variables have a second moment, M of them.
        kept: M variables of the optimizer.
        centers: M variables with the mean gradient, whose square the optimizer takes off; empty where it does not.
        embeddings: Integers, which of the M are embeddings.
    """

    indices: tuple[int, ...] = ()
    kept: tuple[keras.Variable, ...] = ()
    centers: tuple[keras.Variable, ...] = ()

    def __init__(self, optimizer, variables: Sequence, key: Callable = id):
        self._optimizer, self._key = optimizer, key
        form = form_of(optimizer)
        if form is not None:
            self._form = form
            self._find(variables)
        self.embeddings = tuple(place for place, one in enumerate(self.indices) if is_embedding(variables[one]))

    def _find(self, variables):
        is_amsgrad = getattr(self._optimizer, "amsgrad", False)
        kept = self._of_variables("_velocity_hats" if is_amsgrad else self._form.attribute)
        found = [kept.get(self._key(one)) for one in variables]
        self.indices = tuple(
            place
            for place, (one, variable) in enumerate(zip(found, variables, strict=True))
            if one is not None and one.shape == variable.shape
        )
        self.kept = tuple(found[place] for place in self.indices)
        if getattr(self._optimizer, "centered", False):
            centers = self._of_variables("_average_gradients")
            self.centers = tuple(centers[self._key(variables[place])] for place in self.indices)

    def _of_variables(self, attribute):
        """Returns what an attribute of the optimizer holds for each variable, by the variable's key."""
        variables = map(self._key, self._optimizer._trainable_variables)
        return dict(zip(variables, getattr(self._optimizer, attribute), strict=True))

    def ratios(self, updates) -> Callable:
        """Returns a function of a second moment and a gradient, element by element: squares of their ratio, and where.

        The ratio is the gradient over the root of the second moment with its bias corrected, or over epsilon where that
        is larger, and 1e15 at most. It is left out, as 0, where either is not finite.

        Args:
            updates: Tensor, how many updates the second moment has seen.
        """
        epsilon = float(self._optimizer.epsilon)
        least = max(math.sqrt(epsilon) if self._form.is_inside else epsilon, _TINY)

        def of_elements(moment, gradient):
            moment, gradient = _wide(moment), _wide(gradient)
            is_known = ops.logical_and(ops.isfinite(moment), ops.isfinite(gradient))
            root = moment if self._form.is_norm else ops.sqrt(moment / ops.cast(self._share(updates), moment.dtype))
            ratio = ops.minimum(ops.abs(gradient) / ops.maximum(root, least), _LARGEST)
            return ops.where(is_known, ops.square(ratio), 0.0), is_known

        return of_elements

    def below_epsilon(self, updates) -> Callable:
        """Returns a function of a second moment, and its center, element by element: whether epsilon is the larger.

        Args:
            updates: Tensor, how many updates the second moment has seen.
        """
        form, epsilon = self._form, float(self._optimizer.epsilon)

        def of_elements(moment, *centers):
            moment = _wide(moment)
            for center in centers:
                moment = moment - ops.square(_wide(center))
            if form.is_corrected:
                moment = moment / ops.cast(self._share(updates), moment.dtype)
            return (moment if form.is_inside or form.is_norm else ops.sqrt(moment)) < epsilon

        return lambda *tensors: (of_elements(*tensors),)

    def _share(self, updates):
        """Returns what the second moment is to be divided by to have no bias; 0 ahead of the first update."""
        updates = ops.cast(updates, "float32")
        if not self._form.decay:
            return updates
        return -ops.expm1(updates * np.float32(math.log(getattr(self._optimizer, self._form.decay))))

    def of_embedding(self, moment, gradient) -> tuple[Any, Any]:
        """Returns an embedding's gradient where there is a second moment to compare it with, else 0; and integers [2].

        Those are how many rows have had no gradient so far, and how many finite elements are in the others that this
        gradient touches.
        """
        never = np.float32(getattr(self._optimizer, "initial_accumulator_value", 0.0))
        is_unused = ops.all(_wide(moment) == never, axis=-1, keepdims=True)
        gradient = ops.where(is_unused, ops.zeros_like(gradient), gradient)
        is_touched = ops.any(gradient != 0, axis=-1, keepdims=True)
        is_known = ops.logical_and(ops.isfinite(_wide(moment)), ops.isfinite(_wide(gradient)))
        counted = is_unused, ops.logical_and(is_known, is_touched)
        return gradient, ops.stack([ops.sum(ops.cast(one, "int32")) for one in counted])


def form_of(optimizer) -> Form | None:
    """Returns the `Form` of an optimizer, or `None` where it has no second moment, or its update is not Keras' own."""
    if not getattr(type(optimizer).update_step, "__module__", "").startswith("keras."):
        return None
    found = [FORMS[one.__name__] for one in type(optimizer).__mro__ if one.__name__ in FORMS]
    return found[0] if found else None


def is_embedding(variable) -> bool:
    """Whether a variable has a row for each of many tokens, of which a batch uses some."""
    return variable.name == "embeddings" and len(variable.shape) == 2


def _wide(tensor):
    return tensor if keras.backend.standardize_dtype(tensor.dtype) == "float64" else ops.cast(tensor, "float32")
