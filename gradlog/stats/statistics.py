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


class Sums(NamedTuple):
    """What one pass over the tensors of V variables leaves; float64 arrays [V], or [K, V] of K steps.

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
        remembered_squares: The sum of the squares of the gradient's elements, each over the root of the optimizer's
            second moment; NaN ahead of the first update, and where there is none; `None` where no variable has one.
        remembered: The number of elements summed; of an embedding, those of rows that the batch touches, not for the
            first time.
        below_epsilon: The number of elements of the second moment beside which the optimizer's epsilon is the larger.
        unused: The number of an embedding's rows whose second moment is zero; `None` where none is an embedding.
        rows: The number of its rows.
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
    remembered_squares: np.ndarray | None = None
    remembered: np.ndarray | None = None
    below_epsilon: np.ndarray | None = None
    unused: np.ndarray | None = None
    rows: np.ndarray | None = None


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


def second_moment_ratio(x: Sums) -> np.ndarray | None:
    """Root mean square of the gradient over the root of the optimizer's second moment, at least 0 and about 1.

    It is RMS_t of StableAdamW (Wortsman et al., "Stable and low-precision training for large-scale vision-language
    models", 2023, section 3.4): sqrt(mean(g² / max(v, epsilon²))), with the gradient g as the optimizer uses it, after
    clipping. The second moment v is that before the update, with its bias corrected, so a gradient that is much larger
    than those before it shows; NaN at the first step. Under RMSprop, Adagrad and Adadelta, which add epsilon under the
    root, epsilon stands in place of its square. Adagrad's v is its sum over the number of updates, and Adamax' v is the
    square of its infinity norm. Of an embedding, it is the mean over the rows that this batch touches and an earlier
    one has touched. No element counts with more than 1e15; squares that float32 cannot hold (of a ratio below 1e-19)
    count as 0.
    """
    return None if x.remembered_squares is None else np.sqrt(x.remembered_squares / x.remembered)


def epsilon_fraction(x: Sums) -> np.ndarray | None:
    """Fraction of the elements for which epsilon is larger than what the optimizer adds it to, in [0, 1].

    The step that such an element makes is not scaled by its own gradients any more, but by epsilon. It is read after
    the update, as the second moment divides at this step: the root under Adam (there before the bias is corrected, as
    Keras has it), Nadam and Lamb, the infinity norm under Adamax, and the second moment itself under RMSprop, Adagrad
    and Adadelta, which add epsilon under the root. A second moment that float32 cannot hold (below 1e-38) is 0, so it
    is below epsilon; one that is NaN is not.
    """
    return None if x.below_epsilon is None else x.below_epsilon / (x.finite + x.nonfinite)


def unused_rows(x: Sums) -> np.ndarray | None:
    """Fraction of an embedding's rows whose second moment was zero in every element before the update, in [0, 1].

    No gradient had reached these rows, but for one below 1e-19, whose square float32 takes for zero; so it is 1 at the
    first step. Under Adagrad, it is the rows at its initial value.
    """
    return None if x.unused is None else x.unused / x.rows


STATISTICS = {
    names.MEAN_ABS: mean_abs,
    names.NORM: norm,
    names.ZERO_FRACTION: zero_fraction,
    names.NONFINITE: nonfinite,
    names.WEIGHT_NORM: weight_norm,
    names.UPDATE_RATIO: update_ratio,
    names.LOSS_MEAN_ABS: loss_mean_abs,
    names.LOSS_NORM: loss_norm,
    names.SECOND_MOMENT_RATIO: second_moment_ratio,
    names.EPSILON_FRACTION: epsilon_fraction,
    names.UNUSED_ROWS: unused_rows,
}


def sums(totals: np.ndarray, zeros: np.ndarray, nonfinite: np.ndarray, sizes: np.ndarray) -> Sums:
    """Returns the `Sums` of V gradients.

    Args:
        totals: Their totals, float64 [..., V, 2]: the sums of the absolute values and of the squares.
        zeros: Their numbers of elements that are zero, an array [..., V].
        nonfinite: Their numbers of elements that are not finite, an array [..., V].
        sizes: Their numbers of elements, an array [V].
    """
    return Sums(totals[..., 0], totals[..., 1], zeros, sizes - nonfinite, nonfinite)


def table(x: Sums, statistics: dict[str, Callable] = STATISTICS) -> tuple[tuple[str, ...], np.ndarray]:
    """Computes every statistic of every variable.

    Args:
        x: `Sums` of V variables.
        statistics: Dictionary of functions of `Sums`, each of which returns an array [V], or `None` where it lacks what
            it is made of. Defaults to `STATISTICS`.

    Returns:
        A tuple of the S names of the statistics that could be computed, in the dictionary's order, and a float32 array
        [V, S], or [K, V, S].

    Example:
    >>> two = Sums(*np.array([[4.0, 0.0], [10.0, 0.0], [0.0, 0.0], [2.0, 0.0], [1.0, 3.0]]))
    >>> columns, numbers = table(two, {"mean_abs": mean_abs, "nonfinite": nonfinite, "update_ratio": update_ratio})
    >>> columns, numbers.tolist()
    (('mean_abs', 'nonfinite'), [[2.0, 1.0], [nan, 3.0]])
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        computed = {name: function(x) for name, function in statistics.items()}
        computed = {name: numbers for name, numbers in computed.items() if numbers is not None}
        return tuple(computed), np.stack(list(computed.values()), axis=-1).astype(np.float32)
