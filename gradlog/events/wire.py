"""Wire: where things stand in the bytes of an `Event`, without making objects of them.

It walks the wire format of protocol buffers (https://protobuf.dev/programming-guides/encoding): a field is a key, whose
lowest three bits say how long its content is, and the content. A run has a hundred thousand summaries whose content
is mostly a block of numbers, which is copied from where it stands.
"""

import functools

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_STEP = event_pb2.Event.DESCRIPTOR.fields_by_name["step"].number << 3 | _VARINT
_SUMMARY = event_pb2.Event.DESCRIPTOR.fields_by_name["summary"].number << 3 | _BYTES
VALUE = summary_pb2.Summary.DESCRIPTOR.fields_by_name["value"].number << 3 | _BYTES
TAG = summary_pb2.Summary.Value.DESCRIPTOR.fields_by_name["tag"].number << 3 | _BYTES
SIMPLE_VALUE = summary_pb2.Summary.Value.DESCRIPTOR.fields_by_name["simple_value"].number << 3 | _FIXED32


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Returns the number that begins at a byte, and where the next thing begins.

    Raises:
        ValueError: it does not end, or is longer than 64 bits.
    """
    if at < len(data) and data[at] < 128:
        return data[at], at + 1
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        number |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return number & (1 << 64) - 1, at
    raise ValueError("a number does not end")


def event(data: bytes) -> tuple[int, list[tuple[int, int]]]:
    """Returns the step of an `Event`, and where each `Summary` in it begins and ends: one, or none, or parts of one.

    Raises:
        ValueError: the bytes are no `Event`.
    """
    at, step, summaries = 0, 0, []
    while at < len(data):
        key, at = varint(data, at)
        if key == _STEP:
            number, at = varint(data, at)
            step = number - (number >> 63 << 64)
        elif key == _SUMMARY:
            size, start = varint(data, at)
            at = start + size
            summaries.append((start, at))
        else:
            at = _after(data, key & 7, at)
    if at > len(data):
        raise ValueError("a field is longer than the record")
    return step, summaries


def _after(data, kind, at):
    if kind == _VARINT:
        return varint(data, at)[1]
    if kind == _BYTES:
        size, at = varint(data, at)
        return at + size
    if kind in (_FIXED32, _FIXED64):
        return at + (4 if kind == _FIXED32 else 8)
    raise ValueError(f"unknown wire type {kind}")


@functools.lru_cache(maxsize=4096)
def rows_head(num_rows: int) -> bytes:
    """Returns what stands before the numbers in a value that is a float64 tensor [`num_rows`, 3], after the tag."""
    size = num_rows * 24
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_DOUBLE, tensor_content=bytes(size))
    for length in (num_rows, 3):
        tensor.tensor_shape.dim.add(size=length)
    serialized = summary_pb2.Summary.Value(tensor=tensor).SerializeToString()
    return serialized[: len(serialized) - size]
