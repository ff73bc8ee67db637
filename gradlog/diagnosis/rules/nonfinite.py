"""GL103: a gradient or the loss is NaN or infinite.

Why: one NaN spreads to every weight at the next step, and training cannot recover. The first variable with a NaN shows
where to look: an overflowing exponential, a logarithm of zero or division by zero, or a step that was too large.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Symptom

_LOSS = "train/loss"
_REMEDIES = (
    "Lower the learning rate, or clip the gradient: global_clipnorm=1.0.",
    "Use losses on logits (from_logits=True) instead of your own log and softmax; add a small number before log, sqrt "
    "and division.",
    "Check the data for NaN, and normalize the inputs.",
    "Find the operation: tf.debugging.enable_check_numerics() on TensorFlow, JAX_DEBUG_NANS=1 on JAX, "
    "torch.autograd.set_detect_anomaly(True) on PyTorch.",
)


@dataclass(frozen=True)
class Nonfinite:
    """Finds the first variables whose gradient is not finite, or the loss if only the loss is not; at once.

    Attributes:
        max_elements: Number of non-finite elements that a gradient may have.
    """

    max_elements: int = 0
    code = "GL103"
    sees_broken = True
    name = "non-finite gradient"
    remedies = _REMEDIES

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields one symptom."""
        counts = np.nan_to_num(evidence.of_variables("gradient_nonfinite"))
        is_loss_broken = _is_loss_broken(evidence)
        is_in = np.concatenate([counts > self.max_elements, is_loss_broken[:, None]], axis=1)
        is_on = np.any(is_in, axis=1)
        first = is_in[np.argmax(is_on)] if is_on.any() else np.any(is_in[:1], axis=0)
        if first[:-1].any():
            first = np.append(first[:-1], False)  # the loss is NaN because the weights are NaN
        yield Symptom(
            is_on=is_on,
            measured=np.maximum(counts.sum(axis=1), is_loss_broken),
            threshold=self.max_elements,
            message="NaN or infinite values in {where}: {measured} of them at the worst step.",
            remedies=_REMEDIES,
            names=(*evidence.variables, _LOSS),
            where=np.broadcast_to(first, is_in.shape),
            is_alarm=True,
            min_logged_steps=1,
        )


def _is_loss_broken(evidence):
    series = evidence.history.scalars.get(_LOSS)
    if series is None:
        return np.zeros(len(evidence.steps), bool)
    values = np.asarray(series.values, np.float64)
    return np.isin(evidence.steps, np.asarray(series.steps)[~np.isfinite(values)])
