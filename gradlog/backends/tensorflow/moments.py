"""Totals: sums over the finite elements of many tensors, the one pass that all statistics are made of."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gradlog.backends.tensorflow.grouping import grouped, in_blocks, split

# Between these norms the squares of float32 neither overflow nor lose what matters to underflow.
_SMALLEST_NORM, _LARGEST_NORM = 1e-12, 1e18
_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


# XLA adds one number after the other: of more than so many, float32 would lose the last ones.
_LARGEST_SUM = 1 << 19


class Term(NamedTuple):
    """What is summed of each element.

    Attributes:
        of_element: Function of a tensor of finite numbers, element by element.
        sum: The cheapest way to its sum over a float32 tensor of finite numbers.
    """

    of_element: Callable
    sum: Callable


TERMS = {
    "absolute": Term(tf.abs, lambda values: tf.reduce_sum(tf.abs(values))),
    "zeros": Term(
        lambda values: 1 - tf.abs(tf.sign(values)),
        lambda values: tf.cast(tf.size(values), values.dtype) - 2 * tf.nn.l2_loss(tf.sign(values)),
    ),
    "nonfinite": Term(tf.zeros_like, lambda values: tf.zeros([], values.dtype)),
    "squares": Term(tf.square, lambda values: 2 * tf.nn.l2_loss(values)),
}


def totals(tensors: Sequence[tf.Tensor], terms: Sequence[str] = ("absolute", "squares")) -> tf.Tensor:
    """Sums the absolute values and the squares of each tensor's finite elements.

    They are summed in float32, which is cheap; only where a tensor has something that is not finite, or is so small or
    large that its squares would leave float32's range, are all summed again in float64.

    Args:
        tensors: List of V float tensors of any shapes and dtypes.
        terms: T names of `TERMS`, with `"squares"` the last. Of `"zeros"` and `"nonfinite"`, numbers of elements are
            returned; a CPU takes for zero what is smaller than the smallest normal float32. Defaults to
            `("absolute", "squares")`.

    Returns:
        Float64 tensor [V, T].

    Example:
    >>> totals([tf.constant([1.0, -3.0, float("nan")]), tf.zeros([0])]).numpy().tolist()
    [[4.0, 10.0], [0.0, 0.0]]
    """
    terms = tuple(terms)
    return grouped(functools.partial(_of_rows, terms), functools.partial(_one_by_one, terms), tensors)


def counted_totals(tensors: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns `totals` of V tensors and, as float64 `zeros` [V] and `nonfinite` [V], how many elements are such.

    On a GPU, a number smaller than the smallest normal float32 counts as zero only where float64 sums are needed.
    """
    absolute, zeros, nonfinite, squares = tf.unstack(totals(tensors, tuple(TERMS)), axis=1)
    return {"totals": tf.stack([absolute, squares], 1), "zeros": zeros, "nonfinite": nonfinite}


def _of_rows(terms, rows, flat):
    def sums(values):
        return tf.transpose(tf.concat([tf.reduce_sum(piece, -1) for piece in split(tf.stack(values), rows)], -1))

    quick = tf.cast(sums([TERMS[term].of_element(flat) for term in terms]), tf.float64)
    return _checked(quick, lambda flat: sums(_finite(terms, flat)), flat)


def _one_by_one(terms, tensors):
    def careful(tensors):
        return tf.stack([in_blocks(lambda block: _sums(_finite(terms, block)), tensor) for tensor in tensors])

    if any(tensor.dtype == tf.float64 for tensor in tensors):
        return careful(tensors)
    quick = tf.stack([in_blocks(functools.partial(_quick_sums, terms), tensor) for tensor in tensors])
    return _checked(quick, careful, tensors)


