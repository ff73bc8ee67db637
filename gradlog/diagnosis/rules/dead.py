"""GL201: units of a ReLU layer output zero for every input, so no gradient flows back through them.

Why: for a negative input, both ReLU and its slope are zero. One large step can push a unit there for every example, and
without a gradient nothing brings it back (Lu et al. 2019, "Dying ReLU and Initialization").
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Symptom
from gradlog.diagnosis.rules.windows import trailing_median

_REMEDIES = (
    "Lower the learning rate: one large step can kill a layer.",
    "Use leaky ReLU or ELU, whose slope is never zero.",
    "Use He initialization, and initialize biases to zero or slightly above.",
    "Add batch normalization before the ReLU, and normalize the inputs.",
)


@dataclass(frozen=True)
class Dead:
    """Finds dead units from probe activations or, without a probe, from gradients that are exactly zero.

    Without a probe: if a kernel gets no gradient but its bias does, the layer below outputs only zeros. If most
    elements of a bias get no gradient, batch after batch, and neither does the kernel above for these units, they
    output zero every time.

    Attributes:
        fraction: Fraction of dead units on the probe above which a layer is reported, if the network is not learning.
        alarm_fraction: Fraction above which this is an alarm, whether or not the network is learning.
        bias_fraction: Fraction of a bias without a gradient above which units are dead; median of five logged steps.
        progress: Fraction by which the loss must have fallen for the network to count as learning.
        min_steps: Optimizer steps to wait before the probe is judged by `fraction`.
        min_rows: Rows that gradients have to be zero for, in logged steps in a row: few rows often leave units unused.
    """

    fraction: float = 0.5
    alarm_fraction: float = 0.9
    bias_fraction: float = 0.7
    progress: float = 0.2
    min_steps: int = 50
    min_rows: int = 64
    code = "GL201"
    name = "dead ReLU"
    remedies = _REMEDIES

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields what the probe shows, if there is one; otherwise what the gradients prove."""
        names, dead = evidence.layers("activation_dead")
        is_stuck = evidence.is_stuck(self.progress)
        if names:
            yield self._by_probe(evidence, names, dead, is_stuck & evidence.is_after(self.min_steps))
            return
        yield self._layers(evidence)
        yield self._units(evidence, is_stuck)

    def _by_probe(self, evidence, names, dead, is_stuck):
        where = (dead > self.alarm_fraction) | ((dead > self.fraction) & is_stuck[:, None])
        return Symptom(
            is_on=where.any(axis=1),
            measured=np.fmax.reduce(dead, axis=1),
            threshold=self.fraction,
            message="Dead units in {where}: the fraction that is zero for every probe input is up to {measured}.",
            remedies=_REMEDIES,
            names=names,
            where=where,
            is_alarm=(dead > self.alarm_fraction).any(axis=1),
            is_initial=evidence.is_initial((dead > self.fraction).any(axis=1)),
        )

    def _enough(self, evidence, number):
        """Returns how many logged steps in a row it takes, at least a number."""
        rows = evidence.run.batch_size if evidence.run is not None else None
        return max(number, -(-self.min_rows // rows)) if rows else number

    def _layers(self, evidence):
        gradients = evidence.of_kernels("gradient_mean_abs")
        biases = evidence.of_biases("gradient_mean_abs")
        is_starved = (gradients == 0) & (biases > 0)
        below = np.concatenate([is_starved[:, 1:], np.zeros((len(gradients), 1), bool)], axis=1)
        where = below & (gradients == 0)
        return Symptom(
            is_on=where.any(axis=1) & ~evidence.is_good,
            measured=where.sum(axis=1).astype(float),
            threshold=0,
            message="Dead layer: every unit of {where} outputs zero, so the layer above receives only zeros.",
            remedies=_REMEDIES,
            names=evidence.kernels,
            where=where,
            is_alarm=True,
            min_logged_steps=self._enough(evidence, 3),
            is_initial=evidence.is_initial(where.any(axis=1)),
        )

    def _units(self, evidence, is_stuck):
        zeros = trailing_median(evidence.of_biases("gradient_zero_fraction"), 5)
        zeros = np.where(evidence.of_biases("gradient_mean_abs") > 0, zeros, np.nan)  # a whole layer is reported above
        # A dead unit leaves a row of zeros in the kernel above; a saturated one need not.
        above = trailing_median(evidence.of_kernels("gradient_zero_fraction"), 5)[:, 1:]
        zeros = np.where(above >= 0.9 * zeros[:, :-1], zeros[:, :-1], np.nan)  # the output is not a ReLU
        where = (zeros > self.bias_fraction) & is_stuck[:, None]
        return Symptom(
            is_on=where.any(axis=1),
            measured=np.fmax.reduce(zeros, axis=1) if zeros.shape[1] else np.full(len(zeros), np.nan),
            threshold=self.bias_fraction,
            message="Dead units in {where}: the fraction without a gradient, batch after batch, is {measured}.",
            remedies=_REMEDIES,
            names=evidence.kernels[:-1],
            where=where,
            min_logged_steps=self._enough(evidence, 5),
            is_initial=evidence.is_initial((zeros > self.bias_fraction).any(axis=1)),
        )
