"""GL205: the residual stream grows with depth, or its tokens become alike.

Why: each block adds to the stream. If it adds much, later blocks change a large stream little, and the network is
hardly deeper than its first blocks (De and Smith 2020; Liu et al. 2020, "Understanding the difficulty of training
Transformers", section 4). Attention alone drives all tokens to one vector, doubly exponentially with depth (Dong et al.
2021, "Attention is not all you need", theorem 2.2). Single large activations are normal (Sun et al. 2024).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Symptom
from gradlog.history.names import STREAM_COSINE, STREAM_RMS

_GROWS = (
    "Normalize at the beginning of each block, and after the last (pre-norm).",
    "Start the last kernel of each branch with weights divided by the square root of twice the number of blocks.",
    "Lower the learning rate, or start with a warm-up.",
)
_ALIKE = (
    "Lower the learning rate, or start with a warm-up.",
    "Normalize at the beginning of each block (pre-norm), so that the tokens pass along the skip connections.",
    "Use fewer blocks, or start with larger weights of the embeddings.",
)


@dataclass(frozen=True)
class ResidualStream:
    """Finds a stream that grows from the first to the last block, or whose tokens are alike, in a run that is stuck.

    Attributes:
        growth: Root mean square of the last block over that of the first, above which the stream grows.
        cosine: Mean cosine of two tokens, in the last block, above which they are alike.
        progress: Fraction by which the loss must have fallen for the network to count as learning.
        min_blocks: Networks with fewer blocks are not judged by growth.
        min_steps: Optimizer steps to wait before tokens are judged: at first they may differ in little.
    """

    growth: float = 100.0
    cosine: float = 0.99
    progress: float = 0.2
    min_blocks: int = 2
    min_steps: int = 50
    code = "GL205"
    name = "residual stream degenerates"
    remedies = tuple(dict.fromkeys((*_GROWS, *_ALIKE)))

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields two symptoms, if the stream was looked at."""
        is_stuck = evidence.is_stuck(self.progress)
        names, sizes = evidence.layers(STREAM_RMS)
        if len(names) >= self.min_blocks:
            yield self._growing(evidence, names, sizes, is_stuck)
        names, cosines = evidence.layers(STREAM_COSINE)
        if names:
            yield self._alike(evidence, names, cosines, is_stuck & evidence.is_after(self.min_steps))

    def _growing(self, evidence, names, sizes, is_stuck):
        growth = sizes / sizes[:, :1]
        where = (growth > self.growth) & is_stuck[:, None]
        return Symptom(
            is_on=where.any(axis=1),
            measured=np.fmax.reduce(growth, axis=1),
            threshold=self.growth,
            message="The residual stream grows with depth: in {where} it is {measured} times that of the first block.",
            remedies=_GROWS,
            names=names,
            where=where,
            is_initial=evidence.is_initial((growth > self.growth).any(axis=1)),
        )

    def _alike(self, evidence, names, cosines, is_stuck):
        where = (cosines > self.cosine) & (is_stuck & (cosines[:, -1] > self.cosine))[:, None]
        return Symptom(
            is_on=where.any(axis=1),
            measured=cosines[:, -1],
            threshold=self.cosine,
            message="The tokens become alike: in {where}, their cosine is {measured}.",
            remedies=_ALIKE,
            names=names,
            where=where,
            min_logged_steps=5,
        )
