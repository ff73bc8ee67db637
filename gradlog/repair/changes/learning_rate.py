"""Another learning rate, so large that a step changes the weights by about a thousandth (Karpathy, cs231n notes)."""

import math
from dataclasses import dataclass

import numpy as np

from gradlog.repair.changes.change import Observed, optimizer_code
from gradlog.repair.training import Training

_TARGET = 3e-3  # of a step to the weights
_USUAL = {"SGD": 0.01, "Adagrad": 0.1, "Adadelta": 1.0, "Ftrl": 0.1, "Lion": 3e-4}  # else that of Adam
_OF_ADAM = 1e-3
_FAR = 90  # times as large or as small as usual
_FIRST_STEPS = 5  # logged ones, over which update ratios are looked at


@dataclass(frozen=True)
class LearningRate:
    """The same optimizer with another learning rate.

    Attributes:
        rate: Number.
    """

    rate: float
    name = "learning rate"
    overrides = ("warm-up",)

    def applied(self, training: Training) -> Training:
        """Returns the training with the rate; a schedule is left out."""
        return training.with_settings(learning_rate=self.rate)

    def code(self, training: Training) -> str:
        """Returns the optimizer."""
        before = "a schedule" if isinstance(training.settings.get("learning_rate"), dict) else f"{training.rate:g}"
        return f"optimizer={optimizer_code(training, learning_rate=self.rate)}  # learning_rate was {before}"


def proposals(observed: Observed) -> list[LearningRate]:
    """Proposes the rate that the run's update ratios ask for, then the usual one, then others around its own.

    Where nothing is wrong, the training may be slow, and three times the rate comes first of these; else a tenth.
    """
    rate, usual = observed.training.rate, usual_rate(observed.training)
    if rate is None:
        return [LearningRate(usual)]
    ratio = update_ratio(observed)
    asked = [rounded(rate * _TARGET / ratio)] if rate and ratio and not 1 / 3 < _TARGET / ratio < 3 else []
    is_sound = all(one.is_note for one in observed.findings)
    around = [factor * rate for factor in ((3, 0.1, 10) if is_sound else (0.1, 10))]
    found = [one for one in (*asked, usual, *around) if 0 < one <= 100 * usual and not 0.5 < one / max(rate, 1e-30) < 2]
    return [LearningRate(one) for one in dict.fromkeys(map(rounded, found))]


def unusual(observed: Observed) -> list[LearningRate]:
    """Proposes the usual rate where another is ninety times as large or as small."""
    rate, usual = observed.training.settings.get("learning_rate"), usual_rate(observed.training)
    if not isinstance(rate, (int, float)):  # a schedule
        return []
    return [] if usual / _FAR < rate < usual * _FAR else [LearningRate(usual)]


def usual_rate(training: Training) -> float:
    """Returns the learning rate that is usual for the optimizer."""
    return _USUAL.get(training.optimizer.__name__, _OF_ADAM)


def largest(training: Training) -> float:
    """Returns the largest learning rate that is usual for the optimizer: ten times the one that is recommended."""
    return 10 * usual_rate(training)


def update_ratio(observed: Observed) -> float:
    """Returns how far an early step changes a kernel, relative to its norm: the median; 0 where it is not known."""
    history = observed.history
    if not len(history.steps) or "update_ratio" not in history.columns:
        return 0.0
    found = [history.statistic("update_ratio", name)[:_FIRST_STEPS] for name in history.kernels()]
    values = np.array([one for each in found for one in each if np.isfinite(one) and one > 0])
    return float(np.median(values)) if len(values) else 0.0


def rounded(number: float) -> float:
    """Returns a number as one writes a learning rate: 1 or 3 times a power of ten."""
    exponent = math.floor(math.log10(number))
    near = [float(f"{digit}e{exponent}") for digit in (1, 3, 10)]
    return min(near, key=lambda one: abs(math.log(one / number)))
