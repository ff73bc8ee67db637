"""Windows: at each logged step, the last ones and their median; batches are noisy, and one alone says little."""

import numpy as np


def trailing(values: np.ndarray, window: int) -> np.ndarray:
    """Returns the last `window` entries at each step, [T, window, ...]; NaN before the first step."""
    padding = np.full((window - 1, *values.shape[1:]), np.nan)
    padded = np.concatenate([padding, np.asarray(values, np.float64)])
    return np.stack([padded[shift : shift + len(values)] for shift in range(window)], axis=1)


def trailing_median(values: np.ndarray, window: int) -> np.ndarray:
    """Returns the median of the last `window` entries at each step, of those that there are; [T, ...]."""
    rows = np.sort(trailing(values, window), axis=1)  # NaN comes last
    count = np.maximum((~np.isnan(rows)).sum(axis=1, keepdims=True), 1)
    low, high = ((count - 1) // 2, count // 2)
    return ((np.take_along_axis(rows, low, 1) + np.take_along_axis(rows, high, 1)) / 2)[:, 0]


def lasting_median(losses: np.ndarray) -> np.ndarray:
    """Returns the median of the last seven losses, [T], for one batch's is noisy; NaN before there are seven."""
    return np.where(np.arange(len(losses)) >= 6, trailing_median(losses, 7), np.nan)
