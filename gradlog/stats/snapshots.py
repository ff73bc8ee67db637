"""Snapshots: the arrays that a step left, as the numbers that are written."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradlog.history import names
from gradlog.history.history import Snapshot
from gradlog.history.inputs import Inputs
from gradlog.stats import buckets, statistics

_LOSS = names.tag("train", "loss")
_NO_ROWS = np.empty((0, 0), np.float32)
_TOTALS = ("absolute", "squares")  # the columns of totals


@dataclass
class StepLayout:
    """What the arrays of a recorded step mean. Some of it is known only once a step has been traced.

    Attributes:
        variables: V names.
        sizes: Integer array [V], the numbers of elements.
        has_gradient: Boolean array [V].
        has_rows: Boolean, whether any gradient is an embedding's, of which only the rows come that a batch touches.
        is_whole: Boolean, whether gradients and weights come as they are, for `gradlog.stats.whole` to reduce.
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
    is_whole: bool = False
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

    def is_like(self, other: "StepLayout") -> bool:
        """Whether the arrays of another step mean the same."""
        return all(
            value is vars(other)[name] or np.array_equal(value, vars(other)[name]) for name, value in vars(self).items()
        )


def snapshot(layout: StepLayout, step: int, arrays: dict[str, np.ndarray]) -> Snapshot:
    """Returns the `Snapshot` of one step; the arrays are those of `snapshots`, without the axis of the steps."""
    return snapshots(layout, [step], {name: np.asarray(array)[None] for name, array in arrays.items()})[0]


def snapshots(layout: StepLayout, steps: Sequence[int], arrays: dict[str, np.ndarray]) -> list[Snapshot]:
    """Returns the `Snapshot`s of K steps.

    Args:
        layout: `StepLayout` of V variables.
        steps: K integers.
        arrays: Dictionary of `totals` [K, V, 2] of the gradients, `weights` [K, V, 1], the sums of their squares, and
            `counts` [K, V or 2 V, B], of the gradients and then of the weights, or, without histograms, `zeros` [K, V]
            and `nonfinite` [K, V], how many elements are such; and, where there are such, `moved` [K, V], the squared
            distances by which the update moved the weights, `loss`, `penalty`, `batch_size` and `learning_rate` [K],
            `metrics` [K, M], `targets0`, `targets1` and on [K, n, k], the first targets of each output, padded with
            NaN, `inputs` [K, 5], the first five attributes of `Inputs`, `loss_totals` [K, R, 2] of the regularized
            gradients without their penalties', the sums of squares `others` [K], of the gradients that are not
            recorded, and `clipped` [K], of all after clipping; of M second moments `ratios` [K, M, 2], `below` [K, M]
            and, of E embeddings, `rows` [K, E, 2], as `gradlog.backends.second_moments` has them.
    """
    number, counts = len(layout.variables), arrays.get("counts")
    gradients: Any = None if counts is None else counts[:, :number]
    if layout.has_rows:
        gradients = _completed(gradients, np.where(layout.has_gradient, layout.sizes, 0))
    kept: Sequence = [(None, None)] * len(steps)
    if counts is not None and counts.shape[1] > number:
        kept = list(zip(gradients, counts[:, number:], strict=True))
    columns, table = statistics.table(_sums(layout, np.asarray(steps), arrays, gradients))
    scalars, batch_sizes = _scalars(layout, arrays), arrays.get("batch_size", np.zeros(len(steps), int)).tolist()
    targets = [_rows(arrays[f"targets{one}"]) for one in range(layout.num_targets)]
    inputs = list(map(_inputs, arrays["inputs"].tolist() if layout.has_inputs else ()))
    return [
        Snapshot(
            step=int(step),
            variables=layout.variables,
            columns=columns,
            statistics=table[index],
            gradients=kept[index][0],
            weights=kept[index][1],
            scalars=dict(zip(scalars, numbers, strict=True)),
            batch_size=int(batch_sizes[index]) or None,
            targets=tuple(of_output[index] for of_output in targets),
            inputs=inputs[index] if layout.has_inputs else None,
        )
        for index, (step, *numbers) in enumerate(zip(steps, *scalars.values(), strict=True))
    ]


