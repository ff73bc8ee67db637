"""Joining: what several optimizers recorded at one step, and what a run recorded at many, by the names of variables."""

import math
from collections.abc import Sequence

import numpy as np

from gradlog.history import names
from gradlog.history.history import Snapshot
from gradlog.history.names import CLIPPED_NORM, GLOBAL_NORM


def merged(snapshots: Sequence[Snapshot], variables: Sequence[str]) -> Snapshot:
    """Joins what was recorded at one step of several optimizers.

    Args:
        snapshots: One `Snapshot` or several, of different variables. A statistic that one of them lacks is NaN there.
            Of a tag that several have, such as that of the learning rate, the first one's number stands; norms are
            joined.
        variables: The names of all variables, in the order in which they are to stand.
    """
    first, *others = snapshots
    if not others:
        return first
    known = [name for snapshot in snapshots for name in snapshot.variables]
    order = sorted(range(len(known)), key=lambda index: variables.index(known[index]))

    def joined(arrays):
        return None if arrays[0] is None else np.concatenate(arrays)[order]

    scalars: dict[str, float] = {}
    columns = _union(snapshot.columns for snapshot in snapshots)
    for snapshot in snapshots:
        for tag, number in snapshot.scalars.items():
            is_norm = tag in scalars and tag.startswith(f"{names.NORM}/")
            scalars[tag] = math.hypot(scalars[tag], number) if is_norm else scalars.get(tag, number)
    return Snapshot(
        step=first.step,
        variables=tuple(known[index] for index in order),
        columns=columns,
        statistics=joined([_with_columns(snapshot, columns) for snapshot in snapshots]),
        gradients=joined([snapshot.gradients for snapshot in snapshots]),
        weights=joined([snapshot.weights for snapshot in snapshots]),
        scalars=scalars | _clipped(snapshots),
        batch_size=first.batch_size,
        targets=first.targets,
        inputs=first.inputs,
    )


def join(tables: dict) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray, np.ndarray]:
    """Puts the tables of many steps into one array, by the names of variables and columns.

    Args:
        tables: Dictionary of T steps to (variables, columns, statistics [V, S]).

    Returns:
        A tuple (variables, columns, steps [T], statistics [T, V, S]), with NaN where a step lacks a variable.
    """
    steps = sorted(tables)
    variables, columns = (_union(tables[step][index] for step in steps) for index in (0, 1))
    row = {name: index for index, name in enumerate(variables)}
    column = {name: index for index, name in enumerate(columns)}
    statistics = np.full((len(steps), len(variables), len(columns)), np.nan, np.float32)
    for time, step in enumerate(steps):
        of_step, kinds, table = tables[step]
        if of_step == variables and kinds == columns:
            statistics[time] = table
            continue
        statistics[time][np.ix_([row[n] for n in of_step], [column[k] for k in kinds])] = table
    return variables, columns, np.array(steps, np.int64), statistics


def _union(sequences):
    """Returns all elements of several sequences once, each after the one that it follows in its own sequence."""
    result = []
    for sequence in dict.fromkeys(map(tuple, sequences)):  # most of a run's are the same one
        places, new, after = {name: place for place, name in enumerate(result)}, {}, -1
        for name in sequence:
            if name in places:
                after = max(after, places[name])
            else:
                new.setdefault(after, []).append(name)
        result = [
            *new.get(-1, []),
            *(each for place, name in enumerate(result) for each in [name, *new.get(place, [])]),
        ]
    return tuple(result)


def _with_columns(snapshot, columns):
    """Returns the statistics of a snapshot in certain columns, NaN in those that it lacks."""
    table = np.full((len(snapshot.variables), len(columns)), np.nan, np.float32)
    table[:, [columns.index(name) for name in snapshot.columns]] = snapshot.statistics
    return table


def _clipped(snapshots):
    """Returns the global norm after clipping, of which an optimizer that does not clip has a part as well."""
    if not any(CLIPPED_NORM in one.scalars for one in snapshots):
        return {}
    norms = [one.scalars.get(CLIPPED_NORM, one.scalars.get(GLOBAL_NORM, 0.0)) for one in snapshots]
    return {CLIPPED_NORM: math.hypot(*norms)}
