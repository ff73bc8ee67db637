"""Layers: a run's kernels one by one, or block by block where there are many."""

import dataclasses

import numpy as np

from gradlog.commands import console, selection
from gradlog.history.history import History
from gradlog.history.tree import Tree, tree_of

_KERNEL = "/kernel"


def tree(history: History) -> Tree:
    """Returns the tree of a run's variables."""
    return tree_of(tuple(history.variables))


def is_long(history: History) -> bool:
    """Returns whether a run has so many kernels that it is shown block by block."""
    return tree(history).is_long


def by_block(runs: dict[str, History]) -> dict[str, History]:
    """Returns runs, a dictionary by name, with those `folded` that have many kernels."""
    return {name: folded(run) if is_long(run) else run for name, run in runs.items()}


def folded(history: History) -> History:
    """Returns a run whose kernels are those of its blocks: the largest of each statistic at each step.

    Kernels outside of blocks stay as they are; what else the run has stays too, but other variables.
    """
    known = tree(history)
    kernels = selection.kernels(history)
    groups = known.grouped(kernels)
    names = [group if isinstance(group, str) else f"{group.title}{_KERNEL}" for group, _ in groups]
    columns = [[history.variables.index(kernels[place]) for place in places] for _, places in groups]
    largest = [np.fmax.reduce(history.statistics[:, column], axis=1) for column in columns]
    return dataclasses.replace(history, variables=tuple(names), statistics=np.stack(largest, axis=1))


def label(history: History, name: str, length: int) -> str:
    """Returns a kernel as tables and figures show it, at most `length` characters; a block keeps its number.

    Example:
    >>> run = History(tuple(f"layer_{n}/{x}/kernel" for n in (0, 1) for x in ("attention", "a_dense_layer")))
    >>> label(run, "layer_1/a_dense_layer/kernel", 12)
    '1 · ...layer'
    """
    block, text = tree(history).block(name), tree(history).label(name)
    head = f"{block.short} · " if block else ""
    return f"{head}{console.shortened(text[len(head) :], max(length - len(head), 4))}"
