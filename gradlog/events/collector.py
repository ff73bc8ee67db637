"""Collects TensorBoard's protocol buffers into a `History`."""

from collections.abc import Callable, Iterable

from google.protobuf.message import DecodeError
from tensorboard.compat.proto import summary_pb2, types_pb2
from tensorboard.plugins.histogram import metadata as histogram_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.plugins.text import metadata as text_metadata

from gradlog.events import decoding, wire
from gradlog.history import names
from gradlog.history.builder import HistoryBuilder
from gradlog.history.growing import Attentions, Histograms, Scalars, Tables, Texts
from gradlog.history.history import History

_MAX_BYTES_OF_A_SCALAR = 512
_DECODERS = {
    Scalars: decoding.number,
    Histograms: decoding.rows,
    Texts: decoding.text,
    Tables: decoding.table,
    Attentions: decoding.attention,
}
_KINDS = {
    scalar_metadata.PLUGIN_NAME: Scalars,
    histogram_metadata.PLUGIN_NAME: Histograms,
    text_metadata.PLUGIN_NAME: Texts,
}
_OWN_KINDS = {names.STATISTICS_TAG: Tables, names.ATTENTION_TAG: Attentions}
_OLD_KINDS = {"simple_value": scalar_metadata.PLUGIN_NAME, "histo": histogram_metadata.PLUGIN_NAME}


class Collector:
    """Collects summaries, in the order in which they were written, and has a `HistoryBuilder` build a `History`."""

    def __init__(self):
        self._builder = HistoryBuilder()
        self._growing, self._heads = {}, {}  # by the bytes of a tag, and of all that stands before its number
        self._last = None

    def add(
        self,
        step: int,
        data: bytes,
        start: int = 0,
        end: int | None = None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Adds a `Summary`; values of other kinds, such as images, are left out.

        Args:
            step: Integer, the event's.
            data: Bytes in which the summary stands.
            start: Integer, the byte where it begins.
            end: Integer, the byte after it. Defaults to the end of `data`.
            note: Function that gets a sentence for each value that is malformed and left out.

        Raises:
            ValueError: the bytes are not a `Summary`. The values before the malformed place have been added.
        """
        is_rising = self._last is None or step > self._last
        if is_rising:
            self._last = step
        try:
            self._walk(step, data, start, len(data) if end is None else end, is_rising, note)
        except (IndexError, DecodeError) as error:
            raise ValueError("the summary is cut off, or is none") from error

    def _walk(self, step, data, at, end, is_rising, note):
        """Adds value after value. Most are numbers or rows in a known form, whose bytes are copied."""
        heads, growing, view = self._heads, self._growing, memoryview(data)
        while at < end:
            if data[at] != wire.VALUE:
                raise ValueError("a field of a summary is unknown")
            size, start = data[at + 1], at + 2
            if size > 127:
                high = data[start]
                size, start = (size & 127 | high << 7, at + 3) if high < 128 else wire.varint(data, at + 1)
            at = start + size
            if at > end:
                raise ValueError("a value is longer than its summary")
            if size < _MAX_BYTES_OF_A_SCALAR and (known := heads.get(data[start : at - 4])):
                steps, numbers = known
                if is_rising or steps[-1] < step:
                    steps.append(step)
                    numbers += data[at - 4 : at]
                    continue
            else:
                middle = start + 2 + data[start + 1]
                series = growing.get(data[start + 2 : middle]) if data[start] == wire.TAG else None
                if type(series) is Histograms and (is_rising or series.steps[-1] < step):
                    num_rows = (at - middle) // 24
                    numbers = at - 24 * num_rows
                    if data[middle:numbers] == wire.rows_head(num_rows):
                        series.steps.append(step)
                        series.values.append(series.store.keep(view[numbers:at], num_rows))
                        continue
            self._add_value(step, data[start:at], note)

    def _add_value(self, step, data, note):
        """Adds a value in any form, by protocol buffers, and notes the head by which the next of its tag is known."""
        value = summary_pb2.Summary.Value.FromString(data)
        series = self._growing.get(value.tag.encode())
        kind = type(series) if series else _kind(value)
        if kind is None:
            return
        try:
            decoded = _DECODERS[kind](value)
            series = self._builder.series(value.tag, kind)
            series.add(step, decoded)
        except (ValueError, OverflowError, MemoryError, RecursionError) as error:
            note(f"has a malformed {value.tag!r} at step {step}, which is left out: {error}.")
            return
        self._growing[value.tag.encode()] = series
        if _ends_with_its_number(value, data):
            self._heads[data[:-4]] = series.steps, series.values

    def history(self, notes: Iterable[str] = ()) -> History:
        """Returns what was collected so far as a `History`."""
        return self._builder.history(notes)


def _kind(value):
    """Returns the kind of series that a value belongs to, or `None` if gradlog does not read it."""
    plugin = value.metadata.plugin_data.plugin_name or _OLD_KINDS.get(value.WhichOneof("value"))
    return _OWN_KINDS.get(value.tag) if plugin == names.PLUGIN_NAME else _KINDS.get(plugin)


def _ends_with_its_number(value, data):
    """Returns whether the last four bytes are the number, so that only these will differ in the next of its tag."""
    if value.HasField("metadata"):
        return False
    if value.WhichOneof("value") == "simple_value":
        return data[-5] == wire.SIMPLE_VALUE
    tensor = value.tensor
    return tensor.dtype == types_pb2.DT_FLOAT and data[-6:] == b'"\x04' + tensor.tensor_content
