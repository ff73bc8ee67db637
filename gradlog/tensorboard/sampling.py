"""Sampling: which steps of a long run are sent, so that nothing that stands out is left away."""

import numpy as np

_MEDIAN_OF = 256  # steps, evenly chosen; to sort them all would take longer than all the rest
MOST_CELLS = 60_000  # numbers in one response: 3 MB, also where each is beside a remark


def sampled(values: np.ndarray, is_marked: np.ndarray, most: int) -> np.ndarray:
    """Chooses steps: the first, the last, and of each stretch of steps between those with the extremes.

    A stretch gives the step at which a variable is furthest above its own median, on a logarithmic scale, that at
    which one is furthest below, and that with the most marks.

    Args:
        values: Array [T, V], at least 0 where finite.
        is_marked: Boolean array [T, V]: what must not be missed, such as NaN in a gradient.
        most: Integer, how many steps to choose at most, at least 1.

    Returns:
        Integer array of indices into the steps, rising; all where T is no more than `most`, and where `most` is less
        than five, the last.

    Example:
    >>> values = np.ones((100, 1))
    >>> values[57] = 1000
    >>> 57 in sampled(values, values > 1e9, 8)
    True
    """
    number = len(values)
    if number <= most:
        return np.arange(number)
    if not values.shape[1]:
        return np.unique(np.linspace(0, number - 1, most).astype(int))
    if most < 5:
        return np.arange(number - most, number)
    high, low = _deviations(values)
    marks = is_marked.sum(1)
    stretches = np.array_split(np.arange(1, number - 1), (most - 2) // 3)
    chosen = {0, number - 1}
    for stretch in stretches:
        chosen |= {int(stretch[score[stretch].argmax()]) for score in (high, -low, marks)}
    return np.array(sorted(chosen))


def _deviations(values):
    """Returns how far above and below its median the most deviating variable is, [T] each, in decades."""
    is_shown = np.isfinite(values) & (values > 0)
    logarithms = np.full(values.shape, np.nan)
    np.log10(values, out=logarithms, where=is_shown)
    some = logarithms[np.linspace(0, len(values) - 1, min(len(values), _MEDIAN_OF)).astype(int)]
    deviations = logarithms - np.ma.median(np.ma.masked_invalid(some), axis=0).filled(np.nan)
    return tuple(np.nan_to_num(extreme.reduce(deviations, axis=1)) for extreme in (np.fmax, np.fmin))
