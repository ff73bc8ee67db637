"""Histograms: how many elements of a tensor lie in each of the fixed buckets, in one pass."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gradlog.stats import buckets

_FLOAT64_OFFSET = (1023 - 127) << buckets.MANTISSA_BITS  # how far its exponent is ahead of a float32's, in buckets
_FLOAT64_SHIFT = 52 - buckets.MANTISSA_BITS
_FLOAT64_INFINITY = 2047 << buckets.MANTISSA_BITS
_ONE_INDEX_EACH = jax.lax.ScatterDimensionNumbers(
    update_window_dims=(), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,)
)


def histograms(tensors: Sequence[jax.Array]) -> jax.Array:
    """Counts the elements of V arrays by the buckets of `gradlog.stats.buckets`.

    Args:
        tensors: List of V arrays of float16, bfloat16, float32 or float64 of any shape, with any values. Of float64,
            what is too large for a float32 counts into the last finite bucket of its sign, and what is smaller than the
            smallest normal float32 as zero.

    Returns:
        Int32 array [V, `buckets.NUM_BUCKETS`].

    Example:
    >>> counts = histograms([jnp.array([1.0, 1.1, -2.0])])
    >>> buckets.rows(np.asarray(counts[0])).tolist()
    [[-2.5, -2.0, 1.0], [1.0, 1.25, 2.0]]
    """
    return jnp.stack([_counts(one.reshape(-1)) for one in tensors])


def _counts(flat):
    index = _float64_index(flat) if flat.dtype == jnp.float64 else _float32_index(flat.astype(jnp.float32))
    # An index from 11 bits is always within bounds; where JAX has to see to it, this takes ten times as long. It is not
    # `.at[index].add(1)`, which makes int32 of the indices: on a CPU, twice the memory takes a fifth more time.
    return jax.lax.scatter_add(
        jnp.zeros(buckets.NUM_BUCKETS, jnp.int32),
        index.astype(jnp.uint16)[:, None],
        jnp.ones(flat.shape, jnp.int32),
        _ONE_INDEX_EACH,
        mode=jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS,
    )


def _float32_index(values):
    bits = jax.lax.bitcast_convert_type(values, jnp.uint32)
    return jax.lax.shift_right_logical(bits, jnp.uint32(buckets.SHIFT)).astype(jnp.int32)


def _float64_index(values):
    """Finds the float32 bucket of a float64 in integers alone: rounding to a float32 could move it to the next."""
    bits = jax.lax.bitcast_convert_type(values, jnp.int64)
    index = (bits & np.int64(2**63 - 1)) >> _FLOAT64_SHIFT
    normal = jnp.minimum(index - _FLOAT64_OFFSET, buckets.NUM_FINITE - 1)
    finite = jnp.where(normal < 1 << buckets.MANTISSA_BITS, 0, normal)
    one_sign = jnp.where(index < _FLOAT64_INFINITY, finite, buckets.NUM_FINITE)
    return jnp.where(bits < 0, one_sign + buckets.PER_SIGN, one_sign).astype(jnp.int32)
