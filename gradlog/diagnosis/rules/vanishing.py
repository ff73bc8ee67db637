"""GL101: the gradient vanishes towards the first layers, or is too small everywhere.

Why: each layer multiplies the gradient by its weights and by the slope of its activation, at most 0.25 for sigmoid; the
product of many small numbers is close to zero (Hochreiter 1991; Bengio, Simard and Frasconi 1994; Glorot and Bengio
2010, section 4.2). AutoTrainer compares the first layer with the last as well (Zhang et al. 2021, table 1: 1e-3).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Symptom
from gradlog.diagnosis.rules.windows import trailing
from gradlog.history.names import LOSS_MEAN_ABS

_WINDOW = 3  # logged steps; their geometric mean is judged
_BY_DEPTH = (
    "Use ReLU, leaky ReLU, ELU or GELU instead of sigmoid or tanh in the hidden layers.",
    "Add batch normalization, or skip connections that let the gradient bypass activations.",
    "Normalize before attention and feed-forward layers, not after the sum (pre-norm), or start with a warm-up.",
    "Match the initialization to the activation: He for ReLU and its variants, Glorot for tanh, LeCun for SELU.",
    "Normalize the inputs to mean 0 and standard deviation 1, or use fewer layers.",
)
_EVERYWHERE = (
    "Use He or Glorot initialization: the initial weights are too small.",
    "Check whether the loss is scaled down or the outputs are saturated.",
    "Add batch normalization.",
)


@dataclass(frozen=True)
class Vanishing:
    """Finds gradients that vanish with depth, or everywhere while the loss is still high.

    With depth: the mean absolute gradient of the first layers' kernels, or of a transformer's first blocks, is a small
    fraction of the largest layer's. A larger fraction is enough if the decline is steady: each of five or more layers
    gets at most half the gradient of the next. Three or more small gradients that rise layer by layer, as in one of
    several branches, have vanished too.
    Gradients that are exactly zero are left to `Dead` and `Saturated`.

    Attributes:
        ratio: First layers' gradient over that of the layer with the largest, below which it has vanished.
        alarm_ratio: Ratio below which this is an alarm.
        steady_ratio: Ratio below which the gradient has vanished if the decline is steady.
        steady_factor: Smallest factor from one layer to the next in a steady decline.
        bias_ratio: Ratio of the biases' gradients below which they have vanished; their decline must be steady.
        min_layers: Networks with fewer layers are not judged by depth.
        min_steady_layers: Smallest number of layers in a steady decline.
        everywhere: Mean absolute gradient below which the gradients of all kernels have vanished.
        elasticity: Value of |gradient| |weights| / loss that must not be exceeded either.
    """

    ratio: float = 1e-3
    alarm_ratio: float = 1e-4
    steady_ratio: float = 5e-3
    steady_factor: float = 2.0
    bias_ratio: float = 1e-4
    min_layers: int = 3
    min_steady_layers: int = 5
    everywhere: float = 1e-8
    elasticity: float = 1e-4
    code = "GL101"
    name = "vanishing gradient"
    remedies = (*_BY_DEPTH, *_EVERYWHERE)

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields two symptoms."""
        if not evidence.kernels:
            return
        layers, gradients = evidence.of_layers("gradient_mean_abs")
        gradients = np.where((gradients > 0) & np.isfinite(gradients), gradients, np.nan)
        everywhere = self._everywhere(evidence, gradients)
        if len(layers) >= self.min_layers:
            by_depth, of_biases = self._by_depth(evidence, layers, gradients), self._of_biases(evidence)
            yield by_depth
            # Reported only if the kernels do not show it.
            yield replace(of_biases, is_on=of_biases.is_on & ~by_depth.is_on & ~everywhere.is_on)
        yield everywhere

    def _by_depth(self, evidence, layers, gradients):
        logs = np.log10(gradients)
        means = trailing(logs, _WINDOW).mean(axis=1)  # NaN unless all of them are known
        top = np.fmax.reduce(means, axis=1, keepdims=True)
        parts = np.fmax.accumulate(means, axis=1) - top  # of a layer and all below it
        first = np.take_along_axis(parts, np.argmax(~np.isnan(parts), axis=1)[:, None], 1)[:, 0]
        lowest = parts <= np.log10(self.ratio)
        in_order = self._in_order(means, top)
        is_steady = self._is_steady(means) & (first <= np.log10(self.steady_ratio))
        where = lowest | in_order | (is_steady[:, None] & (parts <= np.log10(self.steady_ratio)))
        is_on = where.any(axis=1) & ~evidence.is_learned
        measured = np.fmin.reduce(np.where(where, means - top, np.nan), axis=1)
        is_below = lowest.any(axis=1) | in_order.any(axis=1)
        at_once = np.fmin.reduce(logs - np.fmax.reduce(logs, axis=1, keepdims=True), axis=1)
        return Symptom(
            is_on=is_on,
            measured=10**measured,
            threshold=self.ratio if (is_on & is_below).any() else self.steady_ratio,
            message=f"The gradient{_of_loss(evidence)} vanishes towards the input: "
            "in {where} it is {measured} times the largest layer's.",
            remedies=_BY_DEPTH,
            names=layers,
            where=where,
            is_alarm=measured <= np.log10(self.alarm_ratio),
            is_initial=evidence.is_initial(at_once <= np.log10(self.ratio)),
            is_lower_worse=True,
            min_logged_steps=1,
            window=_WINDOW,
        )

    def _of_biases(self, evidence):
        """Judges by the biases: small weights shrink the activations too, which hides the decline in the kernels."""
        gradients = evidence.of_biases("gradient_mean_abs")
        means = trailing(np.log10(np.where(gradients > 0, gradients, np.nan)), _WINDOW).mean(axis=1)
        parts = means - np.fmax.reduce(means, axis=1, keepdims=True)
        where = parts <= np.log10(self.bias_ratio)
        is_on = self._is_steady(means) & where.any(axis=1) & ~evidence.is_learned & (evidence.progress < 0.5)
        return Symptom(
            is_on=is_on,
            measured=10 ** np.fmin.reduce(parts, axis=1, initial=np.inf),
            threshold=self.bias_ratio,
            message="Little of the gradient reaches {where}: its bias gradient is {measured} times the last layer's.",
            remedies=(_EVERYWHERE[0], *_BY_DEPTH),
            names=evidence.kernels,
            where=where,
            is_alarm=True,
            is_lower_worse=True,
            min_logged_steps=1,
            window=_WINDOW,
        )

    def _is_steady(self, means):
        """Whether the gradient shrinks from each known layer to the one below; boolean [T]."""
        is_steady, is_known = np.zeros(len(means), bool), ~np.isnan(means)
        for pattern in np.unique(is_known, axis=0):  # usually one or two
            rows = (is_known == pattern).all(axis=1)
            if pattern.sum() >= self.min_steady_layers:
                is_steady[rows] = (np.diff(means[rows][:, pattern], axis=1) >= np.log10(self.steady_factor)).all(axis=1)
        return is_steady

    def _in_order(self, means, top):
        """Returns the layers far below the largest, boolean [T, L], if there are several and they rise with depth."""
        is_small = means - top <= np.log10(self.ratio)
        small = np.where(is_small, means, np.nan)
        below = np.fmax.accumulate(np.concatenate([np.full((len(small), 1), np.nan), small[:, :-1]], axis=1), axis=1)
        rises = (np.where(is_small, small > below, True) | np.isnan(below)).all(axis=1)
        spread = np.fmax.reduce(small, axis=1) - np.fmin.reduce(small, axis=1)
        return is_small & ((is_small.sum(axis=1) >= 3) & rises & (spread >= 1))[:, None]

    def _everywhere(self, evidence, gradients):
        largest = np.fmax.reduce(gradients, axis=1)
        norms = [evidence.of_kernels(name) for name in ("gradient_norm", "weight_norm")]
        product = np.sqrt(np.prod([np.nansum(norm**2, axis=1) for norm in norms], axis=0))
        with np.errstate(divide="ignore", invalid="ignore"):
            is_rigid = ~(product / np.abs(evidence.loss) > self.elasticity)
        is_on = (
            (largest < self.everywhere)
            & is_rigid
            & np.isfinite(evidence.loss)
            & ~evidence.is_learned
            & (evidence.progress < 0.5)
        )
        return Symptom(
            is_on=is_on,
            measured=largest,
            threshold=self.everywhere,
            message="All gradients have vanished: the largest kernel's mean is {measured}, and the loss is still high.",
            remedies=_EVERYWHERE,
            is_alarm=True,
            is_lower_worse=True,
            is_initial=evidence.is_initial(largest < self.everywhere),
            min_logged_steps=1,  # Adam can recover before the next logged step, but ends up worse off
        )


def _of_loss(evidence):
    """Returns what to add where penalties have a gradient of their own, which is left out."""
    return " of the loss" if LOSS_MEAN_ABS in evidence.history.columns else ""
