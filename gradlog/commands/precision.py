"""Precision: which share of a run's gradients and weights would be lost in fewer bits."""

import math

from gradlog.commands import console
from gradlog.history.history import History
from gradlog.history.precision import FORMATS, KINDS

_ENDS = ("underflow", "overflow")


def shares(history: History, loss_scale: float = 1.0) -> dict[str, dict]:
    """Returns what would be lost of all elements of a run that are not zero, by kind and by format.

    Args:
        history: A `History` with histograms.
        loss_scale: Number, by which gradients, but not weights, are multiplied before.

    Returns:
        A dictionary such as `{"gradient": {"float16": {"underflow": 0.02, "overflow": 0.0}, …}, "weight": …}`; `None`
        stands for what was not logged.

    Example:
    >>> shares(History())["weight"]["bfloat16"]
    {'underflow': None, 'overflow': None}
    """
    scales = dict(zip(KINDS, (loss_scale, 1.0), strict=True))
    return {
        kind: {name: _known(history.precision(name, kind, scale).total()) for name in FORMATS}
        for kind, scale in scales.items()
    }


def text(found: dict[str, dict], loss_scale: float, columns: int) -> str:
    """Returns what `shares` found of runs, by their names, as a table, at most `columns` wide if possible."""
    scaled = "" if loss_scale == 1 else f", gradients times {loss_scale:g}"
    rows = [
        [run, f"{kind}s", *(_cell(of_kind[name][end]) for name in FORMATS for end in _ENDS)]
        for run, kinds in found.items()
        for kind, of_kind in kinds.items()
    ]
    groups = [("", ["<run", "<of"]), *((name, list(_ENDS)) for name in FORMATS)]
    return f"Elements other than zero that would be lost in{scaled}:\n{console.table(groups, rows, columns)}"


def _known(fractions):
    return {end: None if math.isnan(one) else one for end, one in zip(_ENDS, fractions, strict=True)}


def _cell(fraction):
    if fraction is None:
        return "-"
    return "0" if fraction == 0 else "<0.1%" if fraction < 1e-3 else f"{100 * fraction:.3g}%"
