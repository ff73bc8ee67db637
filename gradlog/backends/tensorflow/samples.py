"""Samples: what checks need of a batch, taken in the step."""

import math

import keras
import tensorflow as tf

SHAPE_OF_TARGETS = (64, 16)  # rows of a batch, and numbers of a row, that are looked at
SIZE_OF_INPUTS = 5  # numbers that are told of the inputs
_MAX_INPUTS = 1 << 16  # that are looked at, but one row at least


def first_targets(targets: tf.Tensor) -> tf.Tensor | None:
    """Returns the first targets of a batch, float32 [64, 16], with NaN where there are fewer; `None` if no numbers."""
    if not targets.shape.rank or not (targets.dtype.is_floating or targets.dtype.is_integer):
        return None
    rows = tf.reshape(targets, [tf.shape(targets)[0], -1])[: SHAPE_OF_TARGETS[0], : SHAPE_OF_TARGETS[1]]
    missing = tf.stack([tf.zeros(2, tf.int32), tf.constant(SHAPE_OF_TARGETS) - tf.shape(rows)], axis=1)
    return tf.ensure_shape(tf.pad(tf.cast(rows, tf.float32), missing, constant_values=math.nan), SHAPE_OF_TARGETS)


def first_inputs(inputs) -> tf.Tensor | None:
    """Returns float32 [5], the first attributes of `Inputs`, of a batch's first rows; `None` of several, or no numbers.

    Looks at 64 rows, of large ones at fewer, to the cost of 65,536 numbers.
    """
    arrays = [one for one in keras.tree.flatten(inputs) if one is not None]
    if len(arrays) != 1 or not isinstance(arrays[0], tf.Tensor):
        return None
    (values,) = arrays
    rank = values.shape.rank
    if not rank or rank < 2 or None in values.shape[1:] or not (values.dtype.is_floating or values.dtype.is_integer):
        return None
    num_rows = min(SHAPE_OF_TARGETS[0], max(1, _MAX_INPUTS // max(1, math.prod(values.shape[1:]))))
    columns = tf.reshape(tf.cast(values[:num_rows], tf.float32), [-1, values.shape[-1]])
    is_finite = tf.math.is_finite(columns)
    finite = tf.cast(is_finite, tf.float32)
    squares, numbers = tf.reduce_sum(tf.square(tf.where(is_finite, columns, 0.0)), 0), tf.reduce_sum(finite, 0)
    means = squares / tf.maximum(numbers, 1.0)
    size, known = tf.cast(tf.size(columns), tf.float32), tf.reduce_sum(numbers)
    mean, column = tf.reduce_sum(squares) / tf.maximum(known, 1.0), tf.argmax(means)
    return tf.stack([size, size - known, mean, tf.cast(column, tf.float32), tf.reduce_max(means)])
