"""Precision: what would be lost if the logged gradients or weights were stored in fewer bits, from their histograms.

A histogram's buckets lie on quarters of powers of two, so most of a format's limits are edges of buckets. Loss scaling
shifts small gradients into a format's range (Micikevicius et al., "Mixed precision training", 2018, section 3.2).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gradlog.history import names

KINDS = (names.GRADIENT_HISTOGRAM, names.WEIGHT_HISTOGRAM)


class Format(NamedTuple):
    """The limits of a format of floating point numbers, as rounding to the nearest, ties to even, has them.

    Attributes:
        zero: The largest magnitude that becomes zero: half of the smallest subnormal number.
        largest: The largest magnitude that does not become infinite, or NaN where a format has no infinity.
    """

    zero: float
    largest: float


# IEEE 754 (float16) and Micikevicius et al., "FP8 formats for deep learning", 2022. A tie at the upper limit rounds to
# infinity, but in float8_e4m3fn, whose 448 is even.
FORMATS = {
    "float16": Format(2.0**-25, np.nextafter(65520.0, 0)),
    "bfloat16": Format(2.0**-134, np.nextafter((2 - 2.0**-8) * 2.0**127, 0)),
    "float8_e4m3fn": Format(2.0**-10, 464.0),
    "float8_e5m2": Format(2.0**-17, np.nextafter(61440.0, 0)),
}


@dataclass(frozen=True)
class Precision:
    """What would be lost of V variables at T steps in a format.

    Attributes:
        variables: V names.
        steps: Integer array [T], rising.
        underflow: Float64 array [T, V], how many of the elements that are not zero become zero.
        overflow: The same of those that become infinite or NaN.
        number: The same of all that are not zero; 0 where a step has no histogram.
    """

    variables: tuple[str, ...]
    steps: np.ndarray
    underflow: np.ndarray
    overflow: np.ndarray
    number: np.ndarray

    def fractions(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the fractions [T, V] that underflow and overflow, in [0, 1]; NaN where all elements are zero."""
        number = np.where(self.number > 0, self.number, np.nan)
        return self.underflow / number, self.overflow / number

    def total(self) -> tuple[float, float]:
        """Returns the fractions of all steps and variables together; NaN where there is nothing but zeros."""
        number = self.number.sum() or np.nan
        return float(self.underflow.sum() / number), float(self.overflow.sum() / number)


def lost(rows: np.ndarray, dtype: str, scale: float = 1.0) -> tuple[float, float, float]:
    """Returns how many elements of a histogram become zero in a format, how many infinite or NaN, and of how many.

    An element counts as lost where everything in its bucket is. So those are left out that lie beyond a limit, but in
    its bucket: in float16, magnitudes of 65,520 to 65,536 overflow and are not counted, nor are those above 464 and
    below 512 in float8_e4m3fn, and of 61,440 to 65,536 in float8_e5m2; nor is exactly 2**-25, 2**-10 and 2**-17, which
    becomes zero. With a scale that is no power of two, the limits lie elsewhere in their buckets. The bucket around
    zero, of magnitudes below 2.9e-39 in gradlog's own logs, counts as zeros, which lose nothing; so nothing underflows
    in bfloat16. What is not finite has no bucket.

    Args:
        rows: Float64 array [k, 3] of (left edge, right edge, count), as in `History.histograms`.
        dtype: A key of `FORMATS`.
        scale: Number, by which the elements are multiplied before, as loss scaling does. Defaults to 1.

    Returns:
        A tuple (underflow, overflow, number) of the elements that are not zero.

    Raises:
        ValueError: The format is not known, or the scale is not positive.

    Example:
    >>> rows = np.array([[-1e-39, 1e-39, 5.0], [2.0**-26, 1.25 * 2.0**-26, 3.0], [1.0, 1.25, 1.0]])
    >>> lost(rows, "float16"), lost(rows, "float16", scale=4.0)
    ((3.0, 0.0, 4.0), (0.0, 0.0, 4.0))
    """
    underflow, overflow, known = (float(counts.sum()) for counts in _lost(rows, dtype, scale))
    return underflow, overflow, known


def precision_of(history, dtype: str, kind: str = names.GRADIENT_HISTOGRAM, scale: float = 1.0) -> Precision:
    """Returns what `History.precision` does."""
    if kind not in KINDS:
        raise ValueError(f"Precision is of what has histograms. Expected one of {KINDS}. Received: kind={kind!r}")
    series = {name: history.histograms.get(names.tag(kind, name)) for name in history.variables}
    series = {name: one for name, one in series.items() if one is not None}
    steps = np.unique(np.concatenate([one.steps for one in series.values()])) if series else np.zeros(0, np.int64)
    found = np.zeros((3, len(steps), len(series)))
    for column, one in enumerate(series.values()):
        rows = np.concatenate([np.zeros((0, 3)), *one.values])
        places = np.repeat(np.searchsorted(steps, one.steps), [len(value) for value in one.values])
        for which, counts in enumerate(_lost(rows, dtype, scale)):
            found[which, :, column] = np.bincount(places, counts, len(steps))
    return Precision(tuple(series), steps, *found)


def _lost(rows, dtype, scale):
    """Returns three arrays [k] of the counts that underflow, that overflow, and that are not zero."""
    if dtype not in FORMATS:
        raise ValueError(f"Expected a format of {', '.join(FORMATS)}. Received: dtype={dtype!r}")
    if not 0 < scale < np.inf:
        raise ValueError(f"A scale multiplies gradients. Expected a positive number. Received: scale={scale!r}")
    left, right, counts = np.asarray(rows, np.float64).reshape(-1, 3).T
    lower, upper = np.minimum(np.abs(left), np.abs(right)), np.maximum(np.abs(left), np.abs(right))
    is_zero, limits = (left <= 0) & (right >= 0), FORMATS[dtype]
    underflows, overflows = upper * scale <= limits.zero, lower * scale > limits.largest
    return [np.where(chosen & ~is_zero, counts, 0.0) for chosen in (underflows, overflows, True)]
