"""GL101: the gradient gets lost on its way to the first layers, or is too small everywhere.

Why: each layer multiplies the gradient by its weights and by the slope of its activation, 0.25 at most for sigmoid; a
product of many small numbers is nothing (Hochreiter 1991; Bengio, Simard and Frasconi 1994; Glorot and Bengio 2010,
section 4.2). The ratio of first to last layer is AutoTrainer's sign (Zhang et al. 2021, table 1: 1e-3).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence, trailing
from gradlog.diagnosis.rules.rule import Sign

_WINDOW = 3  # logged steps, whose geometric mean is judged
_BY_DEPTH = (
    "Use ReLU, leaky ReLU, ELU or GELU in the hidden layers in place of sigmoid or tanh.",
    "Add batch normalization or skip connections, so that the gradient need not pass through every activation.",
    "Initialize for the activation: He's weights for ReLU and its kin, Glorot's for tanh, LeCun's for SELU.",
    "Scale the inputs to mean 0 and deviation 1, or use fewer layers.",
)
_EVERYWHERE = (
    "Initialize with He's or Glorot's weights: these start too small.",
    "Look whether the loss is scaled down, or the outputs are saturated.",
    "Add batch normalization.",
)


@dataclass(frozen=True)
class Vanishing:
    """Finds gradients that vanish with depth, or everywhere while the loss is still high.

    With depth: the mean-absolute gradients of the first layers' kernels are a small part of the largest one's. Where
    every layer gets at most half of the gradient of the next, over five or more, the decline is steady and a larger
    part is too small as well. So are three or more layers that rise in order, as in one branch of several. A gradient
    that is exactly zero is no matter of this rule, but of `Dead` and `Saturated`.

    Attributes:
        ratio: Part of the largest layer's gradient below which the first one's has vanished.
        alarm_ratio: Below this it is an alarm.
        steady_ratio: The same as `ratio`, where the decline is steady.
        steady_factor: The least factor from one layer to the next of a steady decline.
        bias_ratio: The same as `ratio` of biases, whose decline has to be steady.
        least_layers: Networks of fewer layers have no depth.
        least_steady: Layers that a steady decline needs.
        everywhere: Mean-absolute gradient below which all kernels' have vanished.
        elasticity: The same without units: how much the loss would change by, in parts of itself, if all weights did.
    """

    ratio: float = 1e-3
    alarm_ratio: float = 1e-4
    steady_ratio: float = 5e-3
    steady_factor: float = 2.0
    bias_ratio: float = 1e-4
    least_layers: int = 3
    least_steady: int = 5
    everywhere: float = 1e-8
    elasticity: float = 1e-4
    code = "GL101"
    name = "vanishing gradient"

    def signs(self, evidence: Evidence) -> Iterator[Sign]:
        """Yields the two signs."""
        if not evidence.kernels:
            return
        layers, gradients = evidence.of_layers("gradient_mean_abs")
        gradients = np.where((gradients > 0) & np.isfinite(gradients), gradients, np.nan)
        everywhere = self._everywhere(evidence, gradients)
        if len(layers) >= self.least_layers:
            by_depth, of_biases = self._by_depth(evidence, layers, gradients), self._of_biases(evidence)
            yield by_depth
            # Said only where the kernels do not say it.
            yield replace(of_biases, is_on=of_biases.is_on & ~by_depth.is_on & ~everywhere.is_on)
        yield everywhere

    def _by_depth(self, evidence, layers, gradients):
        logs = np.log10(gradients)
        means = trailing(logs, _WINDOW).mean(axis=1)  # NaN unless all are known
        top = np.fmax.reduce(means, axis=1, keepdims=True)
        parts = np.fmax.accumulate(means, axis=1) - top  # of a kernel and all below it
        first = np.take_along_axis(parts, np.argmax(~np.isnan(parts), axis=1)[:, None], 1)[:, 0]
        lowest = parts <= np.log10(self.ratio)
        in_order = self._in_order(means, top)
        is_steady = self._is_steady(means) & (first <= np.log10(self.steady_ratio))
        where = lowest | in_order | (is_steady[:, None] & (parts <= np.log10(self.steady_ratio)))
        is_on = where.any(axis=1) & ~evidence.is_learned
        measured = np.fmin.reduce(np.where(where, means - top, np.nan), axis=1)
        is_below = lowest.any(axis=1) | in_order.any(axis=1)
        return Sign(
            is_on=is_on,
            measured=10**measured,
            threshold=self.ratio if (is_on & is_below).any() else self.steady_ratio,
            message="The gradient vanishes towards the input: in {where} it is {measured} of the largest layer's.",
            remedies=_BY_DEPTH,
            names=layers,
            where=where,
            is_alarm=measured <= np.log10(self.alarm_ratio),
            is_worst_small=True,
            least=1,
            window=_WINDOW,
        )

    def _of_biases(self, evidence):
        """What arrives at a layer: small weights shrink activations too, which hides it from the kernels."""
        gradients = evidence.of_biases("gradient_mean_abs")
        means = trailing(np.log10(np.where(gradients > 0, gradients, np.nan)), _WINDOW).mean(axis=1)
        parts = means - np.fmax.reduce(means, axis=1, keepdims=True)
        where = parts <= np.log10(self.bias_ratio)
        is_on = self._is_steady(means) & where.any(axis=1) & ~evidence.is_learned & (evidence.progress < 0.5)
        return Sign(
            is_on=is_on,
            measured=10 ** np.fmin.reduce(parts, axis=1, initial=np.inf),
            threshold=self.bias_ratio,
            message="Little of the gradient arrives at {where}: by the biases, {measured} of what the last layer gets.",
            remedies=(_EVERYWHERE[0], *_BY_DEPTH),
            names=evidence.kernels,
            where=where,
            is_alarm=True,
            is_worst_small=True,
            least=1,
            window=_WINDOW,
        )

    def _is_steady(self, means):
        """Whether each layer that is known gets a part of what the next one gets; boolean [T]."""
        is_steady, is_known = np.zeros(len(means), bool), ~np.isnan(means)
        for pattern in np.unique(is_known, axis=0):  # one or two
            rows = (is_known == pattern).all(axis=1)
            if pattern.sum() >= self.least_steady:
                is_steady[rows] = (np.diff(means[rows][:, pattern], axis=1) >= np.log10(self.steady_factor)).all(axis=1)
        return is_steady

    def _in_order(self, means, top):
        """Returns the layers [T, L] far below the largest, where there are several and they rise by depth."""
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
        return Sign(
            is_on=is_on,
            measured=largest,
            threshold=self.everywhere,
            message="All gradients have vanished: the largest mean of a kernel's is {measured}, and the loss is high.",
            remedies=_EVERYWHERE,
            is_alarm=True,
            is_worst_small=True,
            least=1,  # Adam can get out of it before the next logged step, at a worse place than from good weights
        )
