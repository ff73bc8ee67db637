"""Collector: TensorBoard's protocol buffers as a `History`."""

import json

import numpy as np
from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.histogram import metadata as histogram_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.util import tensor_util

from gradlog import names
from gradlog.history import History, Series, join

_SCALARS, _HISTOGRAMS, _TEXTS = (module.PLUGIN_NAME for module in (scalar_metadata, histogram_metadata, text_metadata))


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
