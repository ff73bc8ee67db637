"""GL102: the gradient, or the step it produces, is too large.

Why: weights that multiply the gradient by more than one at each layer make it grow with depth (Pascanu, Mikolov and
Bengio 2013, section 2), and one step along a huge gradient can undo the training so far. How large is too large depends
on the units of the loss, so two measures without units are used as well: the elasticity, |gradient| |weights| / loss,
and the update ratio.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence, started_at_zero
from gradlog.diagnosis.rules.rule import LARGE_STEPS, Symptom
from gradlog.diagnosis.rules.windows import lasting_median, trailing_median

_REMEDIES = (
    "Clip the gradient: keras.optimizers.Adam(..., global_clipnorm=1.0).",
    "Lower the learning rate, or start with a warm-up.",
    "Use He or Glorot initialization: large initial weights multiply the gradient layer by layer.",
    "Normalize inputs and targets, and add batch normalization.",
)


@dataclass(frozen=True)
class Exploding:
    """Finds gradients that are too large, that grow together with the loss, or whose steps rival the weights in size.

    Attributes:
        norm: Global norm above which a gradient is too large; after clipping, if the optimizer clips.
        elasticity: Elasticity that the gradient must exceed as well.
        growth: Factor over the smallest norm so far above which gradients explode, if the loss grows too.
        loss_growth: Factor over the first loss above which the loss counts as growing.
        update_ratio: Update ratio of a kernel above which its steps explode; median of five logged steps.
        calm_ratio: Update ratio of all kernels up to which a large gradient of the first logged steps is a note.
    """

    norm: float = 100.0
    elasticity: float = 100.0
    growth: float = 10.0
    loss_growth: float = 1.5
    update_ratio: float = 0.3
    calm_ratio: float = 0.1
    code = "GL102"
    sees_broken = True
    name = "exploding gradient"
    remedies = _REMEDIES

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields three symptoms."""
        norm = _applied_norm(evidence)
        yield self._size(evidence, norm)
        yield self._growth(evidence, norm)
        if evidence.kernels:
            yield self._step(evidence)

    def _size(self, evidence, norm):
        weights = np.sqrt(np.nansum(evidence.of_variables("weight_norm") ** 2, axis=1))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            elasticity = norm * weights / np.abs(evidence.loss)
        is_large = (norm > self.norm) & (elasticity > self.elasticity) & (evidence.progress < 0.5)
        is_broken = ~np.isfinite(norm) | (evidence.of_variables("gradient_nonfinite") > 0).any(axis=1)
        return Symptom(
            is_on=_continued(is_large, is_broken),
            measured=np.where(is_large, norm, np.nan),
            threshold=self.norm,
            message="The gradients explode: their global norm is {measured}.",
            remedies=_REMEDIES,
            is_alarm=True,
            is_note=evidence.is_early & self._is_calm(evidence),
            is_initial=evidence.is_initial(is_large),
        )

    def _is_calm(self, evidence):
        """Whether all steps so far were small all the same, as those of Adam, which divides by the gradient's size."""
        ratios = np.where(started_at_zero(evidence), np.nan, evidence.of_kernels("update_ratio"))
        was_large = np.logical_or.accumulate((ratios > self.calm_ratio).any(axis=1))
        return (ratios <= self.calm_ratio).any(axis=1) & ~was_large

    def _growth(self, evidence, norm):
        finite = np.where(np.isfinite(norm), norm, np.nan)
        median = trailing_median(finite, 3)
        with np.errstate(divide="ignore", invalid="ignore"):
            growth = median / np.fmin.accumulate(np.where(median > 0, median, np.nan)) if len(median) else median
        is_worse = lasting_median(evidence.loss) > self.loss_growth * np.abs(evidence.first_loss)
        return Symptom(
            is_on=(growth > self.growth) & is_worse & ~evidence.is_good & ~evidence.is_low,
            measured=growth,
            threshold=self.growth,
            message="The gradients and the loss both grow: the global norm is {measured} times its smallest value.",
            remedies=_REMEDIES,
            is_alarm=True,
        )

    def _step(self, evidence):
        ratios = evidence.medians_of_kernels("update_ratio", 5)
        ratios = np.where(started_at_zero(evidence), np.nan, ratios)
        where = (ratios > self.update_ratio) & (evidence.progress < 0.5)[:, None] & ~evidence.is_learned[:, None]
        return Symptom(
            is_on=where.any(axis=1),
            measured=np.fmax.reduce(ratios, axis=1),
            threshold=self.update_ratio,
            message="The steps explode: the update ratio of {where} is {measured}.",
            remedies=(_REMEDIES[1], _REMEDIES[0], *_REMEDIES[2:]),
            names=evidence.kernels,
            where=where,
            is_alarm=True,
            min_logged_steps=5,
            is_note=evidence.is_early,
            kind=LARGE_STEPS,
        )


def _applied_norm(evidence):
    clipped = evidence.scalar("gradient_norm/global_clipped")
    norm = evidence.scalar("gradient_norm/global")
    if np.isnan(norm).all():  # a run that another program logged
        norm = np.sqrt(np.nansum(evidence.of_variables("gradient_norm") ** 2, axis=1))
    return np.where(np.isnan(clipped), norm, clipped)


def _continued(is_large, is_broken):
    """Returns where the norm is large, and the steps right after as long as their numbers are not finite."""
    result = np.array(is_large, bool)
    for time in np.flatnonzero(is_broken & ~is_large):
        result[time] = time > 0 and result[time - 1]
    return result
