"""Summaries: a `Snapshot` as TensorBoard's protocol buffers, and those back as a `History`."""

import json
import math

import numpy as np
from tensorboard.compat.proto import summary_pb2, tensor_pb2, types_pb2
from tensorboard.plugins.histogram import metadata as histogram_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.util import tensor_util

from gradlog import buckets, names
from gradlog.history import History, Series, Snapshot, join

_DTYPES = {"float32": types_pb2.DT_FLOAT, "float64": types_pb2.DT_DOUBLE}
_SCALARS, _HISTOGRAMS, _TEXTS = (module.PLUGIN_NAME for module in (scalar_metadata, histogram_metadata, text_metadata))


def _metadata(module, data_class):
    metadata = module.create_summary_metadata(display_name="", description="")
    metadata.data_class = data_class
    return metadata


_METADATA = {
    _SCALARS: _metadata(scalar_metadata, summary_pb2.DATA_CLASS_SCALAR),
    _HISTOGRAMS: _metadata(histogram_metadata, summary_pb2.DATA_CLASS_TENSOR),
    _TEXTS: _metadata(text_metadata, summary_pb2.DATA_CLASS_TENSOR),
}


class Encoder:
    """Encodes what goes into one event file.

    It remembers which tags it has described: TensorBoard keeps the metadata that come with a tag's first value.
    """

    def __init__(self):
        self._described, self._nonfinite_seen = set(), set()

    def snapshot(self, snapshot: Snapshot) -> list[summary_pb2.Summary.Value]:
        """Returns the summary values of one `Snapshot`."""
        values = [_statistics(snapshot)]
        values += [self.scalar(tag, number) for tag, number in snapshot.scalars.items()]
        for column, name in enumerate(snapshot.columns):
            if name in names.SCALAR_TAGS:
                values += self._column(names.SCALAR_TAGS[name], snapshot.variables, snapshot.statistics[:, column])
        values += self._histograms(names.GRADIENT_HISTOGRAM, snapshot.variables, snapshot.gradients)
        values += self._histograms(names.WEIGHT_HISTOGRAM, snapshot.variables, snapshot.weights)
        return values

    def scalar(self, tag: str, number: float) -> summary_pb2.Summary.Value:
        """Returns a summary value for the Scalars tab."""
        return self._value(tag, _tensor(np.float32(number)), _SCALARS)

    def histogram(self, tag: str, rows: np.ndarray) -> summary_pb2.Summary.Value:
        """Returns a summary value for the Histograms and Distributions tabs, of rows [k, 3]."""
        return self._value(tag, _tensor(rows), _HISTOGRAMS)

    def text(self, tag: str, markdown: str) -> summary_pb2.Summary.Value:
        """Returns a summary value for the Text tab."""
        tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[markdown.encode()])
        return self._value(tag, tensor, _TEXTS)

    def _column(self, prefix, variables, numbers):
        if prefix == names.SCALAR_TAGS["gradient_nonfinite"]:  # written only once any was seen
            self._nonfinite_seen.update(v for v, number in zip(variables, numbers, strict=True) if number > 0)
            numbers = [n if v in self._nonfinite_seen else math.nan for v, n in zip(variables, numbers, strict=True)]
        return [
            self.scalar(names.tag(prefix, variable), number)
            for variable, number in zip(variables, numbers, strict=True)
            if not math.isnan(number)
        ]

    def _histograms(self, prefix, variables, counts):
        if counts is None:
            return []
        return [
            self.histogram(names.tag(prefix, variable), rows)
            for variable, rows in zip(variables, buckets.tables(counts), strict=True)
            if len(rows)
        ]

    def _value(self, tag, tensor, plugin):
        if tag in self._described:
            return summary_pb2.Summary.Value(tag=tag, tensor=tensor)
        self._described.add(tag)
        return summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=_METADATA[plugin])


def _statistics(snapshot):
    """Returns the whole table [V, S] of a snapshot as one tensor, with its names in the metadata, every time."""
    content = {
        "version": names.FORMAT_VERSION,
        "variables": list(snapshot.variables),
        "statistics": list(snapshot.columns),
    }
    metadata = summary_pb2.SummaryMetadata(data_class=summary_pb2.DATA_CLASS_TENSOR)
    metadata.plugin_data.plugin_name = names.PLUGIN_NAME
    metadata.plugin_data.content = json.dumps(content).encode()
    return summary_pb2.Summary.Value(tag=names.STATISTICS_TAG, tensor=_tensor(snapshot.statistics), metadata=metadata)


def _tensor(array):
    tensor = tensor_pb2.TensorProto(dtype=_DTYPES[array.dtype.name], tensor_content=array.tobytes())
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


class Collector:
    """Collects summary values, in the order in which they were written, into a `History`.

    Where a tag comes twice at one step, as after a restored run, the last stands.
    """

    def __init__(self):
        self._plugins, self._tables = {}, {}
        self._series = {_SCALARS: {}, _HISTOGRAMS: {}, _TEXTS: {}}

    def add(self, step: int, value: summary_pb2.Summary.Value) -> None:
        """Takes in one `Summary.Value`; what is of another kind or malformed is left out."""
        if value.HasField("metadata"):
            self._plugins[value.tag] = value.metadata.plugin_data.plugin_name
        plugin = self._plugins.get(value.tag)
        if value.tag == names.STATISTICS_TAG and plugin == names.PLUGIN_NAME:
            self._add_table(step, value)
        elif plugin in self._series:
            decoded = tensor_util.make_ndarray(value.tensor)
            self._series[plugin].setdefault(value.tag, {})[step] = decoded

    def _add_table(self, step, value):
        content = json.loads(value.metadata.plugin_data.content)
        table = tensor_util.make_ndarray(value.tensor)
        self._tables[step] = (content["variables"], content["statistics"], table)

    def history(self) -> History:
        """Returns what was collected so far as a `History`."""
        return History(
            *join(self._tables),
            scalars=_sorted(self._series[_SCALARS], lambda values: np.array(values, np.float32)),
            histograms=_sorted(self._series[_HISTOGRAMS], list),
            texts=_sorted(self._series[_TEXTS], lambda values: [v.item().decode() for v in values]),
        )


def _sorted(series, convert):
    result = {}
    for tag, values in series.items():
        steps = sorted(values)
        result[tag] = Series(np.array(steps, np.int64), convert([values[step] for step in steps]))
    return result
