"""Histograms: how many elements of a tensor lie in each of the fixed buckets, counted in the graph in one pass."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from gradlog import buckets
from gradlog.grouping import by_size

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


def histograms(tensors: Sequence[tf.Tensor], zeros: Sequence[int] | None = None) -> tf.Tensor:
    """Does what `histogram` does for V tensors at once: int32 [V, `buckets.NUM_BUCKETS`].

    `zeros`, V numbers, are counted beside the elements given: rows of an embedding that a batch does not touch.
    """
    for tensor in tensors:
        if not tensor.dtype.is_floating:
            raise TypeError(
                "A histogram counts floating point numbers. Expected a tensor of dtype float16, bfloat16, float32 or "
                f"float64. Received: dtype={tensor.dtype.name}"
            )
    counts = by_size(_counts, tensors)
    if zeros is None:
        return counts
    first = tf.stack([tf.cast(number, tf.int32) for number in zeros])[:, None]
    return tf.concat([counts[:, :1] + first, counts[:, 1:]], 1)  # the first bucket holds zero


def _counts(rows):
    index = _float64_index(rows) if rows.dtype == tf.float64 else _float32_index(tf.cast(rows, tf.float32))
    if rows.shape[0] == 1:  # of one row, the bins can be shared out among threads
        return _bincount(index[0])[None]
    return _bincount(index)


def _bincount(index):
    return tf.raw_ops.DenseBincount(
        input=index, size=buckets.NUM_BUCKETS, weights=tf.constant([], tf.int32), binary_output=False
    )


def _float32_index(values):
    """Returns the buckets of float32 numbers; the halves fit into a float32, exactly."""
    bits = tf.bitcast(values, tf.int32)
    return tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, buckets.SHIFT), buckets.NUM_BUCKETS - 1)


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
