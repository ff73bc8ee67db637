"""Data: what the tab draws, as dictionaries that JSON can hold; no HTTP."""

import math

import numpy as np
from tensorboard import errors

from gradlog.diagnosis.diagnose import diagnose
from gradlog.history import names
from gradlog.history.history import History, Series
from gradlog.tensorboard import metadata
from gradlog.tensorboard.sampling import MOST_CELLS, sampled

_DIGITS = 6
_LEAST, _MOST = -150, 128  # octaves: float32 reaches from 2**-149 to 2**128


def table(history: History, statistic: str, most: int) -> dict:
    """Returns one statistic of a run, layer by step.

    Args:
        history: `History` of the run.
        statistic: A key of `metadata.STATISTICS`.
        most: Integer, how many steps are wanted at most; fewer come where there are many variables.

    Returns:
        A dictionary of `variables` (V names, from input to output), `steps` [T], `values` [T, V] with `None` where
        there is no finite number, `nonfinite`, a list of (index of step, index of variable, number of elements of the
        gradient that are NaN or infinite; 0 where the statistic itself is), and `num_steps`, of how many steps these
        are chosen.

    Raises:
        InvalidArgumentError: there is no such statistic.
    """
    variables, steps, values, counts, is_marked = _cells(history, statistic)
    chosen = sampled(values, is_marked, max(1, min(most, MOST_CELLS // max(len(variables), 1))))
    marks = [
        [int(row), int(column), int(counts[chosen[row], column])] for row, column in np.argwhere(is_marked[chosen])
    ]
    return {
        "statistic": statistic,
        "variables": list(variables),
        "steps": steps[chosen].tolist(),
        "values": [[_number(value) for value in row] for row in values[chosen].tolist()],
        "nonfinite": marks,
        "num_steps": len(steps),
    }


def _cells(history, statistic):
    """Returns variables or layers, steps [T], and values, counts of non-finite elements, and marks, [T, V] each."""
    if statistic not in metadata.STATISTICS:
        known = ", ".join(metadata.STATISTICS)
        raise errors.InvalidArgumentError(
            f"There is no such statistic. Expected one of {known}. Received: {statistic!r}"
        )
    if statistic in names.LAYER_SCALARS:
        return _of_layers(history, f"{statistic}/")
    if statistic not in history.columns:
        nothing = np.zeros((len(history.steps), 0))
        return (), history.steps, nothing, nothing, nothing > 0
    values, counts = history.statistic(statistic).astype(np.float64), _nonfinite(history)
    is_marked = np.isinf(values) | (counts > 0)
    if not statistic.startswith("gradient"):
        # A NaN is a sign of illness where gradient or weights are not finite, else of something that was not measured.
        is_ill = (counts > 0) | _has_no_weight_norm(history)
        is_marked = np.isinf(values) | (np.isnan(values) & is_ill)
        counts = np.zeros(values.shape)
    return history.variables, history.steps, values, counts, is_marked


def _nonfinite(history):
    if names.NONFINITE not in history.columns:
        return np.zeros(history.statistics.shape[:2])
    return np.nan_to_num(history.statistic(names.NONFINITE))


def _has_no_weight_norm(history):
    """Returns where a variable was logged, but its weights have no norm that is a number, boolean [T, V]."""
    if "weight_norm" not in history.columns:
        return np.zeros(history.statistics.shape[:2], bool)
    return np.isnan(history.statistic("weight_norm")) & ~np.isnan(history.statistics).all(axis=2)


def _of_layers(history, prefix):
    series = {tag.removeprefix(prefix): each for tag, each in history.scalars.items() if tag.startswith(prefix)}
    series = {layer: series[layer] for layer in _in_order(series, history.variables)}
    steps = np.array(sorted({int(step) for each in series.values() for step in each.steps}), np.int64)
    values = np.full((len(steps), len(series)), np.nan)
    for column, each in enumerate(series.values()):
        values[np.searchsorted(steps, each.steps), column] = each.values
    return tuple(series), steps, values, np.zeros(values.shape), np.isinf(values)


def _in_order(layers, variables):
    """Returns layers in the order of their variables; one that has none comes after the one before it by name."""
    places, after = {}, -1
    for layer in layers:
        after = next((place for place, name in enumerate(variables) if name.startswith(f"{layer}/")), after)
        places[layer] = after
    return sorted(layers, key=places.get)


def histograms(series: Series, most: int) -> dict:
    """Returns a histogram over the steps by magnitude, positive and negative together.

    Args:
        series: `Series` of rows [k, 3], as `gradlog.buckets` has them: none but the one around zero has two signs.
        most: Integer, how many steps are wanted at most; they are evenly chosen, with the first and the last.

    Returns:
        A dictionary of `steps` [T], `first`, the exponent e of the first octave [2**e, 2**(e+1)), `counts` [T, k], the
        numbers of elements in this octave and those that follow, `zeros` [T], and `num_steps`.
    """
    number = len(series.steps)
    chosen = (
        np.unique(np.linspace(0, number - 1, min(most, number)).round().astype(int)) if number else np.zeros(0, int)
    )
    rows = [series.values[index] for index in chosen]
    counts, zeros = zip(*map(_octaves, rows), strict=True) if rows else ((), ())
    counts = np.array(counts).reshape(-1, _MOST - _LEAST)
    filled = np.flatnonzero(counts.any(0))
    first, end = (filled[0], filled[-1] + 1) if len(filled) else (0, 0)
    return {
        "steps": series.steps[chosen].tolist(),
        "first": int(first) + _LEAST,
        "counts": counts[:, first:end].astype(np.int64).tolist(),
        "zeros": [int(zero) for zero in zeros],
        "num_steps": number,
    }


def _octaves(rows):
    """Returns how many elements are in each octave, and how many are zero."""
    magnitudes = np.abs(rows[:, :2])
    near, far = magnitudes.min(1), magnitudes.max(1)
    is_zero = (near == 0) | (rows[:, 0] * rows[:, 1] < 0)
    middle = np.sqrt(np.where(is_zero, 1, near) * np.where(is_zero, 1, far))
    octave = np.clip(np.floor(np.log2(middle)).astype(int), _LEAST, _MOST - 1) - _LEAST
    counts = np.bincount(octave[~is_zero], rows[~is_zero, 2], _MOST - _LEAST)
    return counts, rows[is_zero, 2].sum()


def findings(history: History) -> list[dict]:
    """Returns what is wrong with a run, worst first: `Finding.to_dict` and its `steps` in words."""
    return [{**finding.to_dict(), "steps": finding.steps} for finding in diagnose(history)]


def _number(value):
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
