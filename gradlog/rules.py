"""The rules by which a run is judged, as public names."""

from gradlog.diagnosis.rules.table import (
    RULES,
    Collapsing,
    Dead,
    Erratic,
    Exploding,
    Nonfinite,
    NotImproving,
    Saturated,
    Unchanged,
    UpdateRatio,
    Vanishing,
)

__all__ = [
    "RULES",
    "Collapsing",
    "Dead",
    "Erratic",
    "Exploding",
    "Nonfinite",
    "NotImproving",
    "Saturated",
    "Unchanged",
    "UpdateRatio",
    "Vanishing",
]
