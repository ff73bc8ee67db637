"""Series that grow: what was read of one tag so far, by kind, and how each becomes a `Series` of a `History`."""

import array
import json

import numpy as np
from tensorboard.compat.proto import summary_pb2

from gradlog.events import decoding
from gradlog.history.history import Series
from gradlog.history.names import FORMAT_VERSION

_FIRST_ROWS, _MOST_ROWS = 1 << 12, 1 << 20  # of a block of memory; the largest are 25 MB


class Growing:
    """What was read of one tag so far, in the order in which it was written.

    Attributes:
        steps: Array of integers.
        values: Of as many values.
    """

    def __init__(self):
        self.steps, self.values = array.array("q"), []

    def add(self, step: int, value: summary_pb2.Summary.Value) -> None:
        """Takes in a value.

        Raises:
            ValueError: it is malformed; then nothing has changed.
        """
        decoded = self._decoded(value)
        self.steps.append(step)
        self.values.append(decoded)

    def series(self) -> Series:
        """Returns what is here by rising step; of two values at one step, the one that came later."""
        steps, order = self._order()
        return Series(steps, self.values[:] if order is None else [self.values[index] for index in order])

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

    def add(self, step, value):
        """Takes in a value."""
        number = decoding.number(value)
        self.steps.append(step)
        self.values += number

    def series(self):
        """Returns the numbers as an array."""
        steps, order = self._order()
        numbers = np.frombuffer(bytes(self.values), "<f4")
        return Series(steps, numbers.copy() if order is None else numbers[order])


class Texts(Growing):
    """Strings."""

    _decoded = staticmethod(decoding.text)


class Histograms(Growing):
    """Rows [k, 3]; `values` are parts of the larger blocks of a `RowStore`."""

    def __init__(self, store):
        super().__init__()
        self.store = store

    def _decoded(self, value):
        rows = decoding.rows(value)
        return self.store.keep(memoryview(rows.tobytes()), len(rows))


class RowStore:
    """Keeps the rows of all histograms in few large blocks: a hundred thousand small ones take longer to get."""

    def __init__(self):
        self._used, self._rows, self._bytes = 0, np.empty((0, 3)), memoryview(b"")

    def keep(self, content: memoryview, num_rows: int) -> np.ndarray:
        """Returns a copy of rows, float64 [`num_rows`, 3], of which the bytes are given."""
        start, end = self._used, self._used + num_rows
        if end > len(self._rows):
            self._rows = np.empty((max(num_rows, _FIRST_ROWS, min(2 * len(self._rows), _MOST_ROWS)), 3))
            self._bytes = memoryview(self._rows).cast("B")
            start, end = 0, num_rows
        self._bytes[start * 24 : end * 24] = content
        self._used = end
        return self._rows[start:end]


class Tables(Growing):
    """The table of all statistics; `values` are (variables, columns, statistics [V, S])."""

    def __init__(self):
        super().__init__()
        self._names = {}

    def _decoded(self, value):
        content = value.metadata.plugin_data.content
        names = self._names.get(content) or table_names(content)
        table = decoding.array(value.tensor)
        if table.shape != (len(names[0]), len(names[1])):
            raise ValueError(f"a table of {len(names[0])} variables and {len(names[1])} statistics is {table.shape}")
        if table.dtype.kind != "f":
            raise ValueError(f"a table holds floating-point numbers, this one {table.dtype}")
        self._names[content] = names
        return *names, table


def table_names(content: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the names of a table's variables and statistics, from the metadata it came with.

    Raises:
        ValueError: they are malformed, or of a format that is newer than this gradlog.
    """
    try:
        described = json.loads(content)
        lists, version = (described["variables"], described["statistics"]), described.get("version", FORMAT_VERSION)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("a table does not name its variables and statistics") from error
    if version != FORMAT_VERSION:
        raise ValueError(f"it is of format {version!r:.40}, this gradlog reads {FORMAT_VERSION}; update gradlog")
    for names in lists:
        is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not is_list or len(set(names)) < len(names):
            raise ValueError("the names in a table are not different strings")
    return tuple(map(tuple, lists))
