"""GL404: the loss falls, but the accuracy stays that of a constant answer.

Why: a loss that has halved has learned to tell the classes apart, so the accuracy has to rise with it. If it does not,
what the loss sees is not what the metric counts: every prediction is the same, as from softmax over one unit, where
Keras computes the cross-entropy from the logits behind it; or the labels have another form than the outputs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Symptom
from gradlog.diagnosis.rules.windows import trailing, trailing_median

_WINDOW = 10
_REMEDIES = (
    "Look at the predictions: if all are the same, the activation of the output does not suit the loss.",
    "Compare the labels with the outputs: class numbers or one-hot rows, 0 and 1 or -1 and 1.",
    "Check what the metric counts: BinaryAccuracy takes outputs above 0.5 for a yes; for logits, set threshold=0.",
)


@dataclass(frozen=True)
class ConstantAnswer:
    """Finds a loss that has halved although the accuracy is no better than always guessing the most frequent class.

    The rule applies to models with one output, if the run knows how frequent that class is. If one class makes up most
    of the data, the loss may halve before the accuracy rises.

    Attributes:
        progress: Fraction by which the loss must have fallen; a cross-entropy also below that of guessing.
        max_share: Share of the most frequent class up to which this is judged.
        margin: Accuracy above that share, and above that of the first five logged steps, that still counts as a
            constant answer, since the share is that of 64 rows; median of ten logged steps.
    """

    progress: float = 0.5
    max_share: float = 0.7
    margin: float = 0.1
    code = "GL404"
    name = "loss falls, accuracy does not rise"
    remedies = _REMEDIES

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields one symptom, if the run says how frequent its classes are."""
        shares = [one.majority for one in evidence.run.outputs] if evidence.run is not None else []
        if evidence.accuracy is None or len(shares) != 1 or shares[0] is None or not shares[0] <= self.max_share:
            return
        (share,) = shares
        is_high = trailing_median(evidence.loss, 3) >= (1 - self.progress) * evidence.guess  # where that is known
        is_full = np.isfinite(trailing(evidence.accuracy, _WINDOW)).all(axis=1)
        accuracy, first = trailing_median(evidence.accuracy, _WINDOW), np.median(evidence.accuracy[:5])
        limit = min(share, first) + self.margin
        yield Symptom(
            is_on=is_full & (accuracy <= limit) & (evidence.progress > self.progress) & ~is_high,
            measured=accuracy,
            threshold=limit,
            message=f"The loss has halved, but the accuracy is {{measured}}: always answering the most frequent of the "
            f"classes would give about {share:.2g}.",
            remedies=_REMEDIES,
            is_lower_worse=True,
            window=_WINDOW,
        )
