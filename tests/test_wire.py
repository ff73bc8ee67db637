"""What is found in the bytes of an event is what protocol buffers find."""

from unittest import mock

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from tensorboard.compat.proto import event_pb2, summary_pb2
from test_reader import write
from test_writers import snapshot

import gradlog
from gradlog.events import collector, wire
from gradlog.events.encoder import Encoder

SUMMARY = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag="a", simple_value=2)])
EVENTS = {
    "nothing": event_pb2.Event(),
    "file_version": event_pb2.Event(wall_time=1.5, file_version="brain.Event:2"),
    "graph_def": event_pb2.Event(step=3, graph_def=bytes(300)),
    "meta_graph_def": event_pb2.Event(step=3, meta_graph_def=b"graph"),
    "log_message": event_pb2.Event(step=3, log_message=event_pb2.LogMessage(message="m")),
    "session_log": event_pb2.Event(step=3, session_log=event_pb2.SessionLog(status="START")),
    "run_metadata": event_pb2.Event(step=3, tagged_run_metadata=event_pb2.TaggedRunMetadata(tag="t")),
    **{f"step {step}": event_pb2.Event(step=step, summary=SUMMARY) for step in (1, 127, 128, 1 << 40, -1, -(1 << 63))},
    "no value": event_pb2.Event(step=1, summary=summary_pb2.Summary()),
}


@pytest.mark.parametrize("name", EVENTS)
def test_a_step_and_a_summary_are_found_where_protocol_buffers_find_them(name):
    data = EVENTS[name].SerializeToString()

    step, summaries = wire.event(data)

    assert step == EVENTS[name].step
    assert len(summaries) == EVENTS[name].HasField("summary")
    for start, end in summaries:
        assert summary_pb2.Summary.FromString(data[start:end]) == EVENTS[name].summary


def test_parts_of_a_summary_are_one_as_in_protocol_buffers():
    data = EVENTS["step 1"].SerializeToString() + EVENTS["step 127"].SerializeToString()

    step, summaries = wire.event(data)

    assert step == event_pb2.Event.FromString(data).step == 127
    assert b"".join(data[start:end] for start, end in summaries) == SUMMARY.SerializeToString() * 2


@pytest.mark.parametrize("name", EVENTS)
def test_what_is_cut_off_is_an_error_or_ends_with_a_field(name):
    data = EVENTS[name].SerializeToString()
    for size in range(len(data)):
        try:
            expected = event_pb2.Event.FromString(data[:size]).step
        except DecodeError:
            with pytest.raises(ValueError):
                wire.event(data[:size])
        else:
            assert wire.event(data[:size])[0] == expected


@pytest.mark.parametrize("num_rows", [1, 5, 6, 127, 128, 700, 20_000])
def test_the_head_of_rows_is_what_protocol_buffers_write(num_rows):
    encoder = Encoder()
    rows = np.random.default_rng(num_rows).normal(size=(num_rows, 3))
    with mock.patch("gradlog.stats.buckets.tables", return_value=[rows, rows]):
        content = encoder.snapshot(snapshot(0))

    assert content.count(wire.rows_head(num_rows) + rows.tobytes()) == 4


def test_the_quick_way_reads_what_the_slow_way_reads(tmp_path):
    write(tmp_path, [0, 1, 2, 300, 301])
    quick = gradlog.read(tmp_path)

    slowly = mock.Mock(side_effect=collector.Collector._add_value, autospec=True)
    with (
        mock.patch.object(collector, "_MAX_BYTES_OF_A_SCALAR", 0),
        mock.patch.object(wire, "rows_head", return_value=None),
        mock.patch.object(collector.Collector, "_add_value", lambda self, *args: slowly(self, *args)),
    ):
        slow = gradlog.read(tmp_path)

    assert slowly.call_count == 5 * 5 + 1  # the table, the loss, one statistic, two histograms; and the layout, once
    np.testing.assert_array_equal(quick.statistics, slow.statistics)
    for kind in ("scalars", "histograms"):
        assert list(getattr(quick, kind)) == list(getattr(slow, kind))
        for tag, series in getattr(slow, kind).items():
            assert getattr(quick, kind)[tag].steps.tolist() == series.steps.tolist()
            np.testing.assert_array_equal(getattr(quick, kind)[tag].values, series.values)
