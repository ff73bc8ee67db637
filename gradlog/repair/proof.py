"""Proof: original and change from the same seeds, on the same rows held out."""

import itertools
from dataclasses import dataclass

import numpy as np

_MAX_SIGNS = 16  # pairs of which every permutation is computed


@dataclass(frozen=True)
class Proof:
    """Pairs of scores, original and changed, of the same seeds.

    Attributes:
        seeds: Tuple of integers.
        before: Tuple of the original's scores.
        after: Tuple of the changed training's scores.

    Example:
    >>> proof = Proof((0, 1, 2), (0.1, 0.2, 0.1), (0.9, 0.9, 0.8))
    >>> proof.p_value, proof.is_better(0.05)
    (0.125, True)
    """

    seeds: tuple[int, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def differences(self) -> np.ndarray:
        """By how much each pair has improved, float64 [n]; a training that failed counts as far below."""
        before, after = (np.nan_to_num(np.array(each, np.float64), neginf=-1e6) for each in (self.before, self.after))
        return after - before

    @property
    def p_value(self) -> float:
        """The exact paired permutation test, one-sided (Fisher 1935, section 21).

        How often the sum of the differences would be as large if the sign of each were tossed: in [2 ** -n, 1].
        """
        differences = self.differences[:_MAX_SIGNS]
        signs = np.array(list(itertools.product((1, -1), repeat=len(differences))))
        sums = signs @ differences
        return float((sums >= differences.sum() - 1e-12).mean())

    @property
    def smallest_p_value(self) -> float:
        """The smallest that so many pairs can show."""
        return 0.5 ** len(self.seeds)

    def is_better(self, margin: float) -> bool:
        """Whether the change is better, and the mean by more than a margin.

        Every pair has to improve, or the test to say so at 0.05; one pair is not enough.
        """
        is_sure = (self.differences > 0).all() or self.p_value <= 0.05
        return len(self.seeds) >= 2 and bool(is_sure) and float(self.differences.mean()) > margin
