"""Histograms: how many elements of a tensor lie in each of the fixed buckets, in one pass."""

import sys
from collections.abc import Sequence

import torch

from gradlog.stats import buckets

_FLOAT64_OFFSET = (1023 - 127) << buckets.MANTISSA_BITS  # how far its exponent is ahead of a float32's, in buckets
_FLOAT64_SHIFT = 52 - buckets.MANTISSA_BITS
_FLOAT64_INFINITY = 2047 << buckets.MANTISSA_BITS
_UPPER_HALF = 1 if sys.byteorder == "little" else 0  # of the two int16 that a float32 consists of


def histograms(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Counts the elements of V tensors by the buckets of `gradlog.stats.buckets`.

    Args:
        tensors: List of V tensors of float16, bfloat16, float32 or float64 of any shape, with any values. Of float64,
            what is too large for a float32 counts into the last finite bucket of its sign, and what is smaller than the
            smallest normal float32 as zero.

    Returns:
        Int64 tensor [V, `buckets.NUM_BUCKETS`].

    Example:
    >>> counts = histograms([torch.tensor([1.0, 1.1, -2.0])])
    >>> buckets.rows(counts[0].numpy()).tolist()
    [[-2.5, -2.0, 1.0], [1.0, 1.25, 2.0]]
    """
    return torch.stack([_counts(one.detach().reshape(-1)) for one in tensors])


def _counts(flat):
    index = _float64_index(flat) if flat.dtype == torch.float64 else _float32_index(flat.to(torch.float32))
    return torch.bincount(index, minlength=buckets.NUM_BUCKETS)


def _float32_index(values):
    """Returns the upper bits of float32 numbers; on a CPU as int16, half the memory to go through."""
    values, shift = values.contiguous(), buckets.SHIFT
    values = values.as_strided(values.shape, (1,))  # none or one number may have any stride
    if values.device.type == "cpu":
        bits, shift = values.view(torch.int16)[_UPPER_HALF::2], shift - 16
    else:
        bits = values.view(torch.int32)
    return (bits >> shift).bitwise_and_(buckets.NUM_BUCKETS - 1)  # the shift fills up with the sign


def _float64_index(values):
    """Finds the float32 bucket of a float64 in integers alone: rounding to a float32 could move it to the next."""
    bits = values.contiguous().view(torch.int64)
    index = (bits & (2**63 - 1)) >> _FLOAT64_SHIFT
    normal = torch.clamp(index - _FLOAT64_OFFSET, max=buckets.NUM_FINITE - 1)
    finite = torch.where(normal < 1 << buckets.MANTISSA_BITS, 0, normal)
    one_sign = torch.where(index < _FLOAT64_INFINITY, finite, buckets.NUM_FINITE)
    return torch.where(bits < 0, one_sign + buckets.PER_SIGN, one_sign)
