"""Diagnosis: the rules, applied to a run."""

from gradlog.finding import Finding
from gradlog.history import History


def diagnose(history: History) -> list[Finding]:
    """Returns what the rules find in a run, worst first."""
    return []
