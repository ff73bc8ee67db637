"""The histogram's buckets: fixed edges, four to every factor of two, from the bits of a float32.

A float32 is a sign, 8 bits of exponent and 23 bits of mantissa. Its upper 11 bits (sign, exponent, two bits of
mantissa) number the bucket that it falls into, so the edges are the same for every layer and step, every decade
is resolved, and no minimum or maximum has to be known first:

    bucket = sign * 1024 + exponent * 4 + upper two bits of the mantissa

The bucket of a positive number is closed on the left and open on the right, as TensorBoard's are; that of a
negative number is its mirror image. The four smallest buckets of a sign hold zero and what is smaller than the
smallest normal float32 (1.2e-38); the last four hold what is not finite and are no part of a histogram.
"""

import numpy as np

MANTISSA_BITS = 2
SHIFT = 23 - MANTISSA_BITS
PER_SIGN = 1 << (8 + MANTISSA_BITS)
NUM_BUCKETS = 2 * PER_SIGN
NUM_FINITE = 255 << MANTISSA_BITS  # of one sign


def edges() -> np.ndarray:
    """Returns the magnitudes between which the finite buckets of one sign lie.

    Returns:
        Float64 array [`NUM_FINITE` + 1], ascending from 0 to 2**128.

    Example:
    >>> magnitudes = edges()
    >>> one = 127 << MANTISSA_BITS
    >>> magnitudes[one : one + 5].tolist()
    [1.0, 1.25, 1.5, 1.75, 2.0]
    """
    exponent, mantissa = np.divmod(np.arange(NUM_FINITE + 1), 1 << MANTISSA_BITS)
    fraction = mantissa / (1 << MANTISSA_BITS) + (exponent > 0)
    return np.ldexp(fraction, np.maximum(exponent, 1) - 127)


def _finite_buckets():
    """Returns where the finite buckets stand in the counts, by rising value, and their edges.

    The two buckets next to zero, of either sign, are one: a zero has no sign worth showing.
    """
    magnitudes = edges()
    left, right = magnitudes[:-1], magnitudes[1:]
    rows = np.stack([np.concatenate([-right[::-1], left[1:]]), np.concatenate([-left[:0:-1], right])], axis=1)
    positive = np.arange(NUM_FINITE)
    return np.concatenate([positive[::-1] + PER_SIGN, positive[1:]]), rows


_ORDER, _EDGES = _finite_buckets()
_ZERO = NUM_FINITE - 1


def rows(counts: np.ndarray) -> np.ndarray:
    """Turns the counts of all buckets into the rows that TensorBoard draws.

    Args:
        counts: Integer array [`NUM_BUCKETS`].

    Returns:
        Float64 array [k, 3] of (left edge, right edge, count), by rising value, without empty buckets and
        without what is not finite; the counts sum to the number of finite elements.

    Example:
    >>> counts = np.zeros(NUM_BUCKETS, int)
    >>> counts[127 << MANTISSA_BITS] = 3  # three numbers in [1, 1.25)
    >>> rows(counts).tolist()
    [[1.0, 1.25, 3.0]]
    """
    return tables(counts[None])[0]


def num_zeros(counts: np.ndarray) -> np.ndarray:
    """Returns how many elements are zero, or too small for a normal float32, from counts [..., `NUM_BUCKETS`]."""
    subnormal = 1 << MANTISSA_BITS
    return counts[..., :subnormal].sum(-1) + counts[..., PER_SIGN : PER_SIGN + subnormal].sum(-1)


def num_nonfinite(counts: np.ndarray) -> np.ndarray:
    """Returns how many elements are not finite, from counts [..., `NUM_BUCKETS`]."""
    return counts[..., NUM_FINITE:PER_SIGN].sum(-1) + counts[..., PER_SIGN + NUM_FINITE :].sum(-1)


def tables(counts: np.ndarray) -> list[np.ndarray]:
    """Does what `rows` does for several tensors at once: [V, `NUM_BUCKETS`] to a list of V arrays [k, 3]."""
    is_filled = np.empty((len(counts), len(_ORDER)), bool)
    np.not_equal(counts[:, PER_SIGN + NUM_FINITE - 1 : PER_SIGN : -1], 0, out=is_filled[:, :_ZERO])
    np.not_equal(counts[:, :NUM_FINITE], 0, out=is_filled[:, _ZERO:])
    is_filled[:, _ZERO] |= counts[:, PER_SIGN] != 0
    filled = np.flatnonzero(is_filled)
    tensor = filled // len(_ORDER)
    place = filled - tensor * len(_ORDER)
    table = np.empty((len(place), 3))
    table[:, :2] = _EDGES[place]
    table[:, 2] = counts[tensor, _ORDER[place]]
    is_zero = place == _ZERO
    table[is_zero, 2] += counts[tensor[is_zero], 0]
    ends = np.searchsorted(tensor, np.arange(1, len(counts) + 1)).tolist()
    return [table[start:end] for start, end in zip([0, *ends], ends, strict=False)]
