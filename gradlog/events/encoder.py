"""Encoder: a `Snapshot` as the bytes of TensorBoard's protocol buffers.

A logged step has some hundred summaries that differ from those of the step before in their numbers alone, so the
bytes around the numbers are made once. What is put together here is the ordinary wire format of `Summary` and `Event`
(tensorboard/compat/proto): every field is a key, a length and its content.
"""

import functools
import json

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalar_metadata
from tensorboard.plugins.histogram import metadata as histogram_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.plugins.text import metadata as text_metadata

from gradlog.events import custom_scalars
from gradlog.history import names
from gradlog.history.history import Snapshot
from gradlog.stats.snapshots import histograms

_MAX_FORMS = 64  # as many as there are patterns of variables without a gradient, which are few
_DTYPES = {"float32": types_pb2.DT_FLOAT, "float64": types_pb2.DT_DOUBLE}


def _key(message, field):
    return bytes([message.DESCRIPTOR.fields_by_name[field].number << 3 | 2])


_VALUE = _key(summary_pb2.Summary, "value")
_TAG, _METADATA, _TENSOR = (_key(summary_pb2.Summary.Value, name) for name in ("tag", "metadata", "tensor"))
_CONTENT = _key(tensor_pb2.TensorProto, "tensor_content")
_SUMMARY = _key(event_pb2.Event, "summary")


def _field(key, content):
    """Returns a field of the wire format: its key, its length, its content."""
    return key + _varint(len(content)) + content


@functools.lru_cache(maxsize=65536)
def _varint(number):
    return bytes([number & 127 | 128]) + _varint(number >> 7) if number > 127 else bytes([number])


def _description(metadata, data_class):
    metadata.data_class = data_class
    return _field(_METADATA, metadata.SerializeToString())


_NO_WORDS = {"display_name": "", "description": ""}
_SCALAR = _description(scalar_metadata.create_summary_metadata(**_NO_WORDS), summary_pb2.DATA_CLASS_SCALAR)
_HISTOGRAM = _description(histogram_metadata.create_summary_metadata(**_NO_WORDS), summary_pb2.DATA_CLASS_TENSOR)
_TEXT = _description(text_metadata.create_summary_metadata(**_NO_WORDS), summary_pb2.DATA_CLASS_TENSOR)
_LAYOUT = _description(custom_scalar_metadata.create_summary_metadata(), summary_pb2.DATA_CLASS_TENSOR)


def event(step: int, wall_time: float, summary: bytes) -> bytes:
    """Returns the bytes of an `Event` with a `Summary` in it."""
    return event_pb2.Event(step=step, wall_time=wall_time).SerializeToString() + _field(_SUMMARY, summary)


class Encoder:
    """Encodes what goes into one event file, each time into the bytes of one `Summary`.

    It remembers which tags it has described: TensorBoard keeps the metadata that come with a tag's first value.
    """

    def __init__(self):
        self._described, self._nonfinite_seen, self._forms = set(), set(), {}

    def snapshot(self, snapshot: Snapshot) -> bytes:
        """Encodes a `Snapshot`."""
        form = self._form(snapshot)
        parts = [
            form.table(snapshot.statistics),
            self._numbers(form, list(snapshot.scalars.values()), snapshot.statistics),
            _attention(snapshot),
            *(part for tag, rows in histograms(snapshot) for part in self._histogram(tag, rows)),
            *self._layout(),
        ]
        return b"".join(parts)

    def scalars(self, scalars: dict[str, float]) -> bytes:
        """Encodes numbers, a dictionary by tag, for the Scalars tab."""
        return b"".join(self._value(tag, _tensor(np.float32(number)), _SCALAR) for tag, number in scalars.items())

    def text(self, tag: str, markdown: str) -> bytes:
        """Encodes a text for the Text tab."""
        return self._value(tag, _string(markdown.encode()), _TEXT)

    def _histogram(self, tag, rows):
        """Encodes rows [k, 3], as parts that follow each other."""
        if tag in self._described:
            return _head_of_histogram(tag, len(rows)), rows.data
        return (self._value(tag, _tensor(rows), _HISTOGRAM),)

    def _layout(self):
        """Encodes what the tab Custom Scalars shows, once a file."""
        is_written = custom_scalars.TAG in self._described
        return [] if is_written else [self._value(custom_scalars.TAG, _string(custom_scalars.layout()), _LAYOUT)]

    def _value(self, tag, tensor, description):
        content = _tag(tag) + _field(_TENSOR, tensor)
        if tag not in self._described:
            self._described.add(tag)
            content += description
        return _field(_VALUE, content)

    def _numbers(self, form, scalars, statistics):
        numbers = np.concatenate([np.array(scalars, np.float32), statistics.ravel()[form.cells]])
        if self._described.issuperset(form.tags):
            return form.scalars(numbers)
        return self.scalars(dict(zip(form.tags, numbers, strict=True)))

    def _form(self, snapshot):
        """Returns what a snapshot of these names has in common with others; it has no scalar where a NaN stands."""
        is_written = ~np.isnan(snapshot.statistics)
        if names.NONFINITE in snapshot.columns:  # written only once any was seen
            column = snapshot.columns.index(names.NONFINITE)
            rows = zip(snapshot.variables, snapshot.statistics[:, column], strict=True)
            self._nonfinite_seen.update(name for name, number in rows if number > 0)
            is_written[:, column] &= [name in self._nonfinite_seen for name in snapshot.variables]
        key = snapshot.variables, snapshot.columns, tuple(snapshot.scalars), is_written.tobytes()
        if key not in self._forms:
            if len(self._forms) == _MAX_FORMS:
                self._forms.clear()
            self._forms[key] = _Form(snapshot, is_written)
        return self._forms[key]


