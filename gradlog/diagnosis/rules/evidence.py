"""Evidence: a run as the rules look at it, in arrays over the logged steps."""

import re
from collections.abc import Callable
from functools import cached_property

import numpy as np

from gradlog.diagnosis.checks.setup import REGRESSION
from gradlog.diagnosis.rules.blocks import layers_of
from gradlog.diagnosis.rules.windows import lasting_median, trailing, trailing_median
from gradlog.history.history import History
from gradlog.history.names import LOSS_MEAN_ABS, LOSS_NORM, MEAN_ABS, NORM, PENALTY_TAG

_LOSS = "train/loss"
# What a regularizer adds to a gradient hides how much of the loss reaches a layer.
_WITHOUT_PENALTY = {MEAN_ABS: LOSS_MEAN_ABS, NORM: LOSS_NORM}
RUNAWAY = 100
_MULTIPLIED, _LARGE = 3, 0.1
_REPLACED = 0.5  # update ratio of a first step after which little is left of the weights that it began with
_LOW = 0.1
_SETTLES_WITHIN = 10  # logged steps
_LONG_WINDOWS = (20, 40)  # logged steps
_ACCURACY = re.compile(r"train/\w*acc(uracy)?$")
# The cross-entropy of guessing; a first loss may be many times as large, and fall to it without learning anything.
_GUESSES: dict[str, Callable[[int], float]] = {
    "binary_crossentropy": lambda units: np.log(2),
    "categorical_crossentropy": np.log,
    "sparse_categorical_crossentropy": np.log,
}


