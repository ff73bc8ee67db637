"""GL202: units of a sigmoid or tanh layer are at the ends of their range, where the slope is next to nothing.

Why: the slope of tanh at 0.97 is 0.06, that of sigmoid at 0.97 is 0.03 (Glorot and Bengio 2010, section 3). Inputs that
are not scaled and large weights bring sums there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Sign

_REMEDIES = (
    "Scale the inputs to mean 0 and deviation 1.",
    "Start with smaller weights: Glorot's.",
    "Add batch normalization before the activation.",
    "Use ReLU or one of its kin.",
)


@dataclass(frozen=True)
class Saturated:
    """Finds saturated layers: by the activations of a probe, or by gradients that are exactly zero.

    Without a probe: a kernel and its bias get no gradient at all, but the kernel above does. So the layer does give
    something, and its slope is zero to the last bit.

    Attributes:
        fraction: Of a layer's activations that are saturated, by the probe.
        progress: Part by which the loss has to have fallen for a layer to be spared.
        least_steps: Steps of the optimizer after which it is expected to have, for a probe to count.
    """

    fraction: float = 0.5
    progress: float = 0.2
    least_steps: int = 50
    code = "GL202"
    name = "saturated activation"

    def signs(self, evidence: Evidence) -> Iterator[Sign]:
        """Yields what the probe shows, where there is one; else what the gradients prove."""
        names, saturated = evidence.layers("activation_saturated")
        is_stuck = evidence.is_stuck(self.progress)
        if names:
            yield self._by_probe(names, saturated, is_stuck & evidence.is_after(self.least_steps))
        elif len(evidence.kernels) > 1:
            yield self._by_gradient(evidence, is_stuck)

    def _by_probe(self, names, saturated, is_stuck):
        where = (saturated > self.fraction) & is_stuck[:, None]
        return Sign(
            is_on=where.any(axis=1),
            measured=np.fmax.reduce(saturated, axis=1),
            threshold=self.fraction,
            message="In {where}, up to {measured} of the activations on the probe are at the ends of their range.",
            remedies=_REMEDIES,
            names=names,
            where=where,
        )

    def _by_gradient(self, evidence, is_stuck):
        gradients = evidence.of_kernels("gradient_mean_abs")
        where = np.zeros(gradients.shape, bool)
        is_blocked = (gradients == 0) & (evidence.of_biases("gradient_mean_abs") == 0)  # a recurrent kernel has none
        where[:, :-1] = is_blocked[:, :-1] & (gradients[:, 1:] > 0) & is_stuck[:, None]
        return Sign(
            is_on=where.any(axis=1),
            measured=where.any(axis=1).astype(float),  # the whole layer
            threshold=self.fraction,
            message="{where} gets no gradient at all, though the layer above does: its activation is saturated.",
            remedies=_REMEDIES,
            names=evidence.kernels,
            where=where,
        )
