"""GL201: units of a ReLU layer give zero for every input, so no gradient ever comes back through them.

Why: where the sum is negative, ReLU and its slope are zero. A large step can push a unit there for all inputs, and
without a gradient nothing brings it back (Lu et al. 2019, "Dying ReLU and Initialization").
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence, trailing_median
from gradlog.diagnosis.rules.rule import Sign

_REMEDIES = (
    "Lower the learning rate: one large step is enough to kill a layer.",
    "Use leaky ReLU or ELU, whose slope is never zero.",
    "Use He's weights and biases that start at zero or a little above.",
    "Add batch normalization before the ReLU, and scale the inputs.",
)


@dataclass(frozen=True)
class Dead:
    """Finds dead units: by the activations of a probe, or by what gradients that are exactly zero prove.

    Without a probe: where a kernel gets no gradient at all, but the bias beside it does, the layer below it gives
    nothing but zeros. Where a bias gets none in most of its units, batch after batch, nor the kernel above for them,
    these units gave zero each time.

    Attributes:
        fraction: Of a layer's units that are dead, by the probe, where the network does not learn.
        alarm_fraction: The same where it is an alarm, and counts in any network.
        bias_fraction: Of a bias' elements without a gradient, median of five logged steps.
        progress: Part by which the loss has to have fallen for units to be spared.
        least_steps: Steps of the optimizer after which it is expected to have, for a probe to count.
    """

    fraction: float = 0.5
    alarm_fraction: float = 0.9
    bias_fraction: float = 0.7
    progress: float = 0.2
    least_steps: int = 50
    code = "GL201"
    name = "dead ReLU"

    def signs(self, evidence: Evidence) -> Iterator[Sign]:
        """Yields what the probe shows, where there is one; else what the gradients prove."""
        names, dead = evidence.layers("activation_dead")
        is_stuck = evidence.is_stuck(self.progress)
        if names:
            yield self._by_probe(names, dead, is_stuck & evidence.is_after(self.least_steps))
            return
        yield self._layers(evidence)
        yield self._units(evidence, is_stuck)

    def _by_probe(self, names, dead, is_stuck):
        where = (dead > self.alarm_fraction) | ((dead > self.fraction) & is_stuck[:, None])
        return Sign(
            is_on=where.any(axis=1),
            measured=np.fmax.reduce(dead, axis=1),
            threshold=self.fraction,
            message="In {where}, up to {measured} of the units give zero for every input of the probe.",
            remedies=_REMEDIES,
            names=names,
            where=where,
            is_alarm=(dead > self.alarm_fraction).any(axis=1),
        )

    def _layers(self, evidence):
        gradients = evidence.of_kernels("gradient_mean_abs")
        biases = evidence.of_biases("gradient_mean_abs")
        is_starved = (gradients == 0) & (biases > 0)
        below = np.concatenate([is_starved[:, 1:], np.zeros((len(gradients), 1), bool)], axis=1)
        where = below & (gradients == 0)
        return Sign(
            is_on=where.any(axis=1) & ~evidence.is_good,
            measured=where.sum(axis=1).astype(float),
            threshold=0,
            message="The whole layer of {where} is dead: the one above it gets nothing but zeros.",
            remedies=_REMEDIES,
            names=evidence.kernels,
            where=where,
            is_alarm=True,
        )

    def _units(self, evidence, is_stuck):
        zeros = trailing_median(evidence.of_biases("gradient_zero_fraction"), 5)
        zeros = np.where(evidence.of_biases("gradient_mean_abs") > 0, zeros, np.nan)  # a whole layer is said above
        # What is zero for every input leaves a row of zeros in the kernel above; what is saturated need not.
        above = trailing_median(evidence.of_kernels("gradient_zero_fraction"), 5)[:, 1:]
        zeros = np.where(above >= 0.9 * zeros[:, :-1], zeros[:, :-1], np.nan)  # the output is no ReLU
        where = (zeros > self.bias_fraction) & is_stuck[:, None]
        return Sign(
            is_on=where.any(axis=1),
            measured=np.fmax.reduce(zeros, axis=1) if zeros.shape[1] else np.full(len(zeros), np.nan),
            threshold=self.bias_fraction,
            message="In {where}, {measured} of the units get no gradient, in one batch after another.",
            remedies=_REMEDIES,
            names=evidence.kernels[:-1],
            where=where,
            least=5,
        )