class _Form:
    """The bytes of a table and of many scalars, but for the numbers.

    Args:
        snapshot: A `Snapshot`, of which only the names count.
        is_written: Boolean array [V, S], which of its statistics are scalars of their own as well.

    Attributes:
        tags: List of the scalars' tags.
        cells: Integer array, where the statistics among them stand in the table laid flat; they come last.
    """

    def __init__(self, snapshot, is_written):
        self.tags, cells = list(snapshot.scalars), []
        for column, name in enumerate(snapshot.columns):
            for row in np.flatnonzero(is_written[:, column]) if name in names.SCALAR_TAGS else ():
                self.tags.append(names.tag(names.SCALAR_TAGS[name], snapshot.variables[row]))
                cells.append(row * len(snapshot.columns) + column)
        self.cells = np.array(cells, np.int64)
        self._description = _own_description(variables=snapshot.variables, statistics=snapshot.columns)
        zero = _field(_TENSOR, _tensor(np.float32(0)))
        values = [_field(_VALUE, _tag(tag) + zero) for tag in self.tags]  # the four bytes of the number come last
        ends = np.cumsum([len(value) for value in values], dtype=np.int64)
        self._bytes = np.frombuffer(bytearray(b"".join(values)), np.uint8)
        self._places = ends[:, None] + np.arange(-4, 0)

    def table(self, statistics):
        """Encodes all statistics [V, S] as one tensor, with its names in the metadata, every time."""
        content = _tag(names.STATISTICS_TAG) + _field(_TENSOR, _tensor(statistics)) + self._description
        return _field(_VALUE, content)

    def scalars(self, numbers):
        """Encodes numbers, float32 [n], of tags that have been described before."""
        self._bytes[self._places] = numbers[:, None].view(np.uint8)
        return self._bytes.tobytes()


@functools.cache
def _tag(tag):
    return _field(_TAG, tag.encode())


@functools.lru_cache(maxsize=1 << 16)
def _head_of_histogram(tag, num_rows):
    """Returns what comes before the numbers of a histogram that has been described before."""
    rows = np.zeros((num_rows, 3))
    tensor = _tensor(rows)
    value = _field(_VALUE, _tag(tag) + _field(_TENSOR, tensor))
    return value[: len(value) - rows.nbytes]


def _attention(snapshot):
    """Encodes what attention heads did as one tensor, with its names in the metadata, every time."""
    if snapshot.attention is None:
        return b""
    described = _own_description(layers=snapshot.attention_layers, values=names.ATTENTION_VALUES)
    return _field(_VALUE, _tag(names.ATTENTION_TAG) + _field(_TENSOR, _tensor(snapshot.attention)) + described)


def _own_description(**lists):
    """Encodes metadata with lists of names, which no tab but gradlog's own takes for its."""
    content = {"version": names.FORMAT_VERSION} | {key: list(values) for key, values in lists.items()}
    metadata = summary_pb2.SummaryMetadata(data_class=summary_pb2.DATA_CLASS_TENSOR)
    metadata.plugin_data.plugin_name = names.PLUGIN_NAME
    metadata.plugin_data.content = json.dumps(content).encode()
    return _field(_METADATA, metadata.SerializeToString())


def _string(content):
    return tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[content]).SerializeToString()


def _tensor(array):
    return _tensor_head(array.dtype.name, array.shape) + _field(_CONTENT, array.tobytes())


@functools.lru_cache(maxsize=4096)
def _tensor_head(dtype, shape):
    tensor = tensor_pb2.TensorProto(dtype=_DTYPES[dtype])
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor.SerializeToString()
