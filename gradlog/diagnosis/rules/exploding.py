"""GL102: the gradient, or the step that it makes, is too large.

Why: weights that multiply the gradient by more than one at each layer make it grow with depth (Pascanu, Mikolov and
Bengio 2013, section 2), and a step along a large gradient leads anywhere. How large is large depends on the units of
the loss, so size is judged without units as well: by the elasticity, |gradient| |weights| / loss, and by the step over
the weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence, lasting_median, started_at_zero, trailing_median
from gradlog.diagnosis.rules.rule import Sign

_REMEDIES = (
    "Clip the gradient: keras.optimizers.Adam(..., global_clipnorm=1.0).",
    "Lower the learning rate, or begin with a warm-up.",
    "Initialize with He's or Glorot's weights; large initial weights multiply the gradient layer by layer.",
    "Scale inputs and targets, and add batch normalization.",
)


@dataclass(frozen=True)
class Exploding:
    """Finds gradients that are too large, that grow while the loss does, or that move the weights by their own size.

    Attributes:
        norm: Global norm (after clipping, where the optimizer clips) above which a gradient is large.
        elasticity: The same without units. Both have to be exceeded.
        growth: Factor over the smallest norm so far that is an explosion where the loss grows too.
        loss_growth: Factor over the first loss that makes it so.
        step: Update ratio of a kernel, median of five logged steps, above which a step is of the size of the weights.
    """

    norm: float = 100.0
    elasticity: float = 100.0
    growth: float = 10.0
    loss_growth: float = 1.5
    step: float = 0.3
    code = "GL102"
    sees_broken = True
    name = "exploding gradient"

    def signs(self, evidence: Evidence) -> Iterator[Sign]:
        """Yields the three signs."""
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
        return Sign(
            is_on=_continued(is_large, is_broken),
            measured=np.where(is_large, norm, np.nan),
            threshold=self.norm,
            message="The gradients explode: their norm is {measured}.",
            remedies=_REMEDIES,
            is_alarm=True,
        )

    def _growth(self, evidence, norm):
        finite = np.where(np.isfinite(norm), norm, np.nan)
        median = trailing_median(finite, 3)
        with np.errstate(divide="ignore", invalid="ignore"):
            growth = median / np.fmin.accumulate(np.where(median > 0, median, np.nan)) if len(median) else median
        is_worse = lasting_median(evidence.loss) > self.loss_growth * np.abs(evidence.first_loss)
        return Sign(
            is_on=(growth > self.growth) & is_worse,
            measured=growth,
            threshold=self.growth,
            message="The gradients grow, and the loss with them: their norm is {measured} times what it was.",
            remedies=_REMEDIES,
            is_alarm=True,
        )

    def _step(self, evidence):
        ratios = evidence.medians_of_kernels("update_ratio", 5)
        ratios = np.where(started_at_zero(evidence), np.nan, ratios)
        where = (ratios > self.step) & (evidence.progress < 0.5)[:, None] & ~evidence.is_learned[:, None]
        return Sign(
            is_on=where.any(axis=1),
            measured=np.fmax.reduce(ratios, axis=1),
            threshold=self.step,
            message="The steps explode: one changes {where} by {measured} of its weights.",
            remedies=(_REMEDIES[1], _REMEDIES[0], *_REMEDIES[2:]),
            names=evidence.kernels,
            where=where,
            is_alarm=True,
            least=5,
        )


def _applied_norm(evidence):
    clipped = evidence.scalar("gradient_norm/global_clipped")
    norm = evidence.scalar("gradient_norm/global")
    if np.isnan(norm).all():  # a run logged from elsewhere
        norm = np.sqrt(np.nansum(evidence.of_variables("gradient_norm") ** 2, axis=1))
    return np.where(np.isnan(clipped), norm, clipped)


def _continued(is_large, is_broken):
    """Returns where it is large, and on from there as long as the numbers are broken."""
    result = np.array(is_large, bool)
    for time in np.flatnonzero(is_broken & ~is_large):
        result[time] = time > 0 and result[time - 1]
    return result
