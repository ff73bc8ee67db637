"""Sampling: chooses the steps of a long run to send, so that nothing that stands out is lost."""

import numpy as np

_MEDIAN_OF = 256  # evenly spaced steps; sorting all of them would dominate the time
MAX_CELLS = 60_000  # numbers in one response: up to 3 MB, even if every one is marked as non-finite


def sampled(values: np.ndarray, is_marked: np.ndarray, max_steps: int) -> np.ndarray:
    """Chooses steps: the first, the last, and the extremes of each stretch in between.

    From each stretch come the step at which a variable is furthest above its own median, on a logarithmic scale, the
    step at which one is furthest below, and the step with the most marks.

    Args:
        values: Array [T, V]; finite values are at least 0.
        is_marked: Boolean array [T, V], true for what must not be lost, such as NaN in a gradient.
        max_steps: Integer, at least 1.

    Returns:
        Integer array of increasing indices into the steps: all if T is at most `max_steps`, and the last ones if
        `max_steps` is less than five.

    Example:
    >>> values = np.ones((100, 1))
    >>> values[57] = 1000
    >>> 57 in sampled(values, values > 1e9, 8)
    True
    """
    number = len(values)
    if number <= max_steps:
        return np.arange(number)
    if not values.shape[1]:
        return np.unique(np.linspace(0, number - 1, max_steps).astype(int))
    if max_steps < 5:
        return np.arange(number - max_steps, number)
    high, low = _deviations(values)
    marks = is_marked.sum(1)
    stretches = np.array_split(np.arange(1, number - 1), (max_steps - 2) // 3)
    chosen = {0, number - 1}
    for stretch in stretches:
        chosen |= {int(stretch[score[stretch].argmax()]) for score in (high, -low, marks)}
    return np.array(sorted(chosen))


def _deviations(values):
    """Returns how far any variable is above and below its median at most, [T] each, in decades."""
    is_shown = np.isfinite(values) & (values > 0)
    logarithms = np.full(values.shape, np.nan)
    np.log10(values, out=logarithms, where=is_shown)
    some = logarithms[np.linspace(0, len(values) - 1, min(len(values), _MEDIAN_OF)).astype(int)]
    deviations = logarithms - np.ma.median(np.ma.masked_invalid(some), axis=0).filled(np.nan)
    return tuple(np.nan_to_num(extreme.reduce(deviations, axis=1)) for extreme in (np.fmax, np.fmin))
