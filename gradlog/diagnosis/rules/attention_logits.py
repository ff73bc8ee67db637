"""GL204: the logits of attention grow without bound.

Why: large logits make the softmax a choice of one token, whose slope is zero, and in low precision they overflow.
Trainings diverged after the largest logit had passed 1e4 (Wortsman et al. 2023, "Small-scale proxies for large-scale
Transformer training instabilities", section 3.1.1; Dehghani et al. 2023, "Scaling vision transformers to 22 billion
parameters", section 2).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.attention_collapsed import REMEDIES
from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Symptom
from gradlog.history.names import ATTENTION_LOGIT


@dataclass(frozen=True)
class AttentionLogits:
    """Finds layers whose largest attention logit is far above what a softmax tells apart.

    Where the network has learned all the same, this is a note up to the alarm.

    Attributes:
        warning: Largest absolute logit, after scaling and before masking, from which it is a warning.
        alarm: The same from which it is an alarm.
    """

    warning: float = 100.0
    alarm: float = 1000.0
    code = "GL204"
    name = "attention logits grow"
    remedies = REMEDIES

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields one symptom, if the attention was looked at."""
        names, logits = evidence.layers(ATTENTION_LOGIT)
        if not names:
            return
        where, largest = logits >= self.warning, np.fmax.reduce(logits, axis=1)
        yield Symptom(
            is_on=np.any(where, axis=1),
            measured=largest,
            threshold=self.warning,
            message="The attention logits of {where} are large: up to {measured}.",
            remedies=(REMEDIES[1], REMEDIES[0], REMEDIES[2]),
            names=names,
            where=where,
            is_alarm=largest >= self.alarm,
            is_note=evidence.is_good & (largest < self.alarm),
            is_initial=evidence.is_initial(np.any(where, axis=1)),
        )
