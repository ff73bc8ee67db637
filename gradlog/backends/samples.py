"""Samples: what checks need of a batch, taken in the step."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

SHAPE_OF_TARGETS = (64, 16)  # rows of a batch, and numbers of a row, that are looked at
SIZE_OF_INPUTS = 5  # numbers that are told of the inputs
_MAX_INPUTS = 1 << 16  # that are looked at, but one row at least
_NOT_DENSE = ("RaggedTensor", "SparseTensor", "BCOO")


def batch_of(args: tuple, kwargs: dict) -> tuple | None:
    """Returns (x, y, y_pred, sample_weight), or `None` where the arguments are others than Keras' own."""
    named = dict(zip(("x", "y", "y_pred", "sample_weight"), args, strict=False)) | kwargs
    if len(args) > 4 or set(named) - {"x", "y", "y_pred", "sample_weight"} or not {"y", "y_pred"} <= set(named):
        return None
    return named.get("x"), named["y"], named["y_pred"], named.get("sample_weight")


def have_targets(targets) -> bool:
    """Whether targets are numbers of which `first_targets` can tell."""
    return is_dense(targets) and len(targets.shape) > 0 and is_numeric(targets)


def first_targets(targets) -> Any:
    """Returns the first targets of a batch, float32 [64, 16], with NaN where there are fewer."""
    rows, columns = SHAPE_OF_TARGETS
    taken = ops.cast(targets[:rows], "float32")
    taken = ops.reshape(taken, (ops.shape(taken)[0], -1))[:, :columns]
    taken = ops.concatenate([taken, ops.full((ops.shape(taken)[0], columns), math.nan, "float32")], 1)[:, :columns]
    taken = ops.concatenate([taken, ops.full(SHAPE_OF_TARGETS, math.nan, "float32")], 0)[:rows]
    return ops.reshape(taken, SHAPE_OF_TARGETS)


def have_inputs(inputs) -> bool:
    """Whether inputs are one tensor of numbers, of which `first_inputs` can tell."""
    arrays = [one for one in keras.tree.flatten(inputs) if one is not None]
    if len(arrays) != 1 or not is_dense(arrays[0]):
        return False
    (values,) = arrays
    return len(values.shape) > 1 and None not in values.shape[1:] and is_numeric(values)


def first_inputs(inputs) -> Any:
    """Returns float32 [5], the first attributes of `Inputs`, of a batch's first rows.

    Looks at 64 rows, of large ones at fewer, to the cost of 65,536 numbers.
    """
    (values,) = (one for one in keras.tree.flatten(inputs) if one is not None)
    num_rows = min(SHAPE_OF_TARGETS[0], max(1, _MAX_INPUTS // max(1, math.prod(values.shape[1:]))))
    columns = ops.reshape(ops.cast(values[:num_rows], "float32"), (-1, values.shape[-1]))
    is_finite = ops.isfinite(columns)
    finite = ops.cast(is_finite, "float32")
    squares = ops.sum(ops.square(ops.where(is_finite, columns, ops.zeros_like(columns))), 0)
    numbers = ops.sum(finite, 0)
    means = squares / ops.maximum(numbers, 1.0)
    size, known = ops.sum(ops.ones_like(columns)), ops.sum(numbers)
    mean, column = ops.sum(squares) / ops.maximum(known, 1.0), ops.argmax(means)
    return ops.stack([size, size - known, mean, ops.cast(column, "float32"), ops.max(means)])


def is_dense(tensor) -> bool:
    """Whether something is a tensor whose elements all stand in it."""
    is_array = ops.is_tensor(tensor) or isinstance(tensor, np.ndarray)  # where operations run at once, on JAX
    return is_array and type(tensor).__name__ not in _NOT_DENSE


def is_numeric(tensor) -> bool:
    """Whether a tensor holds floating point numbers or integers."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return keras.backend.is_float_dtype(dtype) or keras.backend.is_int_dtype(dtype)
