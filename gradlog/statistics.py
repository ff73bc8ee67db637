"""Statistics: numbers that summarize one tensor, computed in the graph, over its finite elements.

Each is a pure function of `Elements`, and `STATISTICS` is their ordered table; `table` computes all of them for
many tensors. NaN and infinities never poison a statistic: they are left out, and counted by `nonfinite`. Where
nothing finite is left to average, an average is NaN.

Gradients by layer as a sign of what ails a deep network: Glorot and Bengio, "Understanding the difficulty of training
deep feedforward neural networks", 2010, section 4.2. Their joint norm: Pascanu, Mikolov and Bengio, "On the difficulty
of training recurrent neural networks", 2013, section 3.2.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from gradlog.grouping import by_size

# Between these norms the squares of float32 neither overflow nor lose what matters to underflow.
_SMALLEST_NORM, _LARGEST_NORM = 1e-12, 1e18


class Elements(NamedTuple):
    """The elements of G tensors of one size, ready to be summed.

    Attributes:
        values: Float tensor [G, n]; 0 stands where an element is not finite.
        finite: Boolean tensor [G, n], or `None` where all elements are finite.
        zeros: Float tensor [G], the number of zeros that the tensors have beside `values`: rows of an embedding
            that a batch does not touch. (It is negative where `values` holds more zeros than the tensor.)
        count: Float tensor [G], the number of finite elements.
    """

    values: tf.Tensor
    finite: tf.Tensor | None
    zeros: tf.Tensor
    count: tf.Tensor

    def mean(self, values: tf.Tensor, of_zero: float | tf.Tensor = 0.0) -> tf.Tensor:
        """Returns the means [G] of `values` [G, n] over the finite elements; NaN where there are none.

        `of_zero`, a number or [G], stands for each of the zeros that `values` does not hold.
        """
        if self.finite is not None:
            values = tf.where(self.finite, values, 0)
        return (tf.reduce_sum(values, 1) + self.zeros * of_zero) / self.count


def elements(rows: tf.Tensor, zeros: tf.Tensor) -> Elements:
    """Returns the `Elements` of any float tensor [G, n]: in float64, and without what is not finite."""
    values, zeros = tf.cast(rows, tf.float64), tf.cast(zeros, tf.float64)
    finite = tf.math.is_finite(values)
    count = tf.reduce_sum(tf.cast(finite, tf.float64), 1) + zeros
    return Elements(tf.where(finite, values, 0), finite, zeros, count)


def _finite_elements(rows, zeros):
    """Returns the `Elements` of a tensor [G, n] that is taken to be finite and of ordinary size: in float32."""
    values, zeros = tf.cast(rows, tf.float32), tf.cast(zeros, tf.float32)
    return Elements(values, None, zeros, tf.cast(tf.shape(values)[1], tf.float32) + zeros)


def mean_abs(x: Elements) -> tf.Tensor:
    """Mean of the absolute values, in the tensor's unit, at least 0."""
    return x.mean(tf.abs(x.values))


def norm(x: Elements) -> tf.Tensor:
    """L2 norm, the square root of the sum of squares, in the tensor's unit, at least 0."""
    return tf.sqrt(tf.reduce_sum(tf.square(x.values), 1))


def max_abs(x: Elements) -> tf.Tensor:
    """Largest absolute value, in the tensor's unit, at least 0."""
    return tf.maximum(tf.reduce_max(tf.abs(x.values), 1), 0)  # an empty tensor's maximum is -inf


def mean(x: Elements) -> tf.Tensor:
    """Mean, in the tensor's unit."""
    return x.mean(x.values)


def standard_deviation(x: Elements) -> tf.Tensor:
    """Standard deviation (the population's, divided by n), in the tensor's unit, at least 0."""
    center = mean(x)
    return tf.sqrt(x.mean(tf.square(x.values - center[:, None]), of_zero=tf.square(center)))


def zero_fraction(x: Elements) -> tf.Tensor:
    """Fraction of the elements that are zero, in [0, 1].

    TensorFlow's kernels take what is smaller than the smallest normal float32 (1.2e-38) for zero, so does this.
    """
    return x.mean(tf.cast(tf.abs(x.values) < 2.0**-126, x.values.dtype), of_zero=1.0)


def nonfinite(x: Elements) -> tf.Tensor:
    """Number of elements that are NaN or infinite."""
    return tf.cast(tf.shape(x.values)[1], x.count.dtype) + x.zeros - x.count


STATISTICS = {
    "gradient_mean_abs": mean_abs,
    "gradient_norm": norm,
    "gradient_max_abs": max_abs,
    "gradient_mean": mean,
    "gradient_std": standard_deviation,
    "gradient_zero_fraction": zero_fraction,
    "gradient_nonfinite": nonfinite,
}


def table(
    tensors: Sequence[tf.Tensor], statistics: dict[str, Callable] = STATISTICS, zeros: Sequence[int] | None = None
) -> tf.Tensor:
    """Computes every statistic of every tensor.

    Sums are taken in float32, which is cheap; only where a tensor has something that is not finite, or is so
    small or large that its squares would leave float32's range, all are taken again in float64.

    Args:
        tensors: List of V float tensors of any shapes and dtypes.
        statistics: Dictionary of S functions of `Elements`. Defaults to `STATISTICS`.
        zeros: List of V numbers of zeros that each tensor has beside those given. Defaults to none.

    Returns:
        Float32 tensor [V, S], columns in the dictionary's order.

    Example:
    >>> columns = {"mean_abs": mean_abs, "nonfinite": nonfinite}
    >>> table([tf.constant([1.0, -3.0, float("nan")])], columns).numpy().tolist()
    [[2.0, 1.0]]
    """
    functions = tuple(statistics.values())
    zeros = [tf.cast(number, tf.float64) for number in zeros or [0] * len(tensors)]
    rows, ordinary = by_size(_quick_rows(functions), tensors, zeros)
    return tf.cond(tf.reduce_all(ordinary), lambda: rows, lambda: _careful_table(functions)(tensors, zeros))


@functools.cache
def _quick_rows(functions):
    """Returns a function of a tensor [G, n]: its statistics [G, S], and whether float32 was enough for them [G].

    One function serves tensors of every size: a model of many layers is traced as fast as one of few.
    """
    signature = [tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([None], tf.float64)]

    @tf.function(input_signature=signature, autograph=False)
    def quick_rows(values, zeros):
        x = _finite_elements(values, zeros)
        return _columns(functions, x), _is_ordinary(x)

    return lambda rows, zeros: quick_rows(tf.cast(rows, tf.float32), zeros)


@functools.cache
def _careful_table(functions):
    """Returns a function of tensors with any values: their statistics [V, S].

    It is hardly ever called, so it stays one operation in the graph instead of many that have to be skipped.
    """

    @tf.function(autograph=False, experimental_attributes={"_noinline": True})
    def careful_table(tensors, zeros):
        return by_size(lambda rows, zeros: _columns(functions, elements(rows, zeros)), tensors, zeros)

    return careful_table


def _columns(functions, x):
    return tf.stack([tf.cast(function(x), tf.float32) for function in functions], 1)


def _is_ordinary(x):
    """Whether float32 is enough; false where anything is not finite, since then the norm is not."""
    size = norm(x)
    return tf.logical_or(
        tf.logical_and(size > _SMALLEST_NORM, size < _LARGEST_NORM),
        tf.logical_and(tf.equal(size, 0), tf.equal(max_abs(x), 0)),
    )
