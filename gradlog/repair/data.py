"""Data: the rows to train with, and those held out to compare trainings by."""

from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np

_HELD_OUT = 0.2  # share of the rows, where no others are given
_MAX_BYTES = 1 << 30  # of a dataset that is read into memory
_MIN_ROWS = 10


class Rows(NamedTuple):
    """Inputs and targets, NumPy arrays in the structures that the model takes."""

    x: object
    y: object

    def __len__(self):
        return len(keras.tree.flatten(self.x)[0])

    def at(self, index: np.ndarray | slice) -> "Rows":
        """Returns some of the rows, by their numbers, a slice, or which to take."""
        return Rows(*(keras.tree.map_structure(lambda one: one[index], part) for part in (self.x, self.y)))


class Data(NamedTuple):
    """What a training gets.

    Attributes:
        train: The `Rows` to train with.
        held_out: The `Rows` to compare trainings by, all of finite numbers.
        batch_size: Integer.
        is_shuffled: Boolean, whether their order changes in every epoch, as that of arrays in `fit`.
        note: String, what a reader of results must know, or empty.
    """

    train: Rows
    held_out: Rows
    batch_size: int
    is_shuffled: bool
    note: str = ""


def data_of(x, y, validation_data, batch_size: int | None) -> Data:
    """Returns the data of a training.

    Args:
        x: Arrays, or a dataset of batches (inputs, targets).
        y: Arrays, or `None` where `x` has the targets.
        validation_data: A pair of arrays, or a dataset of batches; `None` to hold out a fifth of the rows.
        batch_size: Integer, or `None` for that of the dataset's batches, else 32.

    Raises:
        ValueError: There are too few rows, or not as many inputs as targets.
        TypeError: What should be arrays or batches is neither.
    """
    rows, found, note = _read(x, y)
    size = batch_size or found or 32
    if validation_data is not None:
        pair = validation_data if isinstance(validation_data, (tuple, list)) else (validation_data, None)
        if len(pair) != 2:
            raise ValueError(f"`validation_data` takes inputs and targets. Received: {len(pair)} values")
        held_out, _, more = _read(*pair)
        return Data(_checked(rows), _checked(finite(held_out), 1), size, found is None, note or more)
    _checked(rows)
    order = np.random.default_rng(0).permutation(len(rows))
    number = max(1, round(_HELD_OUT * len(rows)))
    train = np.sort(order[number:])
    held_out = finite(rows.at(np.sort(order[:number])))
    return Data(rows.at(train), _checked(held_out, 1), size, found is None, note)


def finite(rows: Rows) -> Rows:
    """Returns the rows that hold no NaN and no infinite number."""
    return rows.at(is_finite(rows))


def is_finite(rows: Rows) -> np.ndarray:
    """Returns which rows hold finite numbers alone, Boolean [n]."""
    found = np.ones(len(rows), bool)
    for one in keras.tree.flatten(tuple(rows)):
        if np.issubdtype(one.dtype, np.inexact):
            found &= np.isfinite(one.reshape(len(one), -1)).all(axis=1)
    return found


class Batches(keras.utils.PyDataset):
    """Batches of rows in an order that depends on a seed alone, on every engine.

    Args:
        rows: `Rows`.
        batch_size: Integer.
        seed: Integer; `None` for the order in which they stand.
    """

    def __init__(self, rows: Rows, batch_size: int, seed: int | None):
        super().__init__(workers=1, use_multiprocessing=False)
        self._rows, self._size = rows, batch_size
        self._random = None if seed is None else np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self):
        return -(-len(self._rows) // self._size)

    def __getitem__(self, index):
        return tuple(self._rows.at(self._order[index * self._size : (index + 1) * self._size]))

    def on_epoch_end(self) -> None:
        """Takes the rows in another order from now on."""
        number = len(self._rows)
        self._order = np.arange(number) if self._random is None else self._random.permutation(number)


def _read(x, y):
    """Returns the `Rows`, the size of a dataset's batches or `None`, and what a reader must know."""
    if y is not None:
        return Rows(_arrays(x), _arrays(y)), None, ""
    parts, note = [], ""
    for batch in _taken(x):
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise TypeError(
                "Expected arrays `x` and `y`, or a dataset of batches (inputs, targets). Received: x of type "
                f"{type(x).__name__}, without `y`"
            )
        parts.append(Rows(*map(_arrays, batch)))
        if sum(one.nbytes for part in parts for one in keras.tree.flatten(tuple(part))) > _MAX_BYTES:
            note = f"Of the dataset, the first {sum(map(len, parts)):,} rows are used, which take 1 GiB of memory."
            break
    if not parts:
        raise ValueError("Expected a dataset of batches (inputs, targets). Received: none")
    joined = [keras.tree.map_structure(_joined, *part) for part in zip(*parts, strict=True)]
    return Rows(*joined), len(parts[0]), note


def _joined(*arrays):
    return np.concatenate(arrays)


def _taken(dataset) -> Iterator:
    try:
        len(dataset)
    except TypeError as error:  # also where the number of batches is not known
        if "infinite" in str(error):
            raise ValueError("Expected a dataset that ends. Leave out its `repeat()`.") from error
    try:
        return iter(dataset)
    except TypeError as error:
        raise TypeError(f"Expected arrays, or a dataset of batches. Received: {type(dataset).__name__}") from error


def _arrays(values):
    """Returns a structure of arrays; a list of numbers is an array, and no structure."""
    if isinstance(values, dict):
        return {name: _arrays(one) for name, one in values.items()}
    if isinstance(values, (list, tuple)) and any(np.ndim(one) for one in values):
        return tuple(map(_arrays, values))  # TensorFlow's generators do not accept lists
    return np.asarray(values)


def _checked(rows, min_rows=_MIN_ROWS):
    for one in keras.tree.flatten(tuple(rows)):
        if np.ndim(one) == 0:
            raise TypeError(f"Expected arrays `x` and `y` with a row for each example. Received: {one[()]!r}")
    sizes = {len(one) for one in keras.tree.flatten(tuple(rows))}
    if len(sizes) != 1 or min(sizes) < min_rows:
        said = ", ".join(map(str, sorted(sizes)))
        raise ValueError(f"Expected as many inputs as targets, {min_rows} rows or more. Received: {said} rows")
    return rows