def _inputs(numbers):
    """Returns `Inputs` of five numbers; of a step that did not look at them, `None`."""
    size, num_nonfinite, mean_square, column, column_mean_square = numbers
    if math.isnan(size):
        return None
    return Inputs(int(size), int(num_nonfinite), mean_square, int(column), column_mean_square)


def _rows(targets):
    """Returns targets [K, n, k] as a list of arrays without the rows and columns that only fill up."""
    nothing = np.isnan(targets)
    kept = zip(targets, ~nothing.all(axis=2), ~nothing.all(axis=1), strict=True)
    return [one[rows][:, columns] if rows.any() else _NO_ROWS for one, rows, columns in kept]


def _sums(layout, steps, arrays, gradients):
    """Returns the `Sums` [K, V] of V variables; those of the gradient are NaN where there is none."""
    if gradients is None:
        zeros, nonfinite = arrays["zeros"], arrays["nonfinite"]
    else:
        zeros, nonfinite = buckets.num_zeros(gradients), buckets.num_nonfinite(gradients)
    of_gradients = statistics.sums(arrays["totals"], zeros, nonfinite, layout.sizes)
    known = {name: numbers for name, numbers in of_gradients._asdict().items() if numbers is not None}
    known |= _of_second_moments(layout, steps, arrays)
    known = {name: np.where(layout.has_gradient, numbers, math.nan) for name, numbers in known.items()}
    for column, name in enumerate(_TOTALS if layout.regularized else ()):
        known[f"loss_{name}"] = np.full((len(steps), len(layout.variables)), math.nan)
        known[f"loss_{name}"][:, list(layout.regularized)] = arrays["loss_totals"][..., column]
    return statistics.Sums(**known | {"weights": arrays["weights"][..., 0], "moved": arrays.get("moved")})


def _of_second_moments(layout, steps, arrays):
    """Returns the fields of `Sums` that tell of the optimizer's second moment; NaN where a variable has none.

    Ahead of the first update, it holds nothing to compare a gradient with.
    """
    remembered, embeddings = list(layout.remembered), list(layout.embeddings)
    if not remembered:
        return {}
    ratios = np.where((steps == 0)[:, None, None], math.nan, arrays["ratios"])
    found = {"remembered_squares": ratios[..., 0], "remembered": ratios[..., 1], "below_epsilon": arrays["below"]}
    if embeddings:
        unused, touched = np.moveaxis(np.array(arrays["rows"], np.float64), -1, 0)
        ratios[:, embeddings, 1] = touched
        found["unused"], found["rows"] = np.full((2, len(steps), len(remembered)), math.nan)
        found["unused"][:, embeddings], found["rows"][:, embeddings] = unused, layout.num_rows
    fields = {name: np.full((len(steps), len(layout.variables)), math.nan) for name in found}
    for name, numbers in found.items():
        fields[name][:, remembered] = numbers
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
    """Returns lists of K numbers, by tag."""
    scalars = {_LOSS: arrays["loss"]} if layout.has_loss else {}
    if layout.has_penalty:
        scalars[names.PENALTY_TAG] = arrays["penalty"]
    if layout.has_learning_rate:
        scalars[names.LEARNING_RATE_TAG] = arrays["learning_rate"]
    squares = arrays["totals"][..., 1]
    scalars[names.GLOBAL_NORM] = np.sqrt(squares.sum(1) + arrays.get("others", 0))
    if "clipped" in arrays:
        scalars[names.CLIPPED_NORM] = np.sqrt(arrays["clipped"])
    metrics = arrays["metrics"].T if layout.metrics else ()
    scalars |= {names.tag("train", name): numbers for name, numbers in zip(layout.metrics, metrics, strict=True)}
    return {tag: np.asarray(numbers, np.float64).tolist() for tag, numbers in scalars.items()}


def _completed(counts, sizes):
    """Returns bucket counts [K, V, B] in which the rows of an embedding that a batch does not touch count as zeros."""
    counts = counts.copy()
    counts[..., 0] += sizes - counts.sum(-1)  # where touched rows were left over, fewer than there are
    return counts
