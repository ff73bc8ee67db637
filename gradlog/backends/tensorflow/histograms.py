"""Histograms: how many elements of a tensor lie in each of the fixed buckets, counted in the graph in one pass."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from gradlog.backends.tensorflow.grouping import grouped, in_blocks, split
from gradlog.stats import buckets

# Of a float64: how far its exponent is ahead of a float32's, in buckets; and where its own bits are cut.
_FLOAT64_OFFSET = (1023 - 127) << buckets.MANTISSA_BITS
_FLOAT64_SHIFT = 52 - buckets.MANTISSA_BITS
_FLOAT64_INFINITY = 2047 << buckets.MANTISSA_BITS
_SUBNORMAL_EDGES = buckets.edges()[1 : 1 << buckets.MANTISSA_BITS].view(np.int64)


def histogram(tensor: tf.Tensor) -> tf.Tensor:
    """Counts the elements of a tensor by the buckets of `gradlog.buckets`.

    No minimum, no maximum and no one-hot: an integer index an element, from the number's own bits, and one count.
    It compiles under `jit_compile=True`.

    Args:
        tensor: Float16, bfloat16, float32 or float64 tensor of any shape, with any values. Of float64, what is
            too large for a float32 counts into the last finite bucket of its sign.

    Returns:
        Int32 tensor [`buckets.NUM_BUCKETS`] of counts, exact up to 2**31 elements.

    Raises:
        TypeError: `tensor` is not of a floating point type.

    Example:
    >>> counts = histogram(tf.constant([1.0, 1.1, -2.0]))
    >>> buckets.rows(counts.numpy()).tolist()
    [[-2.5, -2.0, 1.0], [1.0, 1.25, 2.0]]
    """
    return histograms([tensor])[0]


def histograms(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Does what `histogram` does for V tensors at once: int32 [V, `buckets.NUM_BUCKETS`]."""
    for tensor in tensors:
        if not tensor.dtype.is_floating:
            raise TypeError(
                "A histogram counts floating point numbers. Expected a tensor of dtype float16, bfloat16, float32 or "
                f"float64. Received: dtype={tensor.dtype.name}"
            )
    return grouped(_counts_of_rows, _counts_one_by_one, tensors)


def _counts_of_rows(rows, flat):
    return tf.concat([_bincount(index) for index in split(_float32_index(flat), rows)], 0)


def _counts_one_by_one(tensors):
    return tf.stack([in_blocks(_counts, tensor) for tensor in tensors])


def _counts(flat):
    return _bincount(_float64_index(flat) if flat.dtype == tf.float64 else _float32_index(tf.cast(flat, tf.float32)))


def _bincount(index):
    return tf.raw_ops.DenseBincount(
        input=index, size=buckets.NUM_BUCKETS, weights=tf.constant([], tf.int32), binary_output=False
    )


def _float32_index(values):
    """Returns the buckets of float32 numbers, their upper bits; the halves fit into a float32, exactly."""
    bits = tf.bitwise.right_shift(tf.bitcast(values, tf.uint32), tf.constant(buckets.SHIFT, tf.uint32))
    return tf.bitcast(bits, tf.int32)


def _float64_index(values):
    """Finds the float32 bucket of a float64 in integers alone: rounding to a float32 could move it to the next."""
    bits = tf.bitcast(values, tf.int64)
    magnitude = tf.bitwise.bitwise_and(bits, np.int64(2**63 - 1))
    index = tf.bitwise.right_shift(magnitude, np.int64(_FLOAT64_SHIFT))
    normal = tf.minimum(index - _FLOAT64_OFFSET, buckets.NUM_FINITE - 1)
    subnormal = tf.add_n([tf.cast(magnitude >= edge, tf.int64) for edge in _SUBNORMAL_EDGES])
    finite = tf.where(normal < 1 << buckets.MANTISSA_BITS, subnormal, normal)
    one_sign = tf.where(index < _FLOAT64_INFINITY, finite, buckets.NUM_FINITE)
    return tf.cast(tf.where(bits < 0, one_sign + buckets.PER_SIGN, one_sign), tf.int32)
