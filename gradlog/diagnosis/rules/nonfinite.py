"""GL103: a gradient or the loss is NaN or infinite.

Why: one NaN reaches every weight at the next step, and no step leads back from there. The first variable that has one
is where to look: overflow of an exponential, logarithm or division of zero, or a step that was too large.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Sign

_LOSS = "train/loss"
_REMEDIES = (
    "Lower the learning rate, or clip the gradient: global_clipnorm=1.0.",
    "Use losses on logits (from_logits=True) in place of log and softmax of your own; add a small number before log, "
    "sqrt and division.",
    "Look for NaN in the data, and scale the inputs.",
    "Find the operation with tf.debugging.enable_check_numerics().",
)


@dataclass(frozen=True)
class Nonfinite:
    """Finds the first variables whose gradient is not finite, at once; or the loss, where it is that alone.

    Attributes:
        elements: Number of elements above which it is so.
    """

    elements: int = 0
    code = "GL103"
    sees_broken = True
    name = "non-finite gradient"

    def signs(self, evidence: Evidence) -> Iterator[Sign]:
        """Yields the one sign."""
        counts = np.nan_to_num(evidence.of_variables("gradient_nonfinite"))
        is_loss_broken = _is_loss_broken(evidence)
        is_in = np.concatenate([counts > self.elements, is_loss_broken[:, None]], axis=1)
        is_on = is_in.any(axis=1)
        first = is_in[np.argmax(is_on)] if is_on.any() else is_in[:1].any(axis=0)
        if first[:-1].any():
            first = np.append(first[:-1], False)  # the loss is NaN because the weights are
        yield Sign(
            is_on=is_on,
            measured=np.maximum(counts.sum(axis=1), is_loss_broken),
            threshold=self.elements,
            message="NaN or infinite numbers in {where}: {measured} of them at the worst step.",
            remedies=_REMEDIES,
            names=(*evidence.variables, _LOSS),
            where=np.broadcast_to(first, is_in.shape),
            is_alarm=True,
            least=1,
        )


def _is_loss_broken(evidence):
    series = evidence.history.scalars.get(_LOSS)
    if series is None:
        return np.zeros(len(evidence.steps), bool)
    values = np.asarray(series.values, np.float64)
    return np.isin(evidence.steps, np.asarray(series.steps)[~np.isfinite(values)])
