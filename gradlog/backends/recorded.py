"""Recorded steps: what a training hands over of a step, before its numbers have come to the host."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradlog.history.history import Snapshot
from gradlog.stats import whole
from gradlog.stats.snapshots import StepLayout
from gradlog.stats.snapshots import snapshots as _snapshots


class RecordedStep(NamedTuple):
    """A step that was recorded.

    Attributes:
        step: Integer, its number as far as the training knows it.
        layout: `StepLayout`, what its arrays mean.
        outputs: Dictionary of its tensors by name, wherever they are.
        on_host: Function of a list of K such dictionaries to K numbers of steps, and a dictionary of arrays [K, ...] by
            name, as `gradlog.stats.snapshots` takes them.
        num_bytes: Integer, how much memory its tensors take.
        has_histograms: Boolean, whether its `Snapshot` has histograms.
        complete: Function of its `Snapshot` that returns it with what else is known of the step.
    """

    step: int
    layout: StepLayout
    outputs: dict[str, Any]
    on_host: Callable[[Sequence[dict]], tuple[Sequence[int], dict[str, np.ndarray]]]
    num_bytes: int
    has_histograms: bool
    complete: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot

    @classmethod
    def of(cls, layout: StepLayout, step: int, arrays: dict[str, np.ndarray], has_histograms: bool) -> "RecordedStep":
        """Returns a step whose numbers have come to the host."""
        num_bytes = sum(array.nbytes for array in arrays.values())
        return cls(step, layout, {_STEP: step, **arrays}, stacked, num_bytes, has_histograms)

    def snapshot(self) -> Snapshot:
        """Returns its `Snapshot`, as soon as the numbers have come."""
        return next(snapshots([self]))


_STEP = "step"  # the name of a step's number among its arrays


def stacked(steps: Sequence[dict]) -> tuple[Sequence[int], dict[str, np.ndarray]]:
    """Returns the numbers of K steps, and their arrays [K, ...], of dictionaries that have both."""
    arrays = {name: np.stack([one[name] for one in steps]) for name in steps[0]}
    return arrays.pop(_STEP).tolist(), arrays


def snapshots(recorded: Iterable[RecordedStep]) -> Iterator[Snapshot]:
    """Yields the `Snapshot` of each step, as soon as the numbers have come; those of one kind are made together."""
    for (*_, has_histograms), group in itertools.groupby(recorded, _kind):
        together = list(group)
        layout = together[0].layout
        steps, arrays = together[0].on_host([one.outputs for one in together])
        if layout.is_whole:
            arrays = whole.reduced(layout, arrays, has_histograms)
        for one, snapshot in zip(together, _snapshots(layout, steps, arrays), strict=True):
            yield one.complete(snapshot if has_histograms else _without_histograms(snapshot))


def _kind(one):
    return id(one.layout), one.on_host, one.has_histograms


def _without_histograms(snapshot):
    return dataclasses.replace(snapshot, gradients=None, weights=None)
