"""Summaries: a `Snapshot` as TensorBoard's protocol buffers, and those back as a `History`."""

import json

import numpy as np
from tensorboard.compat.proto import summary_pb2, tensor_pb2, types_pb2
from tensorboard.plugins.histogram import metadata as histogram_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.util import tensor_util

from gradlog import buckets, names
from gradlog.history import History, Series, join

_DTYPES = {"float32": types_pb2.DT_FLOAT, "float64": types_pb2.DT_DOUBLE}
_SCALARS, _HISTOGRAMS, _TEXTS = (module.PLUGIN_NAME for module in (scalar_metadata, histogram_metadata, text_metadata))


def scalar(tag, number):
    """Returns a summary value for the Scalars tab."""
    metadata = scalar_metadata.create_summary_metadata(display_name="", description="")
    metadata.data_class = summary_pb2.DATA_CLASS_SCALAR
    return _value(tag, _tensor(np.float32(number)), metadata)


def histogram(tag, rows):
    """Returns a summary value for the Histograms and Distributions tabs, of rows [k, 3]."""
    metadata = histogram_metadata.create_summary_metadata(display_name="", description="")
    metadata.data_class = summary_pb2.DATA_CLASS_TENSOR
    return _value(tag, _tensor(rows), metadata)


def text(tag, markdown):
    """Returns a summary value for the Text tab."""
    metadata = text_metadata.create_summary_metadata(display_name="", description="")
    metadata.data_class = summary_pb2.DATA_CLASS_TENSOR
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[markdown.encode()])
    return _value(tag, tensor, metadata)


def statistics(snapshot):
    """Returns the whole table [V, S] of a snapshot as one tensor, with its names in the metadata."""
    content = {
        "version": names.FORMAT_VERSION,
        "variables": list(snapshot.variables),
        "statistics": list(snapshot.columns),
    }
    metadata = summary_pb2.SummaryMetadata(data_class=summary_pb2.DATA_CLASS_TENSOR)
    metadata.plugin_data.plugin_name = names.PLUGIN_NAME
    metadata.plugin_data.content = json.dumps(content).encode()
    return _value(names.STATISTICS_TAG, _tensor(snapshot.statistics), metadata)


def of_snapshot(snapshot, nonfinite_seen):
    """Returns the summary values of one snapshot.

    Args:
        snapshot: A `Snapshot`.
        nonfinite_seen: Set of the variables whose gradient had NaN or infinities at an earlier step; what this
            step adds to it is added. Only of these the number is written.
    """
    values = [statistics(snapshot)]
    values += [scalar(tag, number) for tag, number in snapshot.scalars.items()]
    for column, name in enumerate(snapshot.columns):
        if name in names.SCALAR_TAGS:
            values += _column(snapshot, column, name, nonfinite_seen)
    values += _histograms(names.GRADIENT_HISTOGRAM, snapshot.variables, snapshot.gradients)
    values += _histograms(names.WEIGHT_HISTOGRAM, snapshot.variables, snapshot.weights)
    return values


def _column(snapshot, column, name, nonfinite_seen):
    numbers = dict(zip(snapshot.variables, snapshot.statistics[:, column], strict=True))
    if name == "gradient_nonfinite":
        nonfinite_seen.update(variable for variable, number in numbers.items() if number > 0)
        numbers = {variable: n for variable, n in numbers.items() if variable in nonfinite_seen}
    prefix = names.SCALAR_TAGS[name]
    return [scalar(names.tag(prefix, v), n) for v, n in numbers.items() if not np.isnan(n)]


def _histograms(prefix, variables, counts):
    if counts is None:
        return []
    tables = [buckets.rows(count) for count in counts]
    return [
        histogram(names.tag(prefix, variable), rows)
        for variable, rows in zip(variables, tables, strict=True)
        if len(rows)
    ]


def _tensor(array):
    tensor = tensor_pb2.TensorProto(dtype=_DTYPES[array.dtype.name])
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = array.tobytes()
    return tensor


def _value(tag, tensor, metadata):
    return summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=metadata)


class Collector:
    """Collects summary values, in the order in which they were written, into a `History`.

    Where a tag comes twice at one step, as after a restored run, the last stands.
    """

    def __init__(self):
        self._plugins, self._tables = {}, {}
        self._series = {_SCALARS: {}, _HISTOGRAMS: {}, _TEXTS: {}}

    def add(self, step, value):
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

    def history(self):
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
