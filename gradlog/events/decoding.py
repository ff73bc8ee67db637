"""Decoding: TensorBoard's tensors and old histograms as NumPy arrays, and nothing that is larger than what it holds."""

import functools
import json
import math
import struct

import numpy as np
from tensorboard.compat.proto import summary_pb2, tensor_pb2, types_pb2

from gradlog.history.names import ATTENTION_VALUES, FORMAT_VERSION

# Where a tensor of each type keeps its numbers, if not as bytes.
_FIELDS = {
    types_pb2.DT_FLOAT: ("float_val", "<f4"),
    types_pb2.DT_DOUBLE: ("double_val", "<f8"),
    types_pb2.DT_INT32: ("int_val", "<i4"),
    types_pb2.DT_INT64: ("int64_val", "<i8"),
}
_FLOAT = struct.Struct("<f")
_MAX_REPEATED = 1 << 20  # elements that a single number may stand for


def array(tensor: tensor_pb2.TensorProto) -> np.ndarray:
    """Returns the numbers of a tensor, in its shape.

    Raises:
        ValueError: its bytes do not fit its shape or type, or it is much larger than its bytes are.
    """
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    if tensor.dtype not in _FIELDS:
        return _of_rare_type(tensor, shape)
    field, dtype = _FIELDS[tensor.dtype]
    content = tensor.tensor_content
    numbers = np.frombuffer(content, dtype) if content else np.array(getattr(tensor, field), dtype)
    if numbers.size == 1 < math.prod(shape) <= _MAX_REPEATED:  # as `tf.fill` is stored
        return np.full(shape, numbers[0])
    return numbers.reshape(shape)


def _of_rare_type(tensor, shape):
    from tensorboard.util import tensor_util  # imports much that is hardly ever needed

    if math.prod(shape) > max(tensor.ByteSize(), _MAX_REPEATED) or min(shape, default=0) < 0:
        raise ValueError(f"the shape {shape} is more than the tensor holds")
    try:
        return tensor_util.make_ndarray(tensor)
    except (TypeError, AttributeError, KeyError) as error:
        raise ValueError(str(error)) from error


def number(value: summary_pb2.Summary.Value) -> bytes:
    """Returns the number of a scalar as the bytes of a float32, in the form of TensorFlow 2 or in that of PyTorch.

    Raises:
        ValueError: there is not one number.
    """
    if value.WhichOneof("value") == "simple_value":
        return _FLOAT.pack(value.simple_value)
    tensor = value.tensor
    if tensor.dtype == types_pb2.DT_FLOAT and len(tensor.tensor_content) == _FLOAT.size and not tensor.tensor_shape.dim:
        return tensor.tensor_content
    with np.errstate(over="ignore"):
        return np.float32(array(tensor).item()).tobytes()


def rows(value: summary_pb2.Summary.Value) -> np.ndarray:
    """Returns the rows of a histogram, float64 [k, 3]: left edge, right edge, count.

    In the old form an edge may be at infinity, or so large that it means it: the outermost buckets then end at the
    smallest and the largest number, and empty ones beyond are left out, as TensorBoard does it.

    Raises:
        ValueError: It is not a histogram.
    """
    if value.WhichOneof("value") != "histo":
        table = np.asarray(array(value.tensor), np.float64)
        if table.size and (table.ndim != 2 or table.shape[1] != 3):
            raise ValueError(f"a histogram has the shape [k, 3], this has {list(table.shape)}")
        return table.reshape(-1, 3)
    old = value.histo
    limits, counts = np.array(old.bucket_limit), np.array(old.bucket)
    if limits.shape != counts.shape:
        raise ValueError(f"a histogram has as many edges as counts, this has {limits.size} and {counts.size}")
    filled = np.flatnonzero(counts > 0)
    if not filled.size:
        return np.empty((0, 3))
    first, last = filled[0], filled[-1]
    inner = limits[first:last]
    return np.stack([np.append(old.min, inner), np.append(inner, old.max), counts[first : last + 1]], axis=1)


def text(value: summary_pb2.Summary.Value) -> str:
    """Returns the text of a summary, its lines joined where there are several; invalid UTF-8 is replaced.

    Raises:
        ValueError: It holds no text.
    """
    strings = value.tensor.string_val
    if not strings:
        raise ValueError("there is no text")
    return "\n".join(string.decode(errors="replace") for string in strings)


def table(value: summary_pb2.Summary.Value) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray]:
    """Returns the variables, the columns and the numbers [V, S] of a table of all statistics.

    Raises:
        ValueError: it is malformed, or of a format that is newer than this gradlog.
    """
    variables, columns = table_names(value.metadata.plugin_data.content)
    statistics = array(value.tensor)
    if statistics.shape != (len(variables), len(columns)):
        raise ValueError(
            f"a table of {len(variables)} variables and {len(columns)} statistics has the shape {statistics.shape}"
        )
    if statistics.dtype.kind != "f":
        raise ValueError(f"a table holds floating-point numbers, this one {statistics.dtype}")
    return variables, columns, statistics


def attention(value: summary_pb2.Summary.Value) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns the layers and the numbers [A, H, 3] of what attention heads did.

    Raises:
        ValueError: it is malformed, or of a format that is newer than this gradlog.
    """
    layers, columns = attention_names(value.metadata.plugin_data.content)
    numbers = array(value.tensor)
    if columns != ATTENTION_VALUES:
        raise ValueError(f"the values of attention are {', '.join(ATTENTION_VALUES)}, these {', '.join(columns):.80}")
    if numbers.ndim != 3 or numbers.shape[::2] != (len(layers), len(columns)) or numbers.dtype.kind != "f":
        raise ValueError(f"attention of {len(layers)} layers has the shape {numbers.shape} and type {numbers.dtype}")
    return layers, numbers


def attention_names(content: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the names of layers and values from the metadata that attention came with; raises as `table_names`."""
    return _described(content, ("layers", "values"))


def table_names(content: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the names of a table's variables and statistics, from the metadata it came with.

    Raises:
        ValueError: they are malformed, or of a format that is newer than this gradlog.
    """
    return _described(content, ("variables", "statistics"))


@functools.lru_cache(maxsize=16)  # hardly more differ in a run, and all of them come with every step
def _described(content, keys):
    """Returns lists of names, of which metadata have two under certain keys."""
    try:
        described = json.loads(content)
        lists, version = [described[key] for key in keys], described.get("version", FORMAT_VERSION)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a table does not name its {' and '.join(keys)}") from error
    if version != FORMAT_VERSION:
        raise ValueError(f"it is of format {version!r:.40}, this gradlog reads {FORMAT_VERSION}; update gradlog")
    for names in lists:
        is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not is_list or len(set(names)) < len(names):
            raise ValueError("the names in a table are not different strings")
    return tuple(map(tuple, lists))
