"""Inputs: how large the numbers of one input of a model are."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Inputs:
    """What is told of one input, from its first rows. Its columns are those of its last axis.

    Attributes:
        size: Integer, how many numbers were looked at.
        num_nonfinite: Integer, how many of them are NaN or infinite; the others are not about them.
        mean_square: Number, at least 0.
        column: Integer, the column with the largest mean square.
        column_mean_square: Number, its mean square.
        constant: The columns of a table that hold the same number in each row; empty if they were not looked for.
        num_columns: Integer, of a table; 0 if they were not looked for.
    """

    size: int = 0
    num_nonfinite: int = 0
    mean_square: float = 0.0
    column: int = 0
    column_mean_square: float = 0.0
    constant: tuple[int, ...] = ()
    num_columns: int = 0

    @classmethod
    def of(cls, values: np.ndarray) -> "Inputs":
        """Returns what is told of an array [n, ..., columns]; of one that holds no numbers, nothing."""
        if values.dtype.kind not in "fiub" or not values.size:
            return cls()
        columns = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
        is_finite = np.isfinite(columns)
        squares = np.square(np.where(is_finite, columns, 0), dtype=np.float64).sum(axis=0)
        means = squares / np.maximum(is_finite.sum(axis=0), 1)
        is_constant = (columns == columns[:1]).all(axis=0) if values.ndim <= 2 else np.zeros(0)
        return cls(
            size=values.size,
            num_nonfinite=int(values.size - is_finite.sum()),
            mean_square=float(squares.sum() / max(is_finite.sum(), 1)),
            column=int(means.argmax()),
            column_mean_square=float(means.max()),
            constant=tuple(int(one) for one in np.flatnonzero(is_constant)),
            num_columns=len(is_constant),
        )
