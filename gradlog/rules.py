"""The diagnosis rules, for `diagnose(history, rules)` and `GradientLogger(rules=...)`."""

from gradlog.diagnosis.rules.table import (
    RULES,
    Collapsing,
    ConstantAnswer,
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
    "ConstantAnswer",
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
