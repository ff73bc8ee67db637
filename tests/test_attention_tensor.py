"""The tensor of what attention heads did: written, read back, and left alone by TensorBoard."""

import json

import numpy as np
import pytest
import small_logs
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import summary_pb2, tensor_pb2, types_pb2
from tensorboard.util import tensor_util

import gradlog
from gradlog.events.collector import Collector
from gradlog.history.builder import HistoryBuilder
from gradlog.history.history import Snapshot
from gradlog.writers import MemoryWriter

VALUES = np.random.default_rng(0).random((3, 2, 4, 3)).astype(np.float32)
VALUES[:, 1, 3] = np.nan  # a layer of three heads
LAYERS = ("attention0", "attention1")
NAMES = {"version": 1, "layers": [*LAYERS], "values": ["entropy", "logit", "sink"]}


def snapshot(step, layers, values):
    table = np.zeros((0, 0), np.float32)
    return Snapshot(step, (), (), table, attention_layers=layers, attention=np.float32(values))


def test_a_file_gives_back_what_was_written(tmp_path):
    small_logs.write_run(tmp_path, attention=VALUES)

    history = gradlog.read(tmp_path)

    assert history.notes == ()
    assert history.attention.layers == LAYERS
    assert history.attention.steps.tolist() == [*small_logs.STEPS]
    np.testing.assert_array_equal(history.attention.values, VALUES)
    assert history.steps.tolist() == [*small_logs.STEPS]
    assert history.variables == small_logs.VARIABLES


def test_a_run_without_attention_has_none(tmp_path):
    small_logs.write_run(tmp_path)

    assert gradlog.read(tmp_path).attention is None


def test_tensorboard_keeps_a_tensor_of_the_plugin(tmp_path):
    small_logs.write_run(tmp_path, attention=VALUES)
    accumulator = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    accumulator.Reload()

    events = accumulator.Tensors("gradlog/attention")
    metadata = accumulator.SummaryMetadata("gradlog/attention")

    np.testing.assert_array_equal([tensor_util.make_ndarray(one.tensor_proto) for one in events], VALUES)
    assert metadata.plugin_data.plugin_name == "gradlog"
    assert metadata.data_class == summary_pb2.DATA_CLASS_TENSOR
    assert json.loads(metadata.plugin_data.content) == NAMES


@pytest.mark.parametrize("kind", ["memory", "builder"])
def test_layers_may_come_later_and_have_more_heads(kind):
    maker = MemoryWriter() if kind == "memory" else HistoryBuilder()
    add = maker.write if kind == "memory" else maker.add
    add(snapshot(0, ("a",), np.ones((1, 2, 3))))
    add(snapshot(5, ("b", "a"), np.full((2, 3, 3), 2)))
    add(snapshot(5, ("b", "a"), np.full((2, 3, 3), 4)))  # as after a resumed training

    found = maker.history().attention

    assert found.layers == ("a", "b")
    assert found.steps.tolist() == [0, 5]
    expected = np.full((2, 2, 3, 3), np.nan)
    expected[0, 0, :2], expected[1] = 1, 4
    np.testing.assert_array_equal(found.values, expected)


def test_steps_that_are_forgotten_are_not_in_it():
    builder = HistoryBuilder()
    for step in (0, 5, 10):
        builder.add(snapshot(step, ("a",), np.full((1, 1, 3), step)))

    builder.keep([0, 10])

    assert builder.history().attention.values[:, 0, 0, 0].tolist() == [0, 10]


@pytest.mark.parametrize(
    ("content", "shape", "said"),
    [
        (NAMES, (2, 4, 2), r"attention of 2 layers has the shape \(2, 4, 2\)"),
        (NAMES, (3, 4, 3), r"attention of 2 layers has the shape \(3, 4, 3\)"),
        (NAMES, (2, 12), r"attention of 2 layers has the shape \(2, 12\)"),
        (NAMES | {"values": ["entropy"]}, (2, 4, 1), "the values of attention are entropy, logit, sink, these entropy"),
        (NAMES | {"version": 2}, (2, 4, 3), "format 2"),
        ({"layers": [*LAYERS]}, (2, 4, 3), "does not name its layers and values"),
        (NAMES | {"layers": ["a", "a"]}, (2, 4, 3), "not different strings"),
    ],
)
def test_a_malformed_one_is_left_out_and_said_so(content, shape, said):
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_content=np.zeros(shape, np.float32).tobytes())
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    metadata = summary_pb2.SummaryMetadata(data_class=summary_pb2.DATA_CLASS_TENSOR)
    metadata.plugin_data.plugin_name, metadata.plugin_data.content = "gradlog", json.dumps(content).encode()
    summary, notes, collector = summary_pb2.Summary(), [], Collector()
    summary.value.add(tag="gradlog/attention", tensor=tensor, metadata=metadata)

    collector.add(0, summary.SerializeToString(), note=notes.append)

    assert collector.history().attention is None
    assert len(notes) == 1
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(notes[0])
