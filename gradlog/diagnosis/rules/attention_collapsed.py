"""GL203: attention has collapsed to one token.

Why: attention that falls on one token alone has an entropy of zero, and its softmax no slope, so query and key learn
nothing any more; it goes along with trainings that oscillate or diverge (Zhai et al. 2023, "Stabilizing Transformer
training by preventing attention entropy collapse", section 3). A network that has learned may attend to one token, as
to the one before; that is why the loss counts as well. Attention to the first token is normal (Xiao et al. 2024).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Symptom
from gradlog.history.names import ATTENTION_ENTROPY

REMEDIES = (
    "Lower the learning rate, or start with a warm-up.",
    "Normalize query and key before their product: QK normalization (Henry et al. 2020; Dehghani et al. 2023).",
    "Divide the product by the square root of the size of a head, and start query and key with small weights.",
)


@dataclass(frozen=True)
class AttentionCollapsed:
    """Finds layers whose attention goes to one token while the loss is not falling.

    Attributes:
        entropy: Entropy over the largest possible, mean over heads and queries, below which attention has collapsed.
        progress: Fraction by which the loss must have fallen for the network to count as learning.
        min_steps: Optimizer steps to wait before judging.
        min_logged_steps: Logged steps in a row that make a finding.
    """

    entropy: float = 0.1
    progress: float = 0.2
    min_steps: int = 50
    min_logged_steps: int = 5
    code = "GL203"
    name = "attention collapsed to one token"
    remedies = REMEDIES

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields one symptom, if the attention was looked at."""
        names, entropy = evidence.layers(ATTENTION_ENTROPY)
        if not names:
            return
        is_stuck = evidence.is_stuck(self.progress) & evidence.is_after(self.min_steps)
        where = (entropy < self.entropy) & is_stuck[:, None]
        yield Symptom(
            is_on=np.any(where, axis=1),
            measured=np.fmin.reduce(np.where(where, entropy, np.nan), axis=1),
            threshold=self.entropy,
            message="The attention of {where} has collapsed to one token: its entropy is {measured} of the largest.",
            remedies=REMEDIES,
            names=names,
            where=where,
            is_lower_worse=True,
            min_logged_steps=self.min_logged_steps,
            is_initial=evidence.is_initial(np.any(entropy < self.entropy, axis=1)),
        )
