"""Batch normalization between the layers."""

from gradlog.diagnosis.changes.of_run import is_normalized
from gradlog.diagnosis.finding import Finding
from gradlog.history.run import Run


def normalization_between(finding: Finding, run: Run) -> str:
    """Proposes batch normalization where the network has none."""
    return "" if is_normalized(run) else "keras.layers.BatchNormalization() after each hidden layer"
