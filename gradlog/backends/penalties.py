"""Penalties: what regularizers add to the loss, and to the gradient of each variable.

Only Keras' own regularizers are asked a second time in a step: they draw no random numbers and keep no state.
"""

from collections.abc import Sequence
from typing import Any

import keras

from gradlog.backends.engine import engine

_KNOWN = (
    keras.regularizers.L1,
    keras.regularizers.L2,
    keras.regularizers.L1L2,
    keras.regularizers.OrthogonalRegularizer,
)


def is_known(regularizer: object) -> bool:
    """Whether a regularizer is one of Keras' own."""
    return type(regularizer) in _KNOWN


def regularized(variables: Sequence[keras.Variable]) -> list[int]:
    """Returns which of some variables have a regularizer of Keras' own, as indices."""
    return [number for number, one in enumerate(variables) if is_known(getattr(one, "regularizer", None))]


def gradients(variables: Sequence[keras.Variable], values: Sequence, chosen: Sequence[int]) -> list:
    """Returns the gradients of the penalties of R regularized variables, where they have certain values.

    Args:
        variables: V variables.
        values: V tensors, their values.
        chosen: R indices, of those that have a regularizer.
    """
    at = [values[one] for one in chosen]

    def penalties(values):
        pairs = zip(chosen, values, strict=True)
        return sum(variables[one].regularizer(value) for one, value in pairs), None

    found, _ = engine().gradients(penalties, at)
    return [keras.ops.zeros_like(value) if one is None else one for one, value in zip(found, at, strict=True)]


def adds_penalties(model) -> bool:
    """Whether a model's loss is computed by Keras' own `compute_loss`, which adds all penalties to it."""
    method = getattr(type(model), "compute_loss", None)
    return getattr(method, "__module__", "").startswith("keras.")


def penalty(model) -> Any:
    """Returns the sum of what regularizers and `add_loss` add to the loss, a float32 scalar tensor.

    `None` if nothing is added, or if a trainable variable has a custom regularizer, which is never called twice.
    """
    regularizers = [
        one.regularizer for one in model.trainable_variables if getattr(one, "regularizer", None) is not None
    ]
    if not all(map(is_known, regularizers)):
        return None
    losses = model.losses
    return sum(keras.ops.cast(keras.ops.sum(one), "float32") for one in losses) if losses else None
