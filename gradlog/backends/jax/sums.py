"""Sums over the finite elements of tensors, in float32, from which the host makes float64.

JAX computes in float32 unless float64 is enabled. A large tensor is summed as it is. Only where something in it is not
finite, or its squares leave float32's range, it is summed again: without what is not finite, and divided by the power
of two below its largest element, by which the host multiplies again.

On a CPU, XLA vectorizes a sum of products, but none with a comparison, which takes eight times as long. A `lax.cond` of
several tensors would copy them; one of a single tensor does not.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Between these norms the squares of float32 neither overflow nor lose what matters to underflow.
_SMALLEST_NORM, _LARGEST_NORM = 1e-12, 1e18
_SMALLEST, _LARGEST = 2.0**-126, 2.0**126  # powers of two that are normal float32, and so is what 1 is divided by them
_LARGE = 1 << 14  # elements from which on a tensor is first summed as it is
_EXACT = 1 << 24  # ones that float32 adds up exactly
_COUNTS = ("nonfinite", "zeros")
_POWERS = {"absolute": 1, "squares": 2}
_SCALED = ("totals", "weights", "moved", "others", "clipped", "loss_totals")  # arrays of a step that are such sums


def totals(tensors: Sequence[jax.Array], terms: Sequence[str] = tuple(_POWERS)) -> dict[str, jax.Array]:
    """Sums the absolute values and the squares of each tensor's finite elements.

    Args:
        tensors: List of V float arrays of any shapes and dtypes.
        terms: T of `"absolute"` and `"squares"`, the latter last. Defaults to both.

    Returns:
        Dictionary of the sums by term, float32 [V], of what was divided by `scale`, float32 [V]; `in_float64` makes
        numbers of them.

    Example:
    >>> sums = totals([jnp.array([1.0, -3.0, float("nan")]), jnp.zeros([0])])
    >>> in_float64({"totals": sums})["totals"].tolist()
    [[4.0, 10.0], [0.0, 0.0]]
    """
    return _stacked([_sums(_wide, (tensor,), tuple(terms)) for tensor in tensors])


def counted_totals(tensors: Sequence[jax.Array]) -> dict[str, Any]:
    """Returns `totals` of V arrays and, as float32 `zeros` [V] and `nonfinite` [V], how many elements are such."""
    sums = totals(tensors, (*_COUNTS, *_POWERS))
    return {count: sums.pop(count) for count in _COUNTS} | {"totals": sums}


def end_to_end(tensors: Sequence[jax.Array]) -> jax.Array:
    """Returns the elements of V arrays one after the other, float32 [N]."""
    return jnp.concatenate([one.astype(jnp.float32).reshape(-1) for one in tensors])


def square_distances(tensors: Sequence[jax.Array], others: Sequence[jax.Array]) -> dict[str, jax.Array]:
    """Returns the squared L2 distances [V] between V arrays and as many others of the same shapes, as `totals` does."""
    return _stacked([_sums(_difference, pair, ("squares",)) for pair in zip(tensors, others, strict=True)])


def element_sums(function: Callable, *lists: Sequence[jax.Array]) -> jax.Array:
    """Returns the sums, float32 [V, K], of what a function returns of each element.

    Args:
        function: Function of arrays of one shape, one of each list, to a tuple of K arrays of that shape, of numbers or
            of booleans, which are counted as integers.
        *lists: Lists of V arrays; those at one place have one shape.

    Example:
    >>> element_sums(lambda x, y: (x * y, x > y), [jnp.array([1.0, 3.0])], [jnp.array([2.0, 2.0])]).tolist()
    [[8.0, 1.0]]
    """
    rows = [function(*tensors) for tensors in zip(*lists, strict=True)]
    return jnp.stack([jnp.stack([_sum(one) for one in row]) for row in rows])


def in_float64(arrays: dict) -> dict[str, np.ndarray]:
    """Returns the arrays of a step, with sums as they are without a scale: float64 [V, T] of `totals`, of V variables.

    Of distances they are [V], and `others` and `clipped` are the sum over all tensors, as `snapshot` takes them.
    """
    found = {name: _unscaled(array) if name in _SCALED else np.asarray(array) for name, array in arrays.items()}
    found |= {name: found[name][:, 0] for name in ("moved",) if name in found}
    return found | {name: found[name].sum() for name in ("others", "clipped") if name in found}


def _unscaled(sums):
    scale = np.asarray(sums["scale"], np.float64)
    terms = [term for term in _POWERS if term in sums]
    return np.stack([np.asarray(sums[term], np.float64) * scale ** _POWERS[term] for term in terms], 1)


def _stacked(sums):
    return {name: jnp.stack([one[name] for one in sums]) for name in sums[0]}


def _sums(function, tensors, terms):
    """Returns the sums, and the scale, of a function of one or two tensors.

    The careful sums call the function again, since storing its result would take longer than summing it.
    """
    tensors = jax.lax.optimization_barrier(tensors)  # else XLA stores the squares that Adam computes, to sum them up
    values = function(*tensors)
    if values.size < _LARGE:
        return _careful(values, terms)
    quick = {term: _QUICK[term](values) for term in terms} | {"scale": jnp.float32(1)}
    return jax.lax.cond(
        _is_ordinary(quick), lambda *_: quick, lambda *tensors: _careful(function(*tensors), terms), *tensors
    )


def _careful(tensor, terms):
    """Returns the sums of finite elements, divided by a power of two."""
    is_finite = jnp.isfinite(tensor)
    finite = jnp.where(is_finite, tensor, 0)
    scale = _power_of_two(jnp.max(jnp.abs(finite), initial=0))
    scaled = finite * (1 / scale)
    numbers = {
        "nonfinite": ~is_finite,
        "zeros": jnp.abs(tensor) < _SMALLEST,
        "absolute": jnp.abs(scaled),
        "squares": jnp.square(scaled),
    }
    return {term: _sum(numbers[term]) for term in terms} | {"scale": scale}


def _num_zeros(tensor):
    """Counts the elements below the smallest normal float32; all are finite.

    The count is exact, except for tensors that have more than 2^24 elements in a row.
    """
    ones = _is_nonzero(tensor)
    rows = ones.reshape(len(ones), -1) if tensor.ndim > 1 and tensor.size > _EXACT else ones.reshape(1, -1)
    return (tensor.size - jnp.sum(jnp.sum(rows, 1).astype(jnp.int32))).astype(jnp.float32)


def _is_nonzero(tensor):
    """Returns 1 where an element is at least as large as the smallest normal float32, else 0.

    On a CPU, XLA treats smaller numbers as zero, so the sign tells.
    """

    def compared(tensor):
        return (jnp.abs(tensor) >= _SMALLEST).astype(jnp.float32)

    if tensor.dtype == jnp.float64:
        return compared(tensor)
    return jax.lax.platform_dependent(tensor, cpu=lambda tensor: jnp.abs(jnp.sign(tensor)), default=compared)


def _power_of_two(number):
    """Returns the power of two below a number, float32; so nothing is rounded where it divides."""
    number = jnp.clip(number, _SMALLEST, _LARGEST).astype(jnp.float32)
    exponent = jax.lax.bitcast_convert_type(number, jnp.uint32) & jnp.uint32(0x7F800000)
    return jax.lax.bitcast_convert_type(exponent, jnp.float32)


def _wide(tensor):
    return tensor if tensor.dtype == jnp.float64 else tensor.astype(jnp.float32)


def _difference(tensor, other):
    return _wide(tensor) - _wide(other)


def _sum(values):
    return jnp.sum(values).astype(jnp.float32)


def _is_ordinary(quick):
    """Whether float32 is enough; false where anything is not finite, since then the squares are not.

    Squares that are nothing may have been too small; the absolute values, where they are summed, tell.
    """
    squares = quick["squares"]
    is_in_range = (squares > _SMALLEST_NORM**2) & (squares < _LARGEST_NORM**2)
    if "absolute" in quick:
        is_in_range |= (squares == 0) & (quick["absolute"] == 0)
    return is_in_range


_QUICK = {  # of finite elements whose squares are within float32's range
    "nonfinite": lambda tensor: jnp.float32(0),
    "zeros": _num_zeros,
    "absolute": lambda tensor: _sum(jnp.abs(tensor)),
    "squares": lambda tensor: _sum(jnp.square(tensor)),
}
