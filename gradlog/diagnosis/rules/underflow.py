"""GL104: gradients underflow to zero in float16 without loss scaling.

Why: float16 holds nothing between zero and 2^-24, about 6e-8, so a gradient that is smaller is zero, and with it all
that lies below. Loss scaling multiplies the loss by a large number, and divides the gradient by it in float32
(Micikevicius et al. 2018, "Mixed precision training", section 3.2 and figure 3). bfloat16 has the range of float32.
Where the weights are in float16 as well, so is the second moment of Adam, whose first entry is a thousandth of the
gradient's square: of a gradient below 0.008 it is zero, and epsilon alone divides the step.
Keras scales the loss by itself only where the policy of the whole model is mixed_float16.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Symptom
from gradlog.history.names import EPSILON_FRACTION

_REMEDIES = (
    "Scale the loss: keras.optimizers.LossScaleOptimizer(optimizer), or keras.config.set_dtype_policy before the model "
    "is made, so that compile does.",
    "Use bfloat16, which has the range of float32: mixed_bfloat16.",
    "Keep the weights in float32: mixed_float16, not float16.",
)
_EPSILON = 1e-7  # Keras' default, where the run does not say


@dataclass(frozen=True)
class Underflow:
    """Finds gradients most of whose elements are exactly zero while the others are close to float16's smallest.

    It judges runs in which some layer computes in float16 and no loss scaling is used, as far as the run says. Zeros
    alone are no sign: where ReLU is off, or a token is not used, the gradient is zero in any precision.

    Attributes:
        zero_fraction: Fraction of a kernel's gradient above which most of it is zero.
        mean_abs: Mean absolute value of the elements that are not zero, below which they are close to the smallest.
        min_share: Share of the kernels that must show it.
        epsilons: How many times the optimizer's epsilon a kernel's mean gradient must be for its squares to have
            underflowed where epsilon is larger than their root.
    """

    zero_fraction: float = 0.5
    mean_abs: float = 2.0**-20
    min_share: float = 0.25
    epsilons: float = 10.0
    code = "GL104"
    name = "gradient underflow"
    remedies = _REMEDIES

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields one symptom if the run computes in float16 without loss scaling, and one if its weights are in it."""
        if evidence.kernels and _is_at_risk(evidence.run):
            yield self._of_gradients(evidence)
        if evidence.kernels and evidence.run is not None and "float16" in evidence.run.precision.split(", "):
            yield self._of_squares(evidence)

    def _of_gradients(self, evidence):
        zeros, means = evidence.of_kernels("gradient_zero_fraction"), evidence.of_kernels("gradient_mean_abs")
        with np.errstate(divide="ignore", invalid="ignore"):
            others = np.where(zeros < 1, means / (1 - zeros), 0)
        where = (zeros > self.zero_fraction) & (others < self.mean_abs)
        is_on = (where.mean(axis=1) >= self.min_share) & ~evidence.is_learned
        return Symptom(
            is_on=is_on,
            measured=np.fmax.reduce(np.where(where, zeros, np.nan), axis=1),
            threshold=self.zero_fraction,
            message="Gradients underflow in float16: in {where}, up to {measured} of the elements are exactly zero.",
            remedies=_REMEDIES,
            names=evidence.kernels,
            where=where,
            is_alarm=where.mean(axis=1) >= 0.5,
            is_initial=evidence.is_initial(is_on),
        )

    def _of_squares(self, evidence):
        epsilon = evidence.run.optimizer.get("epsilon", _EPSILON)
        fractions, means = evidence.of_kernels(EPSILON_FRACTION), evidence.of_kernels("gradient_mean_abs")
        is_far = means > self.epsilons * (epsilon if isinstance(epsilon, float) else _EPSILON)
        where = (fractions > self.zero_fraction) & is_far
        is_on = (where.mean(axis=1) >= self.min_share) & ~evidence.is_learned
        return Symptom(
            is_on=is_on,
            measured=np.fmax.reduce(np.where(where, fractions, np.nan), axis=1),
            threshold=self.zero_fraction,
            message="The gradients' squares underflow in float16: in {where}, up to {measured} of all elements have "
            "a second moment below epsilon, which alone divides their steps.",
            remedies=(_REMEDIES[2], _REMEDIES[1]),
            names=evidence.kernels,
            where=where,
            is_alarm=True,
            is_initial=evidence.is_initial(is_on),
            min_logged_steps=1,
        )


def _is_at_risk(run):
    return run is not None and "float16" in run.precision.replace("bfloat16", "") and "loss_scale" not in run.optimizer
