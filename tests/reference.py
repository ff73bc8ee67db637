"""Slow, plain NumPy versions in float64 of what gradlog computes: the second road to every number."""

import numpy as np


def finite(values):
    values = np.asarray(values, np.float64).ravel()
    return values[np.isfinite(values)]


def _average(values):
    return float(np.mean(values)) if values.size else float("nan")


def statistics(values):
    """Every statistic of one array, by name, written without looking at gradlog's own."""
    kept = finite(values)
    subnormal = np.finfo(np.float32).tiny
    return {
        "gradient_mean_abs": _average(np.abs(kept)),
        "gradient_norm": float(np.sqrt(np.sum(kept * kept))),
        "gradient_zero_fraction": _average((np.abs(kept) < subnormal).astype(float)),
        "gradient_nonfinite": float(np.size(values) - kept.size),
    }


def loss_statistics(gradient, penalty):
    """Statistics of the gradient minus the penalty's gradient, by name; NaN if there is no penalty."""
    rest = finite(np.nan if penalty is None else np.asarray(gradient, np.float64) - penalty)
    length = float(np.sqrt(np.sum(rest * rest))) if rest.size else float("nan")
    return {"loss_gradient_mean_abs": _average(np.abs(rest)), "loss_gradient_norm": length}


def weight_statistics(before, after):
    """Every statistic of one variable's weights, by name: before and after an update."""
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    length = float(np.linalg.norm(before.ravel()))
    moved = float(np.linalg.norm((after - before).ravel()))
    return {"weight_norm": length, "update_ratio": moved / length if length else float("nan")}


def histogram_rows(values):
    """(left, right, count) of every bucket that is not empty, found number by number with `math.frexp`."""
    counts = {}
    for value in finite(values):
        row = bucket(float(value))
        counts[row] = counts.get(row, 0) + 1
    return [[left, right, count] for (left, right), count in sorted(counts.items())]


def num_elsewhere(rows, values, tolerance=1e-5):
    """Counts the elements that lie in another bucket than they should, but for as many as lie near an edge."""
    found = {(left, right): count for left, right, count in np.asarray(rows).tolist()}
    expected = {(left, right): count for left, right, count in histogram_rows(np.float32(values))}
    elsewhere = sum(abs(found.get(row, 0) - expected.get(row, 0)) for row in {*found, *expected}) / 2
    kept = finite(values)
    near = sum(bucket(one * (1 - tolerance)) != bucket(one * (1 + tolerance)) for one in kept.tolist())
    return max(elsewhere - near, abs(sum(found.values()) - kept.size))


def bucket(value):
    """The edges of the bucket that one number falls into: four to a factor of two."""
    magnitude = abs(value)
    if magnitude < 2.0**-126:
        width = 2.0**-128
        left = magnitude // width * width
    else:
        _, exponent = np.frexp(min(magnitude, float(np.finfo(np.float32).max)))
        width = 2.0 ** (int(exponent) - 3)
        left = min(magnitude, float(np.finfo(np.float32).max)) // width * width
    left, right = left, left + width
    if left == 0:
        return -right, right
    return (left, right) if value > 0 else (-right, -left)
