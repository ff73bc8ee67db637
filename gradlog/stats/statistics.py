"""Statistics: numbers that summarize one tensor, over its finite elements.

Each is a pure function of `Sums`, what one pass over a tensor leaves, and `STATISTICS` is their ordered table. NaN and
infinities never poison a statistic: they are left out, and counted by `nonfinite`. Where nothing finite is left to
average, an average is NaN.

Gradients by layer as a sign of what ails a deep network: Glorot and Bengio, "Understanding the difficulty of training
deep feedforward neural networks", 2010, section 4.2. Their joint norm: Pascanu, Mikolov and Bengio, "On the difficulty
of training recurrent neural networks", 2013, section 3.2.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradlog.stats import buckets


class Sums(NamedTuple):
    """What one pass over each of V tensors leaves; float64 arrays [V].

    Attributes:
        absolute: The sum of the absolute values of the finite elements.
        squares: The sum of their squares.
        zeros: The number of elements that are zero.
        finite: The number of elements that are finite.
        nonfinite: The number of elements that are NaN or infinite.
    """

    absolute: np.ndarray
    squares: np.ndarray
    zeros: np.ndarray
    finite: np.ndarray
    nonfinite: np.ndarray


def mean_abs(x: Sums) -> np.ndarray:
    """Mean of the absolute values, in the tensor's unit, at least 0."""
    return x.absolute / x.finite


def norm(x: Sums) -> np.ndarray:
    """L2 norm, the square root of the sum of squares, in the tensor's unit, at least 0."""
    return np.sqrt(x.squares)


def zero_fraction(x: Sums) -> np.ndarray:
    """Fraction of the finite elements that are zero, in [0, 1].

    TensorFlow's kernels take what is smaller than the smallest normal float32 (1.2e-38) for zero, so does this.
    """
    return x.zeros / x.finite


def nonfinite(x: Sums) -> np.ndarray:
    """Number of elements that are NaN or infinite."""
    return x.nonfinite


STATISTICS = {
    "gradient_mean_abs": mean_abs,
    "gradient_norm": norm,
    "gradient_zero_fraction": zero_fraction,
    "gradient_nonfinite": nonfinite,
}


def sums(totals: np.ndarray, counts: np.ndarray, sizes: np.ndarray) -> Sums:
    """Returns the `Sums` of V tensors.

    Args:
        totals: Their totals, float64 [V, 2], as `gradlog.totals` computes them in the graph.
        counts: Their bucket counts, an integer array [V, `buckets.NUM_BUCKETS`].
        sizes: Their numbers of elements, an array [V].
    """
    zeros, nonfinite = buckets.num_zeros(counts), buckets.num_nonfinite(counts)
    return Sums(totals[:, 0], totals[:, 1], zeros, sizes - nonfinite, nonfinite)


def table(x: Sums, statistics: dict[str, Callable] = STATISTICS) -> np.ndarray:
    """Computes every statistic of every tensor.

    Args:
        x: `Sums` of V tensors.
        statistics: Dictionary of S functions of `Sums`. Defaults to `STATISTICS`.

    Returns:
        Float32 array [V, S], columns in the dictionary's order.

    Example:
    >>> two = Sums(*np.array([[4.0, 0.0], [10.0, 0.0], [0.0, 0.0], [2.0, 0.0], [1.0, 3.0]]))
    >>> table(two, {"mean_abs": mean_abs, "nonfinite": nonfinite}).tolist()
    [[2.0, 1.0], [nan, 3.0]]
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.stack([function(x) for function in statistics.values()], 1).astype(np.float32)


def joint_norm(squares: np.ndarray) -> float:
    """Returns the L2 norm of several vectors as one, from the sum of squares of each; Pascanu et al., 2013."""
    return float(np.sqrt(np.sum(squares)))
