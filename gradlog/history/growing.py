"""Series that grow: the values of one tag so far, by kind, each of which becomes a `Series` of a `History`."""

import array
from collections.abc import Collection
from typing import Any

import numpy as np

from gradlog.history.history import Series

_FIRST_ROWS, _MAX_ROWS = 1 << 12, 1 << 20  # of a block of memory; the largest are 25 MB


class Growing:
    """The values of one tag so far, in the order in which they came.

    Attributes:
        steps: Array of integers, one for each value.
        values: The values.
    """

    def __init__(self):
        self.steps, self.values = array.array("q"), []

    def add(self, step: int, value: Any) -> None:
        """Adds a value.

        Raises:
            OverflowError: The step does not fit in 64 bits; nothing has changed then.
        """
        self.steps.append(step)
        self.values.append(value)

    def series(self) -> Series:
        """Returns a copy, sorted by step; of several values at one step, the last."""
        steps, order = self._order()
        return Series(steps, self.values[:] if order is None else [self.values[index] for index in order])

    def keep(self, steps: Collection[int]) -> None:
        """Forgets the values of all steps but these."""
        kept = [index for index, step in enumerate(self.steps) if step in steps]
        self.steps[:] = array.array("q", [self.steps[index] for index in kept])
        self.values[:] = self._chosen(kept)

    def _chosen(self, indices):
        return [self.values[index] for index in indices]

    def _order(self):
        steps = np.array(self.steps, np.int64)
        if np.all(steps[1:] > steps[:-1]):
            return steps, None
        order = np.argsort(steps, kind="stable")
        is_last = np.append(steps[order][1:] != steps[order][:-1], True)
        return steps[order[is_last]], order[is_last]


class Scalars(Growing):
    """Numbers; `values` are their bytes, float32, one after the other."""

    def __init__(self):
        super().__init__()
        self.values = bytearray()

    def add(self, step: int, value: bytes) -> None:
        """Adds a number, given as the four bytes of a float32."""
        self.steps.append(step)
        self.values += value

    def series(self) -> Series:
        """Returns the numbers as an array."""
        steps, order = self._order()
        numbers = np.frombuffer(bytes(self.values), "<f4")
        return Series(steps, numbers.copy() if order is None else numbers[order])

    def _chosen(self, indices):
        return b"".join(self.values[4 * index : 4 * index + 4] for index in indices)


class Texts(Growing):
    """Strings."""


class Tables(Growing):
    """The tables of all statistics; `values` are (variables, columns, statistics [V, S])."""


class Attentions(Growing):
    """What each attention head did; `values` are (layers, numbers [A, H, 3])."""


class Histograms(Growing):
    """Rows [k, 3]; `values` are parts of the larger blocks of a `RowStore`."""

    def __init__(self, store: "RowStore"):
        super().__init__()
        self.store = store

    def add(self, step: int, value: np.ndarray) -> None:
        """Adds rows, float64 [k, 3], which are copied."""
        super().add(step, self.store.keep(memoryview(value.tobytes()), len(value)))


class RowStore:
    """Keeps the rows of all histograms in few large blocks: a hundred thousand small ones take longer to get."""

    def __init__(self):
        self._used, self._rows, self._bytes = 0, np.empty((0, 3)), memoryview(b"")

    def keep(self, content: memoryview, num_rows: int) -> np.ndarray:
        """Returns a copy of rows, float64 [`num_rows`, 3], given as bytes."""
        start, end = self._used, self._used + num_rows
        if end > len(self._rows):
            self._rows = np.empty((max(num_rows, _FIRST_ROWS, min(2 * len(self._rows), _MAX_ROWS)), 3))
            self._bytes = memoryview(self._rows).cast("B")
            start, end = 0, num_rows
        self._bytes[start * 24 : end * 24] = content
        self._used = end
        return self._rows[start:end]
