"""Inputs that are finite and scaled."""

from gradlog.diagnosis.changes.of_run import layers_of
from gradlog.diagnosis.finding import Finding
from gradlog.history.run import Run


def normalized_inputs(finding: Finding, run: Run) -> str:
    """Proposes to normalize the inputs where the first layer with weights is among those found."""
    first = next((one for one in run.layers if one.kernel), None)
    is_first = first is not None and first in layers_of(finding, run)
    return "x = (x - x.mean(axis=0)) / x.std(axis=0)" if is_first else ""


def finite_inputs(finding: Finding, run: Run) -> str:
    """Proposes to look for NaN in the data where the first kernel alone has NaN in its gradient."""
    first = next((one for one in run.layers if one.kernel), None)
    is_alone = first is not None and finding.where == (f"{first.name}/kernel",)
    return "rows = numpy.isfinite(x).all(axis=1); x, y = x[rows], y[rows]" if is_alone else ""
