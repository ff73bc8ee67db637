"""Evidence: a run as the rules look at it, in arrays over the logged steps."""

import re
from functools import cached_property

import numpy as np

from gradlog.history import History

_LOSS = "train/loss"
_ACCURACY = re.compile(r"train/\w*acc(uracy)?$")
_NOT_KERNELS = re.compile(r"(^|[/._])(bias|gamma|beta|moving_\w+|running_\w+|alpha|embeddings?|scale)$")


class Evidence:
    """A run as the rules look at it.

    Each array over the steps is causal: its entry at a logged step is made of that step and those before.

    Args:
        history: The `History` of the run, with T logged steps.

    Attributes:
        history: The same.
        steps: Integer array [T].
        variables: V names of all variables.
        kernels: K names of the kernels, in the model's order; of a network that has none by that name, such as one that
            was logged from elsewhere, everything that is no bias, no normalization and no embedding.
    """

    def __init__(self, history: History):
        self.history, self.steps, self.variables = history, np.asarray(history.steps), history.variables
        kernels = [name for name in history.variables if name.endswith("kernel")]
        self.kernels = tuple(kernels or [name for name in history.variables if not _NOT_KERNELS.search(name)])

    def of_kernels(self, statistic: str) -> np.ndarray:
        """Returns a statistic of the kernels, float64 [T, K]; NaN where the run does not have it."""
        return self.of_variables(statistic)[:, [self.history.variables.index(name) for name in self.kernels]]

    def of_variables(self, statistic: str) -> np.ndarray:
        """Returns a statistic of all variables, float64 [T, V]; NaN where the run does not have it."""
        if statistic not in self.history.columns:
            return np.full((len(self.steps), len(self.variables)), np.nan)
        return self.history.statistic(statistic).astype(np.float64)

    def scalar(self, tag: str) -> np.ndarray:
        """Returns a scalar at the logged steps, float64 [T]; NaN where there is none."""
        values = np.full(len(self.steps), np.nan)
        if tag in self.history.scalars:
            series = self.history.scalars[tag]
            _, here, there = np.intersect1d(self.steps, series.steps, return_indices=True)
            values[here] = np.asarray(series.values, np.float64)[there]
        return values

    def layers(self, tag_prefix: str) -> tuple[tuple[str, ...], np.ndarray]:
        """Returns the scalars of all layers under a tag, such as `activation_dead`: n names and values [T, n]."""
        tags = [tag for tag in self.history.scalars if tag.startswith(f"{tag_prefix}/")]
        values = [self.scalar(tag) for tag in tags]
        names = tuple(tag.removeprefix(f"{tag_prefix}/") for tag in tags)
        return names, np.stack(values, axis=1) if tags else np.zeros((len(self.steps), 0))

    @cached_property
    def loss(self) -> np.ndarray:
        """The loss of the logged batches, float64 [T]; NaN where it was not logged."""
        return self.scalar(_LOSS)

    @cached_property
    def first_loss(self) -> float:
        """The first finite loss; NaN where there is none."""
        finite = self.loss[np.isfinite(self.loss)]
        return float(finite[0]) if len(finite) else np.nan

    @cached_property
    def is_learned(self) -> np.ndarray:
        """Whether the run has got what it came for, boolean [T]: then small gradients are no fault.

        With an accuracy, where it is 0.9; else where the loss is a tenth of the first one. In either case where the
        loss is a hundredth. Each as the median of the last three logged steps.
        """
        known = self.first_loss if self.first_loss > 0 else np.nan
        fraction = trailing_median(self.loss, 3) / known
        tags = [tag for tag in self.history.scalars if _ACCURACY.match(tag)]
        if not tags:
            return fraction < 0.1
        return (trailing_median(self.scalar(tags[0]), 3) >= 0.9) | (fraction < 0.01)

    @cached_property
    def progress(self) -> np.ndarray:
        """How far the loss has fallen at most, as a fraction of the first, float64 [T]; 0 where it is not known.

        The lowest median of three logged steps in a row so far counts, so that one lucky batch does not.
        """
        medians = trailing_median(self.loss, 3)
        medians[:2] = np.nan
        lowest = np.fmin.accumulate(medians) if len(medians) else medians
        return np.nan_to_num((self.first_loss - lowest) / abs(self.first_loss)) if self.first_loss else lowest * 0


def trailing(values: np.ndarray, window: int) -> np.ndarray:
    """Returns the last `window` entries at each step, [T, window, ...]; NaN before the first step."""
    padding = np.full((window - 1, *values.shape[1:]), np.nan)
    padded = np.concatenate([padding, np.asarray(values, np.float64)])
    return np.stack([padded[shift : shift + len(values)] for shift in range(window)], axis=1)


def trailing_median(values: np.ndarray, window: int) -> np.ndarray:
    """Returns the median of the last `window` entries at each step, of those that there are; [T, ...]."""
    rows = np.sort(trailing(values, window), axis=1)  # NaN comes last
    count = np.maximum((~np.isnan(rows)).sum(axis=1, keepdims=True), 1)
    low, high = ((count - 1) // 2, count // 2)
    return ((np.take_along_axis(rows, low, 1) + np.take_along_axis(rows, high, 1)) / 2)[:, 0]
