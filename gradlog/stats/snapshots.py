"""Snapshots: the arrays that a step left, as the numbers that are written."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.history import names
from gradlog.history.history import Snapshot
from gradlog.stats import buckets, statistics

_LOSS = names.tag("train", "loss")
_GLOBAL_NORM = names.tag("gradient_norm", names.GLOBAL)
_CLIPPED_NORM = names.tag("gradient_norm", f"{names.GLOBAL}_clipped")


@dataclass
class Form:
    """What the arrays of a recorded step mean; some of it is known only once a step has been traced.

    Attributes:
        variables: V names.
        sizes: Integer array [V], the numbers of elements.
        has_gradient: Boolean array [V].
        has_rows: Boolean, whether any gradient is an embedding's, of which only the rows come that a batch touches.
        metrics: Names of the metrics.
        has_loss: Boolean, whether the step tells its loss.
    """

    variables: tuple[str, ...] = ()
    sizes: np.ndarray | None = None
    has_gradient: np.ndarray | None = None
    has_rows: bool = False
    metrics: tuple[str, ...] = ()
    has_loss: bool = False


def snapshot(form: Form, step: int, arrays: dict[str, np.ndarray]) -> Snapshot:
    """Returns the `Snapshot` of one step.

    Args:
        form: `Form` of V variables.
        step: Integer.
        arrays: Dictionary of `totals` [V, 2] of the gradients, `weights` [V, 1], the sums of their squares, and
            `counts` [V or 2 V, B], of the gradients and then of the weights; and, where there are such, `moved` [V],
            the squared distances by which the update moved the weights, `loss`, `metrics`, and the sums of squares
            `others`, of the gradients that are not recorded, and `clipped`, of all after clipping.
    """
    number, counts = len(form.variables), arrays["counts"]
    sizes = np.where(form.has_gradient, form.sizes, 0)
    gradients = _completed(counts[:number], sizes) if form.has_rows else counts[:number]
    sums = statistics.sums(arrays["totals"], gradients, sizes)
    table = np.where(form.has_gradient[:, None], statistics.table(sums), math.nan)
    weights = np.sqrt(arrays["weights"][:, 0])
    columns = {"weight_norm": weights}
    if "moved" in arrays:
        moved = np.sqrt(arrays["moved"])
        columns["update_ratio"] = np.divide(moved, weights, out=np.full_like(weights, math.nan), where=weights > 0)
    has_histograms = len(counts) > number
    return Snapshot(
        step=step,
        variables=form.variables,
        columns=(*statistics.STATISTICS, *columns),
        statistics=np.column_stack([table, *columns.values()]).astype(np.float32),
        gradients=gradients if has_histograms else None,
        weights=counts[number:] if has_histograms else None,
        scalars=_scalars(form, arrays, sums),
    )


def histograms(snapshot: Snapshot) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the histograms of a `Snapshot` that are not empty: the tag, and rows [k, 3] as TensorBoard has them."""
    for prefix, tensors, counts in (
        (names.GRADIENT_HISTOGRAM, snapshot.variables, snapshot.gradients),
        (names.WEIGHT_HISTOGRAM, snapshot.variables, snapshot.weights),
        (names.ACTIVATION_HISTOGRAM, snapshot.layers, snapshot.activations),
    ):
        if counts is not None:
            for name, rows in zip(tensors, buckets.tables(counts), strict=True):
                if len(rows):
                    yield names.tag(prefix, name), rows


def _scalars(form, arrays, sums):
    scalars = {_LOSS: float(arrays["loss"])} if form.has_loss else {}
    scalars[_GLOBAL_NORM] = statistics.joint_norm([*sums.squares, arrays.get("others", 0)])
    if "clipped" in arrays:
        scalars[_CLIPPED_NORM] = statistics.joint_norm([arrays["clipped"]])
    metrics = zip(form.metrics, arrays["metrics"].tolist() if form.metrics else (), strict=True)
    return scalars | {names.tag("train", name): value for name, value in metrics}


def _completed(counts, sizes):
    """Returns bucket counts [V, B] in which the rows of an embedding that a batch does not touch count as zeros."""
    counts = counts.copy()
    counts[:, 0] += sizes - counts.sum(1)  # where touched rows were left over, fewer than there are
    return counts
