"""Whole tensors: the sums and the counts of gradients and weights that came to the host as they are.

To reduce a small tensor in the graph costs the start of each operation, many times what reading it costs. So those of
a small network are laid end to end there, and reduced here, in a thread of gradlog's.
"""

import numpy as np

from gradlog.stats import buckets
from gradlog.stats.snapshots import StepLayout

LARGEST = 1 << 16  # elements of a network's variables, so that they still come whole
# Between these the squares of float32 neither overflow nor lose what matters to underflow.
_SMALLEST_SQUARE, _LARGEST_SQUARE = 1e-24, 1e36
_SMALLEST_NORMAL = np.finfo(np.float32).tiny


def reduced(layout: StepLayout, arrays: dict[str, np.ndarray], has_histograms: bool = True) -> dict[str, np.ndarray]:
    """Returns the arrays of K steps as `gradlog.stats.snapshots.snapshots` takes them.

    Args:
        layout: `StepLayout` of V variables.
        arrays: Dictionary of what `snapshots` takes, but for `totals`, `weights`, `counts`, `moved` and `loss_totals`.
            In place of these there are float32 arrays of variables laid end to end: `gradient` [K, N], of those that
            have one, `before` [K, M], the weights before the update, `after` [K, M], those after it, unless the update
            is not looked at, and `loss_gradient` [K, L], the gradients of regularized variables without their
            penalties', where there are such.
        has_histograms: Boolean, whether to count for histograms; else zeros and what is not finite are counted.

    Example:
    >>> layout = StepLayout(("a", "b"), np.array([2, 1]), np.array([True, False]))
    >>> step = {"gradient": np.float32([[3, -1]]), "before": np.float32([[2, 0, 1]]), "after": np.float32([[2, 1, 1]])}
    >>> arrays = reduced(layout, step, has_histograms=False)
    >>> arrays["totals"].tolist(), arrays["weights"].tolist(), arrays["moved"].tolist()
    ([[[4.0, 10.0], [0.0, 0.0]]], [[[4.0], [1.0]]], [[1.0, 0.0]])
    """
    sizes, of_gradients = layout.sizes, np.where(layout.has_gradient, layout.sizes, 0)
    gradient, before, found = arrays["gradient"], arrays["before"], {}
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        if has_histograms:
            found["counts"] = _counts((gradient, of_gradients), (before, sizes))
        else:
            found["zeros"] = _sums(_is_zero, of_gradients, gradient)
            found["nonfinite"] = _sums(_is_nonfinite, of_gradients, gradient)
        found["totals"] = np.stack(_totals((np.abs, np.square), of_gradients, gradient), -1)
        found["weights"] = np.stack(_totals((np.square,), sizes, before), -1)
        if "after" in arrays:
            (found["moved"],) = _totals((_square_distance,), sizes, arrays["after"], before)
        if layout.regularized:
            of_regularized = sizes[list(layout.regularized)]
            found["loss_totals"] = np.stack(_totals((np.abs, np.square), of_regularized, arrays["loss_gradient"]), -1)
    return arrays | found


def _is_zero(values):
    return np.abs(values) < _SMALLEST_NORMAL


def _is_nonfinite(values):
    return ~np.isfinite(values)


def _square_distance(values, others):
    return np.square(values - others)


def _totals(functions, sizes, *flats):
    """Returns for each function the sums [K, V] of what it makes of the finite elements; the last one squares.

    They are taken in float32, which is quick, and in float64 where the squares would leave its range, or may have.
    """
    quick = [_sums(function, sizes, *flats) for function in functions]
    if np.all((quick[-1] > _SMALLEST_SQUARE) & (quick[-1] < _LARGEST_SQUARE) | (sizes == 0)):
        return quick
    finite = [np.where(np.isfinite(flat), flat, 0).astype(np.float64) for flat in flats]
    return [_sums(function, sizes, *finite) for function in functions]


def _sums(function, sizes, *flats):
    """Returns the sums [K, V], float64, of what a function makes of V variables that are laid end to end, [K, N]."""
    found, filled = np.zeros((len(flats[0]), len(sizes))), np.flatnonzero(sizes)
    if len(filled):
        starts = (np.cumsum(sizes) - sizes)[filled]
        found[:, filled] = np.add.reduceat(function(*flats), starts, axis=1, dtype=np.float64)
    return found


def _counts(*parts):
    """Returns the bucket counts, int32 [K, V, B], of parts: (values [K, N], sizes), variables laid end to end."""
    number, index = sum(len(sizes) for _, sizes in parts), 0
    counts = np.empty((len(parts[0][0]), number, buckets.NUM_BUCKETS), np.int32)
    for values, sizes in parts:
        places = values.view(np.uint32) >> np.uint32(buckets.SHIFT)
        for end, size in zip(np.cumsum(sizes).tolist(), sizes.tolist(), strict=True):
            for row, of_step in zip(places[:, end - size : end], counts[:, index], strict=True):
                of_step[:] = np.bincount(row, minlength=buckets.NUM_BUCKETS)
            index += 1
    return counts