def _quick_sums(terms, flat):
    if flat.shape[0] is None:  # rows of an embedding, as many as a batch touches: they cannot be cut into pieces
        values = tf.cast(flat, tf.float64)
        return _sums([TERMS[term].of_element(values) for term in terms])
    values = tf.cast(flat, tf.float32)
    pieces = [values[start : start + _LARGEST_SUM] for start in range(0, max(flat.shape[0], 1), _LARGEST_SUM)]
    return tf.add_n([tf.cast(tf.stack([TERMS[term].sum(piece) for term in terms]), tf.float64) for piece in pieces])


def _finite(terms, values):
    is_finite = tf.math.is_finite(values)
    finite = tf.cast(tf.where(is_finite, values, 0), tf.float64)
    numbers = {"zeros": tf.logical_and(is_finite, tf.abs(finite) < _SMALLEST_NORMAL), "nonfinite": ~is_finite}
    return [tf.cast(numbers[term], tf.float64) if term in numbers else TERMS[term].of_element(finite) for term in terms]


def _sums(values):
    return tf.stack([tf.reduce_sum(value) for value in values])


def _checked(quick, careful, tensors):
    """Returns the totals [V, T] in float32 where that was enough, else those that `careful` takes of the tensors.

    That is hardly ever called, so it stays one operation in the graph instead of many that have to be skipped.
    """
    if tf.executing_eagerly():
        return quick if _is_ordinary(quick) else careful(tensors)
    careful = tf.function(careful, autograph=False, experimental_attributes={"_noinline": True})
    return tf.cond(_is_ordinary(quick), lambda: quick, lambda: careful(tensors))


def _is_ordinary(quick):
    """Whether float32 is enough; false where anything is not finite, since then the squares are not.

    Squares that are nothing may have been too small; the absolute values, the first where there are any, tell.
    """
    squares = quick[:, -1]
    is_in_range = tf.logical_and(squares > _SMALLEST_NORM**2, squares < _LARGEST_NORM**2)
    if quick.shape[1] == 1:
        return tf.reduce_all(is_in_range)
    return tf.reduce_all(tf.logical_or(is_in_range, tf.logical_and(tf.equal(squares, 0), tf.equal(quick[:, 0], 0))))


def square_distances(tensors: Sequence[tf.Tensor], others: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the squared L2 distances, float64 [V], between V tensors and as many others of the same shapes."""

    def of_small(rows, flat, other):
        return _of_rows(["squares"], rows, flat - other)

    def of_large(flats, others):
        return _one_by_one(("squares",), [flat - other for flat, other in zip(flats, others, strict=True)])

    return grouped(of_small, of_large, tensors, others)[:, 0]


def element_sums(function: Callable, *lists: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the sums, float64 [V, K], of what a function returns of each element.

    Args:
        function: Function of tensors of one shape, one of each list, to a tuple of K tensors of that shape, of numbers
            or of booleans.
        *lists: Lists of V tensors; those at one place have one shape.

    Example:
    >>> element_sums(lambda x, y: (x * y, x > y), [tf.constant([1.0, 3.0])], [tf.constant([2.0, 2.0])]).numpy().tolist()
    [[8.0, 1.0]]
    """

    def of_small(rows, *flats):
        values = tf.stack([tf.cast(one, tf.float32) for one in function(*flats)])
        sums = tf.concat([tf.reduce_sum(piece, -1) for piece in split(values, rows)], -1)
        return tf.cast(tf.transpose(sums), tf.float64)

    def of_block(*flats):
        return tf.stack([_sum_in_pieces(one) for one in function(*flats)])

    def of_large(*flats):
        return tf.stack([in_blocks(of_block, *of_one) for of_one in zip(*flats, strict=True)])

    return grouped(of_small, of_large, *lists)


def _sum_in_pieces(flat):
    """Returns the sum of a block in float64, without making all of it float64."""
    flat = flat if flat.dtype == tf.float64 else tf.cast(flat, tf.float32)
    pieces = [flat[start : start + _LARGEST_SUM] for start in range(0, max(flat.shape[0], 1), _LARGEST_SUM)]
    return tf.add_n([tf.cast(tf.reduce_sum(piece), tf.float64) for piece in pieces])
