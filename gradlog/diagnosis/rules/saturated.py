"""GL202: units of a sigmoid or tanh layer are at the ends of their range, where the slope is close to zero.

Why: at an output of 0.97, the slope of tanh is 0.06 and that of sigmoid 0.03 (Glorot and Bengio 2010, section 3).
Unnormalized inputs and large weights push units there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Symptom

_REMEDIES = (
    "Normalize the inputs to mean 0 and standard deviation 1.",
    "Start with smaller weights: use Glorot initialization.",
    "Add batch normalization before the activation.",
    "Use ReLU or one of its variants.",
)


@dataclass(frozen=True)
class Saturated:
    """Finds saturated layers from probe activations or, without a probe, from gradients that are exactly zero.

    Without a probe: a kernel and its bias get no gradient, but the kernel above does. So the layer's outputs are not
    all zero, but its slope is exactly zero.

    Attributes:
        fraction: Fraction of a layer's probe activations above which the layer is saturated.
        progress: Fraction by which the loss must have fallen for the network to count as learning.
        min_steps: Optimizer steps to wait before the probe is judged.
    """

    fraction: float = 0.5
    progress: float = 0.2
    min_steps: int = 50
    code = "GL202"
    name = "saturated activation"
    remedies = _REMEDIES

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields what the probe shows, if there is one; otherwise what the gradients prove."""
        names, saturated = evidence.layers("activation_saturated")
        is_stuck = evidence.is_stuck(self.progress)
        if names:
            yield self._by_probe(evidence, names, saturated, is_stuck & evidence.is_after(self.min_steps))
        elif len(evidence.kernels) > 1:
            yield self._by_gradient(evidence, is_stuck)

    def _by_probe(self, evidence, names, saturated, is_stuck):
        where = (saturated > self.fraction) & is_stuck[:, None]
        return Symptom(
            is_on=where.any(axis=1),
            measured=np.fmax.reduce(saturated, axis=1),
            threshold=self.fraction,
            message="Saturated activations in {where}: the saturated fraction on the probe is up to {measured}.",
            remedies=_REMEDIES,
            names=names,
            where=where,
            is_initial=evidence.is_initial((saturated > self.fraction).any(axis=1)),
        )

    def _by_gradient(self, evidence, is_stuck):
        gradients = evidence.of_kernels("gradient_mean_abs")
        where = np.zeros(gradients.shape, bool)
        is_blocked = (gradients == 0) & (evidence.of_biases("gradient_mean_abs") == 0)  # a recurrent kernel has none
        where[:, :-1] = is_blocked[:, :-1] & (gradients[:, 1:] > 0) & is_stuck[:, None]
        return Symptom(
            is_on=where.any(axis=1),
            measured=where.any(axis=1).astype(float),  # the whole layer
            threshold=self.fraction,
            message="{where} gets no gradient, although the layer above does: its activation is saturated.",
            remedies=_REMEDIES,
            names=evidence.kernels,
            where=where,
            is_initial=evidence.is_initial(where.any(axis=1)),
        )
