"""How the numbers of `experiments.overhead` are summarized and shown: medians, with the quartiles as spread."""

import numpy as np


def quartiles(values):
    """Returns a dictionary of the median and the two other quartiles of numbers."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {"median": float(median), "quartiles": [float(low), float(high)]}


def shown(numbers, digits):
    """Returns what `quartiles` returned as text, with so many digits after the point.

    Example:
    >>> shown(quartiles([1, 2, 3, 4, 5]), 1)
    '3.0 (2.0 to 4.0)'
    """
    low, high = numbers["quartiles"]
    return f"{numbers['median']:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
