"""Data: what the tab draws, as dictionaries for JSON. HTTP is in `plugin`."""

import math

import numpy as np
from tensorboard import errors

from gradlog.diagnosis.diagnose import diagnose
from gradlog.diagnosis.finding import SEVERITIES, Finding
from gradlog.diagnosis.pages import codes
from gradlog.history import names
from gradlog.history.history import History, Series
from gradlog.history.tree import some
from gradlog.tensorboard import metadata
from gradlog.tensorboard import variables as variable_names
from gradlog.tensorboard.sampling import MAX_CELLS, sampled

_DIGITS = 6
_MIN_OCTAVE, _MAX_OCTAVE = -150, 128  # float32 ranges from 2**-149 to 2**128


def table(history: History, statistic: str, max_steps: int) -> dict:
    """Returns one statistic of a run, by step and variable.

    Args:
        history: `History` of the run.
        statistic: A key of `metadata.STATISTICS`.
        max_steps: Integer, how many steps to return at most; fewer are returned for many variables.

    Returns:
        A dictionary of `variables` (V names, from input to output), `steps` [T], `values` [T, V] with `None` for
        numbers that are not finite or missing, `nonfinite`, a list of (index of step, index of variable, number of NaN
        or infinite elements of the gradient; 0 if the statistic itself is not finite), `num_steps`, the number of
        logged steps, and `parts`, `short_names` and `tree` as the functions of `gradlog.tensorboard.variables` return
        them. Layers have no parts.

    Raises:
        InvalidArgumentError: If there is no such statistic.
    """
    variables, steps, values, counts, is_marked = _cells(history, statistic)
    chosen = sampled(values, is_marked, max(1, min(max_steps, MAX_CELLS // max(len(variables), 1))))
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
        "parts": {} if metadata.STATISTICS[statistic]["is_of_layers"] else variable_names.parts(variables),
        "short_names": variable_names.short_names(history.variables),
        "tree": variable_names.tree(history.variables, variables),
    }


def _cells(history, statistic):
    """Returns variables or layers, steps [T], and values, counts of non-finite elements and marks, [T, V] each."""
    if statistic not in metadata.STATISTICS:
        known = ", ".join(metadata.STATISTICS)
        raise errors.InvalidArgumentError(f"Unknown statistic. Expected one of {known}. Received: {statistic!r}")
    if statistic in names.LAYER_SCALARS:
        return _of_layers(history, f"{statistic}/")
    if statistic not in history.columns:
        nothing = np.zeros((len(history.steps), 0))
        return (), history.steps, nothing, nothing, nothing > 0
    values, counts = history.statistic(statistic).astype(np.float64), _nonfinite(history)
    is_marked = np.isinf(values) | (counts > 0)
    if not statistic.startswith("gradient"):
        # A NaN is marked if the gradient or the weights are not finite; otherwise the number was not measured.
        is_broken = (counts > 0) | _has_no_weight_norm(history)
        is_marked = np.isinf(values) | (np.isnan(values) & is_broken)
        counts = np.zeros(values.shape)
    return history.variables, history.steps, values, counts, is_marked


def _nonfinite(history):
    if names.NONFINITE not in history.columns:
        return np.zeros(history.statistics.shape[:2])
    return np.nan_to_num(history.statistic(names.NONFINITE))


def _has_no_weight_norm(history):
    """Returns where a variable was logged but the norm of its weights is NaN, boolean [T, V]."""
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
    """Returns layers in the order of their variables; a layer without any follows the one before it by name."""
    places, after = {}, -1
    for layer in layers:
        after = next((place for place, name in enumerate(variables) if name.startswith(f"{layer}/")), after)
        places[layer] = after
    return sorted(layers, key=places.get)


def histograms(series: Series, max_steps: int) -> dict:
    """Returns histograms of the magnitude over the steps, positive and negative elements together.

    Args:
        series: `Series` of rows [k, 3], as `gradlog.stats.buckets` has them: only the one around zero has two signs.
        max_steps: Integer, how many steps to return at most; they are evenly spaced and include the first and the last.

    Returns:
        A dictionary of `steps` [T], `first`, the exponent e of the first octave [2**e, 2**(e+1)), `counts` [T, k], the
        number of elements in this octave and the following ones, `zeros` [T], and `num_steps`.
    """
    number = len(series.steps)
    chosen = np.unique(np.linspace(0, max(number - 1, 0), min(max_steps, number)).round().astype(int))
    found = [_octaves(series.values[index]) for index in chosen]
    counts = np.array([of_step for of_step, _ in found]).reshape(-1, _MAX_OCTAVE - _MIN_OCTAVE)
    filled = np.flatnonzero(counts.any(0))
    first, end = (filled[0], filled[-1] + 1) if len(filled) else (0, 0)
    return {
        "steps": series.steps[chosen].tolist(),
        "first": int(first) + _MIN_OCTAVE,
        "counts": counts[:, first:end].astype(np.int64).tolist(),
        "zeros": [int(zero) for _, zero in found],
        "num_steps": number,
    }


def _octaves(rows):
    """Returns the number of elements in each octave, and the number of zeros."""
    magnitudes = np.abs(rows[:, :2])
    near, far = magnitudes.min(1), magnitudes.max(1)
    is_zero = (near == 0) | (rows[:, 0] * rows[:, 1] < 0)
    middle = np.sqrt(np.where(is_zero, 1, near) * np.where(is_zero, 1, far))
    octave = np.clip(np.floor(np.log2(middle)).astype(int), _MIN_OCTAVE, _MAX_OCTAVE - 1) - _MIN_OCTAVE
    counts = np.bincount(octave[~is_zero], rows[~is_zero, 2], _MAX_OCTAVE - _MIN_OCTAVE)
    return counts, rows[is_zero, 2].sum()


def findings(history: History) -> list[dict]:
    """Returns the findings of a run in the order of `diagnose`, with what the page shows of them.

    Returns:
        A list of dictionaries: `Finding.to_dict`, `steps` and `place` in words, `has_numbers`, whether to show what was
        measured, `has_page`, whether `rule?code=CODE` explains it, `rank`, 0 for the worst severity among a cause and
        what it explains, and `statistic`, the key of `metadata.STATISTICS` in which the finding shows, or `None`.
    """
    groups: list[list[Finding]] = []
    for finding in diagnose(history):
        if not finding.cause:
            groups.append([])
        groups[-1].append(finding)
    return [
        {
            **finding.to_dict(),
            "steps": finding.steps,
            "place": finding.place or some(finding.where) or "whole run",
            "has_numbers": not finding.is_of_setup,
            "has_page": finding.code in codes(),
            "rank": min(SEVERITIES.index(one.severity) for one in group),
            "statistic": metadata.STATISTIC_OF_FINDING.get(finding.code),
        }
        for group in groups
        for finding in group
    ]


def _number(value):
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
