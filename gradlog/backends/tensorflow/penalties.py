"""Penalties: what regularizers add to the loss, and to the gradient of each variable.

Only Keras' own regularizers are asked a second time in a step: they draw no random numbers and keep no state.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

_KNOWN = (
    keras.regularizers.L1,
    keras.regularizers.L2,
    keras.regularizers.L1L2,
    keras.regularizers.OrthogonalRegularizer,
)


def is_known(regularizer) -> bool:
    """Whether a regularizer is one of Keras' own."""
    return type(regularizer) in _KNOWN


def regularized(variables: Sequence[keras.Variable]) -> list[int]:
    """Returns which of some variables have a regularizer of Keras' own, as indices."""
    return [number for number, one in enumerate(variables) if is_known(getattr(one, "regularizer", None))]


def gradients(variables: Sequence[keras.Variable], values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Returns the gradient of the penalty of each of R regularized variables, where they have certain values."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        penalties = [variable.regularizer(value) for variable, value in zip(variables, values, strict=True)]
    found = tape.gradient(penalties, values)
    return [tf.zeros_like(value) if one is None else one for one, value in zip(found, values, strict=True)]


def adds_penalties(model) -> bool:
    """Whether a model's loss is computed by Keras' own `compute_loss`, which adds all penalties to it."""
    method = getattr(type(model), "compute_loss", None)
    return getattr(method, "__module__", "").startswith("keras.")


def penalty(model) -> tf.Tensor | None:
    """Returns the sum of what regularizers and `add_loss` add to the loss, a float32 scalar.

    `None` if nothing is added, or if a trainable variable has a custom regularizer, which is never called twice.
    """
    regularizers = [
        one.regularizer for one in model.trainable_variables if getattr(one, "regularizer", None) is not None
    ]
    if not all(map(is_known, regularizers)):
        return None
    losses = model.losses
    return tf.add_n([tf.cast(tf.reduce_sum(one), tf.float32) for one in losses]) if losses else None