class Evidence:
    """A run as the rules look at it.

    Each array over the steps is causal: its entry at a logged step is made of that step and those before.

    Args:
        history: The `History` of the run, with T logged steps.

    Attributes:
        history: The same.
        steps: Integer array [T].
        variables: V names of all variables.
        kernels: K names of the kernels, in the model's order; what `History.kernels` returns.
        run: `Run`, what it was made of, or `None` if that is not known.
    """

    def __init__(self, history: History):
        self.history, self.steps, self.variables = history, np.asarray(history.steps), history.variables
        self._known: dict[tuple, np.ndarray] = {}  # several rules look at the same arrays
        self.kernels, self.run = tuple(history.kernels()), history.run

    def of_kernels(self, statistic: str) -> np.ndarray:
        """Returns a statistic of the kernels, float64 [T, K]; NaN where the run does not have it."""
        columns = [self.variables.index(name) for name in self.kernels]
        return self._once((statistic, "kernels"), lambda: self._table(statistic)[:, columns].astype(np.float64))

    def medians_of_kernels(self, statistic: str, window: int) -> np.ndarray:
        """Returns the median of the last `window` logged steps, of those that there are; float64 [T, K]."""
        return self._once((statistic, window), lambda: trailing_median(self.of_kernels(statistic), window))

    def of_layers(self, statistic: str) -> tuple[tuple[str, ...], np.ndarray]:
        """Returns the largest of a statistic of the kernels in each layer or block: L names and float64 [T, L]."""
        layers = layers_of(self.kernels)
        names, values = tuple(dict.fromkeys(layers)), self.of_kernels(statistic)
        columns = [[index for index, layer in enumerate(layers) if layer == name] for name in names]
        return names, np.stack([np.fmax.reduce(values[:, column], axis=1) for column in columns], axis=1)

    def of_variables(self, statistic: str) -> np.ndarray:
        """Returns a statistic of all variables, float64 [T, V]; NaN where the run does not have it."""
        return self._once((statistic, "variables"), lambda: self._table(statistic).astype(np.float64))

    def _table(self, statistic):
        if statistic not in self.history.columns:
            return np.full((len(self.steps), len(self.variables)), np.nan)
        values, without_penalty = self.history.statistic(statistic), _WITHOUT_PENALTY.get(statistic)
        if without_penalty in self.history.columns:
            known = self.history.statistic(without_penalty)
            values = np.where(np.isnan(known), values, known)
        return values

    def _once(self, key, compute):
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]

    def of_biases(self, statistic: str) -> np.ndarray:
        """Returns a statistic of the bias beside each kernel, float64 [T, K]; NaN where there is none."""
        values = self._table(statistic)
        result = np.full((len(values), len(self.kernels)), np.nan)
        for column, kernel in enumerate(self.kernels):
            bias = kernel.removesuffix("kernel").removesuffix("weight") + "bias"
            if bias in self.variables:
                result[:, column] = values[:, self.variables.index(bias)]
        return result

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
        """The loss of the logged batches without penalties, float64 [T]; NaN where it was not logged."""
        return self.scalar(_LOSS) - np.nan_to_num(self.scalar(PENALTY_TAG))

    @cached_property
    def guess(self) -> float:
        """The loss of guessing, of a network with one output and a cross-entropy; NaN where it is not known."""
        outputs = self.run.outputs if self.run is not None else ()
        if len(outputs) != 1 or outputs[0].loss not in _GUESSES:
            return np.nan
        return float(_GUESSES[outputs[0].loss](outputs[0].units or 1)) or np.nan  # of one unit, nothing is guessed

    @cached_property
    def is_broken(self) -> np.ndarray:
        """Whether NaN or infinite numbers stood in a gradient, and the network has not come back since; boolean [T].

        Until it has, nothing else says what is wrong. It has where all kernels moved in three logged steps in a row:
        weights that are NaN do not.
        """
        now = np.any(self.of_variables("gradient_nonfinite") > 0, axis=1)
        is_well = ~now
        if "update_ratio" in self.history.columns:
            is_well &= (self.of_kernels("update_ratio") > 0).all(axis=1)
        times = np.arange(len(now))
        came_back = np.maximum.accumulate(np.where((trailing(is_well, 3) == 1).all(axis=1), times, -1))
        broke = np.maximum.accumulate(np.where(now, times, -1))
        return (broke >= 0) & (came_back < broke)

    @cached_property
    def first_loss(self) -> np.ndarray:
        """What the loss was at first, float64 [T]: the median of the first five, for one batch may be odd.

        It is the first alone where the loss fell from there, where large first steps of the training multiplied it, and
        where it rose because the first step replaced the weights.
        NaN where no loss was logged.
        """
        known = np.flatnonzero(np.isfinite(self.loss))
        result = np.full(len(self.loss), np.nan)
        for number, time in enumerate(known[:5], 1):
            first, median = self.loss[known[0]], np.median(self.loss[known[:number]])
            was_multiplied = 0 < first < median / _MULTIPLIED and self._began_with_large_steps
            was_multiplied |= 0 < first < median and self.first_ratio > _REPLACED
            result[time:] = first if first > median + 0.1 * abs(median) or was_multiplied else median
        return result

    @cached_property
    def _began_with_large_steps(self):
        ratios = self.of_kernels("update_ratio")[:1]
        return self.is_from_start and bool((ratios[np.isfinite(ratios)] > _LARGE).any())

    @cached_property
    def first_ratio(self) -> float:
        """The update ratio of half the kernels at the first step of the training; NaN where that was not logged."""
        ratios = np.where(started_at_zero(self), np.nan, self.of_kernels("update_ratio")[:1])
        known = ratios[np.isfinite(ratios)]
        return float(np.median(known)) if self.is_from_start and self.steps[0] == 0 and len(known) else np.nan

    @cached_property
    def is_learned(self) -> np.ndarray:
        """Whether the run has got what it came for, boolean [T]: then small gradients are no fault.

        With an accuracy, where it is 0.9 and the error has halved; else where the loss is a tenth of the first one. In
        either case where the loss is a hundredth. Each as the median of the last three logged steps. A loss that runs
        away below zero is not learning.
        """
        fraction = trailing_median(self.loss, 3) / np.where(self.first_loss > 0, self.first_loss, np.nan)
        fraction = np.where(self.is_runaway, np.nan, fraction)
        if self.accuracy is None:
            return fraction < 0.1
        first = self.accuracy[np.argmax(np.isfinite(self.accuracy))]
        return (self.is_accurate & (1 - trailing_median(self.accuracy, 3) <= (1 - first) / 2)) | (fraction < 0.01)

    @cached_property
    def is_good(self) -> np.ndarray:
        """Whether the run has learned, or was as accurate as that from the start, as one that is fine-tuned; [T]."""
        return self.is_learned | self.is_accurate

    @cached_property
    def is_low(self) -> np.ndarray:
        """Whether the loss is below a tenth of the loss of guessing, in a run without an accuracy; boolean [T].

        Such a loss may grow many times, as while a network is fine-tuned: from near zero, one mistake is enough.
        """
        is_known = self.accuracy is None and np.isfinite(self.guess)
        return is_known & (lasting_median(self.loss) < _LOW * self.guess)

    @cached_property
    def is_accurate(self) -> np.ndarray:
        """Whether the accuracy is 0.9, the median of three logged steps; False where there is none; boolean [T]."""
        if self.accuracy is None:
            return np.zeros(len(self.steps), bool)
        return trailing_median(self.accuracy, 3) >= 0.9

    @cached_property
    def accuracy(self) -> np.ndarray | None:
        """The accuracy of the logged batches, float64 [T], NaN where it was not logged.

        `None` if there is none, or the run predicts numbers, which hardly ever are exactly right.
        """
        outputs = self.run.outputs if self.run is not None else ()
        if outputs and all(one.loss in REGRESSION and one.majority is None for one in outputs):
            return None
        tags = sorted((tag for tag in self.history.scalars if _ACCURACY.match(tag)), key=len)  # the plain one first
        return self.scalar(tags[0]) if tags else None

    @cached_property
    def is_runaway(self) -> np.ndarray:
        """Whether the loss has run away below zero: beyond -100 times its first size, and 1 at least; boolean [T].

        As the binary cross-entropy does with labels outside of 0 to 1. The median of three logged steps counts.
        """
        limit = -RUNAWAY * np.maximum(np.abs(self.first_loss), 1)
        return np.logical_or.accumulate(trailing_median(self.loss, 3) < limit)

    @cached_property
    def progress(self) -> np.ndarray:
        """How far the loss has fallen at most, as a fraction of the first, float64 [T]; NaN where it is not known.

        The lowest median of three logged steps in a row so far counts, so that one lucky batch does not. A loss that
        was zero at first cannot fall, and one that runs away below zero makes no progress: both count as 0.
        """
        return self._fallen(self._lowest)

    @cached_property
    def _lowest(self):
        """The lowest median of three logged losses in a row so far, [T]; infinite for the first four."""
        medians = trailing_median(self.loss, 3)
        medians[:4] = np.inf  # what it was at first is known then
        return np.fmin.accumulate(medians) if len(medians) else medians

    @cached_property
    def lasting_progress(self) -> np.ndarray:
        """The same as `progress`, of the lowest median of 20 logged steps, or of 40 in a long run; [T].

        Of many single batches, some three in a row are lucky. A loss that is flat over epochs is flat here. Before
        there are twice as many logged steps as the median takes, this is `progress`.
        """
        numbers, result = np.arange(1, len(self.loss) + 1), self.progress.copy()
        for window in _LONG_WINDOWS:
            medians = np.where(numbers >= window, trailing_median(self.loss, window), np.inf)
            is_long = numbers >= 2 * window
            result[is_long] = self._fallen(np.fmin.accumulate(medians))[is_long]
        return result

    def _fallen(self, lowest):
        """Returns how far the loss has fallen from the first to `lowest` [T], as a fraction of the first."""
        with np.errstate(divide="ignore", invalid="ignore"):
            fallen = (self.first_loss - lowest) / np.abs(self.first_loss)
        fallen = np.where((self.first_loss == 0) | self.is_runaway, 0, fallen)
        return np.where(np.isfinite(lowest), fallen, np.where(np.isnan(self.first_loss), np.nan, 0))

    def is_stuck(self, progress: float) -> np.ndarray:
        """Whether the loss has fallen by less than a part of the first, and the run is not good yet; boolean [T].

        A cross-entropy must have fallen as far below that of guessing as well, which a first loss may lie above.
        """
        with np.errstate(invalid="ignore"):
            is_guessing = self._lowest > (1 - progress) * self.guess
        return ((self.progress < progress) | is_guessing) & ~self.is_good

    @property
    def is_early(self) -> np.ndarray:
        """The first logged steps, within which the steps of an optimizer may be large and settle; boolean [T]."""
        return np.arange(len(self.steps)) < _SETTLES_WITHIN

    @property
    def is_from_start(self) -> bool:
        """Whether the run was logged from its start, not from where a training before it ended."""
        return len(self.steps) > 1 and self.steps[0] <= self.steps[1] - self.steps[0]

    def is_initial(self, is_on: np.ndarray) -> bool:
        """Whether something that shows at some logged steps, boolean [T], shows before the first update."""
        return bool(len(self.steps) and self.steps[0] == 0 and is_on[0])

    def is_after(self, steps: int) -> np.ndarray:
        """Whether the optimizer has made so many steps since the first logged one; boolean [T]."""
        return self.steps - self.steps[:1] >= steps


def started_at_zero(evidence: Evidence) -> np.ndarray:
    """Returns the kernels whose weights were all zero at first, boolean [K]: any step is large beside them."""
    norms = evidence.of_kernels("weight_norm")
    return norms[0] == 0 if len(norms) else np.zeros(norms.shape[1], bool)
