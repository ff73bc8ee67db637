"""Snapshots: the arrays that a step left, as the numbers that are written."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from gradlog.history import names
from gradlog.history.history import Snapshot
from gradlog.history.inputs import Inputs
from gradlog.stats import buckets, statistics

_LOSS = names.tag("train", "loss")
_TOTALS = ("absolute", "squares")  # the columns of totals


@dataclass
class StepLayout:
    """What the arrays of a recorded step mean. Some of it is known only once a step has been traced.

    Attributes:
        variables: V names.
        sizes: Integer array [V], the numbers of elements.
        has_gradient: Boolean array [V].
        has_rows: Boolean, whether any gradient is an embedding's, of which only the rows come that a batch touches.
        metrics: Names of the metrics.
        has_loss: Boolean, whether the step tells its loss.
        has_penalty: Boolean, whether it tells what penalties add to it.
        num_targets: Integer, of how many outputs the first targets are known.
        has_inputs: Boolean, whether the step tells how large its inputs are.
        regularized: R indices of the variables whose gradient is also known without that of their penalty.
        has_learning_rate: Boolean, whether the step tells its learning rate.
        remembered: M indices of the variables of which the optimizer keeps a second moment that is recorded.
        embeddings: E indices of these M that are embeddings.
        num_rows: E integers, how many rows each of them has.
    """

    variables: tuple[str, ...] = ()
    sizes: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    has_gradient: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    has_rows: bool = False
    metrics: tuple[str, ...] = ()
    has_loss: bool = False
    has_penalty: bool = False
    num_targets: int = 0
    has_inputs: bool = False
    regularized: tuple[int, ...] = ()
    has_learning_rate: bool = False
    remembered: tuple[int, ...] = ()
    embeddings: tuple[int, ...] = ()
    num_rows: tuple[int, ...] = ()


def snapshot(layout: StepLayout, step: int, arrays: dict[str, np.ndarray]) -> Snapshot:
    """Returns the `Snapshot` of one step.

    Args:
        layout: `StepLayout` of V variables.
        step: Integer.
        arrays: Dictionary of `totals` [V, 2] of the gradients, `weights` [V, 1], the sums of their squares, and
            `counts` [V or 2 V, B], of the gradients and then of the weights; and, where there are such, `moved` [V],
            the squared distances by which the update moved the weights, `loss`, `penalty`, `metrics`, `batch_size`,
            `targets0`, `targets1` and on, the first targets of each output, padded with NaN, `inputs` [5], the first
            five attributes of `Inputs`, `loss_totals` [R, 2] of the regularized gradients without their penalties',
            `learning_rate`, the sums of squares `others`, of the gradients that are not recorded, and `clipped`, of all
            after clipping; of M second moments `ratios` [M, 2], `below` [M] and, of E embeddings, `rows` [E, 2], as
            `gradlog.backends.second_moments` has them.
    """
    number, counts = len(layout.variables), arrays["counts"]
    gradients = counts[:number]
    if layout.has_rows:
        gradients = _completed(gradients, np.where(layout.has_gradient, layout.sizes, 0))
    columns, table = statistics.table(_sums(layout, step, arrays, gradients))
    has_histograms = len(counts) > number
    return Snapshot(
        step=step,
        variables=layout.variables,
        columns=columns,
        statistics=table,
        gradients=gradients if has_histograms else None,
        weights=counts[number:] if has_histograms else None,
        scalars=_scalars(layout, arrays),
        batch_size=int(arrays.get("batch_size", 0)) or None,
        targets=tuple(_rows(arrays[f"targets{index}"]) for index in range(layout.num_targets)),
        inputs=_inputs(*arrays["inputs"].tolist()) if layout.has_inputs else None,
    )


def _inputs(size, num_nonfinite, mean_square, column, column_mean_square):
    return Inputs(int(size), int(num_nonfinite), mean_square, int(column), column_mean_square)


def _rows(targets):
    """Returns targets [n, k] without the rows and columns that only fill up."""
    is_empty = np.isnan(targets)
    return targets[~is_empty.all(axis=1)][:, ~is_empty.all(axis=0)]


def _sums(layout, step, arrays, gradients):
    """Returns the `Sums` of V variables; those of the gradient are NaN where there is none."""
    of_gradients = statistics.sums(arrays["totals"], gradients, layout.sizes)
    known = {name: numbers for name, numbers in of_gradients._asdict().items() if numbers is not None}
    known |= _of_second_moments(layout, step, arrays)
    known = {name: np.where(layout.has_gradient, numbers, math.nan) for name, numbers in known.items()}
    for column, name in enumerate(_TOTALS if layout.regularized else ()):
        known[f"loss_{name}"] = np.full(len(layout.variables), math.nan)
        known[f"loss_{name}"][list(layout.regularized)] = arrays["loss_totals"][:, column]
    return statistics.Sums(**known | {"weights": arrays["weights"][:, 0], "moved": arrays.get("moved")})


def _of_second_moments(layout, step, arrays):
    """Returns the fields of `Sums` that tell of the optimizer's second moment; NaN where a variable has none.

    Ahead of the first update, it holds nothing to compare a gradient with.
    """
    number, remembered, embeddings = len(layout.variables), list(layout.remembered), list(layout.embeddings)
    if not remembered:
        return {}
    ratios = np.array(arrays["ratios"], np.float64) if step else np.full((len(remembered), 2), math.nan)
    found = {"remembered_squares": ratios[:, 0], "remembered": ratios[:, 1], "below_epsilon": arrays["below"]}
    if embeddings:
        unused, touched = np.array(arrays["rows"], np.float64).T
        ratios[embeddings, 1] = touched
        found["unused"], found["rows"] = np.full((2, len(remembered)), math.nan)
        found["unused"][embeddings], found["rows"][embeddings] = unused, layout.num_rows
    fields = {name: np.full(number, math.nan) for name in found}
    for name, numbers in found.items():
        fields[name][remembered] = numbers
    return fields


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


def _scalars(layout, arrays):
    scalars = {_LOSS: float(arrays["loss"])} if layout.has_loss else {}
    if layout.has_penalty:
        scalars[names.PENALTY_TAG] = float(arrays["penalty"])
    if layout.has_learning_rate:
        scalars[names.LEARNING_RATE_TAG] = float(arrays["learning_rate"])
    scalars[names.GLOBAL_NORM] = statistics.joint_norm([*arrays["totals"][:, 1], arrays.get("others", 0)])
    if "clipped" in arrays:
        scalars[names.CLIPPED_NORM] = statistics.joint_norm([arrays["clipped"]])
    metrics = zip(layout.metrics, arrays["metrics"].tolist() if layout.metrics else (), strict=True)
    return scalars | {names.tag("train", name): value for name, value in metrics}


def _completed(counts, sizes):
    """Returns bucket counts [V, B] in which the rows of an embedding that a batch does not touch count as zeros."""
    counts = counts.copy()
    counts[:, 0] += sizes - counts.sum(1)  # where touched rows were left over, fewer than there are
    return counts
