"""Packing: many small tensors as one, since each that a step returns costs the host as much as several operations."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

_PACKED, _APART = "packed", "apart/"
_DTYPES = (tf.float32, tf.float64, tf.int32, tf.int64)


class _Place(NamedTuple):
    """Where a tensor stands in the packed one: its first number and the end, its dtype and its shape."""

    start: int
    end: int
    dtype: np.dtype
    shape: tuple[int, ...]


class Packing:
    """Packs the tensors of a graph into one, bit by bit, and knows on the host which is which.

    Attributes:
        num_bytes: Integer, how many bytes they take, those apart included.
    """

    def __init__(self) -> None:
        self.num_bytes = 0
        self._places: dict[str, _Place] = {}

    def packed(self, tensors: dict[str, tf.Tensor], apart: tuple[str, ...] = ()) -> dict[str, tf.Tensor]:
        """Returns the tensors to return in place of some, by name.

        Args:
            tensors: Dictionary of tensors by name.
            apart: Names of tensors to be returned as they are. So are those of other dtypes than float32, float64,
                int32 and int64, and of shapes that are not known.
        """
        parts, outputs, end = [], {}, 0
        for name, tensor in tensors.items():
            size = tensor.shape.num_elements()
            self.num_bytes += (size or 0) * tensor.dtype.size
            if name in apart or size is None or tensor.dtype not in _DTYPES:
                outputs[_APART + name] = tensor
                continue
            parts.append(tf.reshape(tf.bitcast(tensor, tf.float32), [-1]))
            start, end = end, end + size * tensor.dtype.size // 4
            self._places[name] = _Place(start, end, tensor.dtype.as_numpy_dtype, tuple(tensor.shape))
        return outputs | ({_PACKED: tf.concat(parts, 0)} if parts else {})

    def unpacked(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns arrays [K, ...] by the names that the tensors had, of K times what was returned."""
        found = {name.removeprefix(_APART): array for name, array in arrays.items() if name != _PACKED}
        for name, place in self._places.items() if _PACKED in arrays else ():
            numbers = arrays[_PACKED][:, place.start : place.end]
            if np.dtype(place.dtype).itemsize == 8:  # may begin where a number of eight bytes may not stand
                numbers = numbers.copy()
            found[name] = numbers.view(place.dtype).reshape(len(numbers), *place.shape)
        return found
