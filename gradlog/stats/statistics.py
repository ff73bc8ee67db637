"""Statistics: numbers that summarize one variable's gradient, its weights, or its update.

Each is a pure function of `Sums`, what one pass over the tensors leaves, and `STATISTICS` is their ordered table. NaN
and infinities never poison a statistic of the gradient: they are left out, and counted by `nonfinite`. Where nothing
finite is left to average, an average is NaN.

Gradients by layer as a symptom of problems: Glorot and Bengio, "Understanding the difficulty of training
deep feedforward neural networks", 2010, section 4.2. Their joint norm: Pascanu, Mikolov and Bengio, "On the difficulty
of training recurrent neural networks", 2013, section 3.2.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradlog.history import names
from gradlog.stats import buckets


class Sums(NamedTuple):
    """What one pass over the tensors of V variables leaves; float64 arrays [V].

    Attributes:
        absolute: The sum of the absolute values of the gradient's finite elements.
        squares: The sum of their squares.
        zeros: The number of elements of the gradient that are zero.
        finite: The number of its elements that are finite.
        nonfinite: The number of its elements that are NaN or infinite.
        weights: The sum of the squares of the weights before the update, or `None` where it was not taken.
        moved: The sum of the squares of what the update added to them, or `None`.
        loss_absolute: The sum of the absolute values of the gradient without that of the variable's penalty, NaN where
            it has none; `None` where no variable has one.
        loss_squares: The sum of their squares.
    """

    absolute: np.ndarray
    squares: np.ndarray
    zeros: np.ndarray
    finite: np.ndarray
    nonfinite: np.ndarray
    weights: np.ndarray | None = None
    moved: np.ndarray | None = None
    loss_absolute: np.ndarray | None = None
    loss_squares: np.ndarray | None = None


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


def weight_norm(x: Sums) -> np.ndarray | None:
    """L2 norm of the weights before the update, at least 0."""
    return None if x.weights is None else np.sqrt(x.weights)


def update_ratio(x: Sums) -> np.ndarray | None:
    """L2 norm of the update over that of the weights before it, at least 0; NaN where the weights are all zero."""
    if x.weights is None or x.moved is None:
        return None
    return np.sqrt(x.moved) / np.where(x.weights > 0, np.sqrt(x.weights), np.nan)


def loss_mean_abs(x: Sums) -> np.ndarray | None:
    """Mean of the absolute values of the loss's own gradient, where a regularizer adds to it; at least 0.

    It is the difference of two float32 tensors: what is smaller than 1e-7 of the penalty's gradient is noise.
    """
    return None if x.loss_absolute is None else x.loss_absolute / x.finite


def loss_norm(x: Sums) -> np.ndarray | None:
    """L2 norm of the loss's own gradient, where a regularizer adds to it; at least 0."""
    return None if x.loss_squares is None else np.sqrt(x.loss_squares)


STATISTICS = {
    names.MEAN_ABS: mean_abs,
    names.NORM: norm,
    names.ZERO_FRACTION: zero_fraction,
    names.NONFINITE: nonfinite,
    names.WEIGHT_NORM: weight_norm,
    names.UPDATE_RATIO: update_ratio,
    names.LOSS_MEAN_ABS: loss_mean_abs,
    names.LOSS_NORM: loss_norm,
}


def sums(totals: np.ndarray, counts: np.ndarray, sizes: np.ndarray) -> Sums:
    """Returns the `Sums` of V gradients.

    Args:
        totals: Their totals, float64 [V, 2]: the sums of the absolute values and of the squares.
        counts: Their bucket counts, an integer array [V, `buckets.NUM_BUCKETS`].
        sizes: Their numbers of elements, an array [V].
    """
    zeros, nonfinite = buckets.num_zeros(counts), buckets.num_nonfinite(counts)
    return Sums(totals[:, 0], totals[:, 1], zeros, sizes - nonfinite, nonfinite)


def table(x: Sums, statistics: dict[str, Callable] = STATISTICS) -> tuple[tuple[str, ...], np.ndarray]:
    """Computes every statistic of every variable.

    Args:
        x: `Sums` of V variables.
        statistics: Dictionary of functions of `Sums`, each of which returns an array [V], or `None` where it lacks what
            it is made of. Defaults to `STATISTICS`.

    Returns:
        A tuple of the S names of the statistics that could be computed, in the dictionary's order, and a float32 array
        [V, S].

    Example:
    >>> two = Sums(*np.array([[4.0, 0.0], [10.0, 0.0], [0.0, 0.0], [2.0, 0.0], [1.0, 3.0]]))
    >>> columns, numbers = table(two, {"mean_abs": mean_abs, "nonfinite": nonfinite, "update_ratio": update_ratio})
    >>> columns, numbers.tolist()
    (('mean_abs', 'nonfinite'), [[2.0, 1.0], [nan, 3.0]])
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        computed = {name: function(x) for name, function in statistics.items()}
        computed = {name: numbers for name, numbers in computed.items() if numbers is not None}
        return tuple(computed), np.stack(list(computed.values()), axis=1).astype(np.float32)


def joint_norm(squares: np.ndarray) -> float:
    """Returns the L2 norm of several vectors as one, from the sum of squares of each; Pascanu et al., 2013."""
    return float(np.sqrt(np.sum(squares)))
