"""Attention of a run: what each head did with the probe's batch, step by step."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Attention(NamedTuple):
    """What each attention head did over the steps.

    Attributes:
        layers: A names of layers.
        steps: Integer array [T], rising.
        values: Float32 array [T, A, H, 3] of steps, layers and heads; NaN where a layer has fewer heads, or was not
            seen. The three are the entropy over its maximum, in [0, 1], the largest absolute logit, and the share that
            goes to the first token, in [0, 1], as in `names.ATTENTION_VALUES`.
    """

    layers: tuple[str, ...]
    steps: np.ndarray
    values: np.ndarray


def joined(steps: Sequence[int], tables: Sequence[tuple[tuple[str, ...], np.ndarray]]) -> Attention | None:
    """Puts the tables of many steps into one array, by the names of layers; `None` where there are no steps.

    Args:
        steps: T integers, rising.
        tables: Of each step the names of its layers, and their numbers, [A, H, 3].

    Example:
    >>> joined([0, 5], [(("a",), np.zeros((1, 2, 3))), (("b",), np.ones((1, 1, 3)))]).values[:, :, :, 0].tolist()
    [[[0.0, 0.0], [nan, nan]], [[nan, nan], [1.0, nan]]]
    """
    if not tables:
        return None
    layers = tuple(dict.fromkeys(name for names, _ in tables for name in names))
    places = {name: place for place, name in enumerate(layers)}
    num_heads, num_values = max(table.shape[1] for _, table in tables), tables[0][1].shape[2]
    values = np.full((len(tables), len(layers), num_heads, num_values), np.nan, np.float32)
    for time, (names, table) in enumerate(tables):
        values[time, [places[name] for name in names], : table.shape[1]] = table
    return Attention(layers, np.asarray(steps, np.int64), values)
