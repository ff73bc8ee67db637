"""Damaged event files: what is readable is read, a note says what is not, and nothing raises."""

import json
import tracemalloc
from pathlib import Path

import event_files
import numpy as np
import pytest
from event_files import number
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from test_reader import write

import gradlog
from gradlog.events.records import masked_crc, records

NAME = "events.out.tfevents.1"


def steps_and_notes(tmp_path):
    run = gradlog.read(tmp_path)
    return run.scalars["a"].steps.tolist() if "a" in run.scalars else [], run.notes


def events(steps):
    return [event_files.event(step, number("a", step)) for step in steps]


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"", "is empty."),
        (b"This is a text file, longer than a header.", "is not an event file, or is damaged from its first byte."),
        (b"short", "ends within a record, from byte 0 on: it is still being written, or it was cut off."),
        (bytes(1000), "is not an event file, or is damaged from its first byte."),
    ],
)
def test_a_file_that_is_none_is_noted_and_the_other_is_read(tmp_path, content, note):
    event_files.write(tmp_path / NAME, *events([0, 1]))
    (tmp_path / "a.tfevents.txt").write_bytes(content)

    assert steps_and_notes(tmp_path) == ([0, 1], (f"a.tfevents.txt {note}",))


def test_after_a_damaged_header_the_file_is_left(tmp_path):
    starts = event_files.write(tmp_path / NAME, *events([0, 1, 2]))
    content = bytearray((tmp_path / NAME).read_bytes())
    content[starts[2]] ^= 1
    (tmp_path / NAME).write_bytes(content)

    note = f"{NAME} is damaged at byte {starts[2]}; what follows cannot be found, and is left out."
    assert steps_and_notes(tmp_path) == ([0], (note,))


def test_a_length_without_end_is_not_taken_at_its_word(tmp_path):
    """Its checksum is right, as no accident would have it: the memory for it is not asked for."""
    event_files.write(tmp_path / NAME, *events([0]))
    length = (1 << 62).to_bytes(8, "little")
    with open(tmp_path / NAME, "ab") as file:
        file.write(length + masked_crc32c(length).to_bytes(4, "little") + bytes(100))

    steps, (note,) = steps_and_notes(tmp_path)

    assert steps == [0]
    assert "ends within a record" in note


@pytest.mark.parametrize("step", [0, 10, 25, 1 << 40])
def test_a_record_whose_step_is_damaged_changes_no_other_step(tmp_path, step):
    """The damaged step goes back, or on by more or less than before."""
    starts = event_files.write(tmp_path / NAME, *events([0, 10, 20, 30]))
    good, bad = event_files.record(events([20])[0]), event_files.record(events([step])[0])
    content = (tmp_path / NAME).read_bytes()
    assert content[starts[3] : starts[4]] == good
    (tmp_path / NAME).write_bytes(content[: starts[3]] + bad[:-4] + good[-4:] + content[starts[4] :])

    run = gradlog.read(tmp_path)

    assert run.scalars["a"].steps.tolist() == run.scalars["a"].values.tolist() == [0, 10, 30]
    assert run.notes == (wrong_checksum(NAME, starts[3]),)


def wrong_checksum(name, start):
    return f"{name} is damaged in the record at byte {start}, which is left out: its checksum is wrong."


def test_a_flipped_bit_anywhere_in_an_ordinary_step_is_noticed(tmp_path):
    """Also in the numbers of its histograms, its table and its scalars, where all bytes are well-formed."""
    path = Path(write(tmp_path, range(0, 50, 10)))
    content, whole = path.read_bytes(), gradlog.read(tmp_path)
    starts = [record.offset for record in records(path, pytest.fail)]
    start, end = starts[3], starts[4]  # of step 20: after the version and two steps
    others = series_of(whole, lambda step: step != 20)
    for at in range(start + 12, end):  # of the content and its checksum
        broken = bytearray(content)
        broken[at] ^= 1 << at % 8
        path.write_bytes(broken)
        run = gradlog.read(tmp_path)
        assert run.notes == (wrong_checksum(path.name, start),)
        assert run.steps.tolist() == [0, 10, 30, 40]
        np.testing.assert_array_equal(run.statistics, np.delete(whole.statistics, 2, axis=0))
        assert series_of(run, lambda step: True) == others


def test_a_flipped_bit_in_a_histograms_numbers_is_noticed(tmp_path):
    """In the count of a bucket, which alone would look like any other count."""
    path = Path(write(tmp_path, range(0, 50, 10)))
    content = path.read_bytes()
    starts = [record.offset for record in records(path, pytest.fail)]
    rows = np.array([1.0, 1.25, 3.0]).tobytes()
    at = content.index(rows, starts[4]) + len(rows) - 2
    path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])

    run = gradlog.read(tmp_path)

    assert run.notes == (wrong_checksum(path.name, starts[4]),)
    assert run.histograms["gradient/a/kernel"].steps.tolist() == [0, 10, 20, 40]
    assert [rows.tolist() for rows in run.histograms["gradient/a/kernel"].values] == [[[1.0, 1.25, 3.0]]] * 4


def test_a_tag_that_comes_with_a_wrong_checksum_is_not_taken(tmp_path):
    starts = event_files.write(tmp_path / NAME, *events([0, 10]), event_files.event(20, number("b", 1)))
    with open(tmp_path / NAME, "rb+") as file:
        file.seek(-1, 2)
        file.write(b"\0")

    run = gradlog.read(tmp_path)

    assert list(run.scalars) == ["a"]
    assert f"at byte {starts[3]}" in run.notes[0]


def test_a_file_is_held_one_record_at_a_time(tmp_path):
    graph = event_pb2.Event(graph_def=bytes(1 << 20)).SerializeToString()
    event_files.write(tmp_path / NAME, *[graph] * 3, *events([0]), *[graph] * 3)
    gradlog.read(tmp_path)
    tracemalloc.start()

    steps, notes = steps_and_notes(tmp_path)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (steps, notes) == ([0], ())
    assert peak < 2.5 * (1 << 20)  # one, and the next while it is read


def test_after_a_record_that_is_no_event_the_next_is_read(tmp_path):
    starts = event_files.write(tmp_path / NAME, *events([0]), b"\xff\xff\xff", *events([1]))

    steps, (note,) = steps_and_notes(tmp_path)

    assert steps == [0, 1]
    assert note.startswith(f"{NAME} is damaged in the record at byte {starts[2]}, of which not everything is read")


@pytest.mark.parametrize(
    "tensor",
    [
        tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_content=b"123"),
        tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1, 2]),
        tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[b"one"]),
        tensor_pb2.TensorProto(dtype=99, tensor_content=b"1234"),
        tensor_pb2.TensorProto(),
    ],
)
def test_one_malformed_scalar_is_noted_and_its_neighbours_are_read(tmp_path, tensor):
    value = summary_pb2.Summary.Value(tag="broken", tensor=tensor)
    value.metadata.plugin_data.plugin_name = "scalars"
    event_files.write(tmp_path / NAME, event_files.event(5, number("a", 1), value, number("b", 2)), *events([6]))

    run = gradlog.read(tmp_path)

    assert (run.scalars["a"].steps.tolist(), run.scalars["b"].steps.tolist()) == ([5, 6], [5])
    assert "broken" not in run.scalars
    (note,) = run.notes
    assert note.startswith(f"{NAME} has a malformed 'broken' at step 5, which is left out: ")


@pytest.mark.parametrize("shape", [[4], [2, 2], [3, -1], [1 << 40, 3]])
def test_a_histogram_that_is_none_is_noted(tmp_path, shape):
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_DOUBLE, tensor_content=np.zeros(4).tobytes())
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    value = summary_pb2.Summary.Value(tag="broken", tensor=tensor)
    value.metadata.plugin_data.plugin_name = "histograms"
    event_files.write(tmp_path / NAME, event_files.event(0, value), *events([1]))

    steps, (note,) = steps_and_notes(tmp_path)

    assert steps == [1]
    assert "malformed 'broken' at step 0" in note


@pytest.mark.parametrize("num_values", [1, 1 << 20])
def test_a_number_that_stands_for_more_than_memory_holds_is_noted(tmp_path, num_values):
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_HALF, half_val=[15360])
    tensor.tensor_shape.dim.add(size=num_values << 20)
    value = summary_pb2.Summary.Value(tag="broken", tensor=tensor)
    value.metadata.plugin_data.plugin_name = "scalars"
    event_files.write(tmp_path / NAME, event_files.event(0, value))

    (note,) = gradlog.read(tmp_path).notes
    assert "malformed 'broken' at step 0" in note


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"\xff",
        b"[]",
        b"null",
        b'{"variables": ["v"]}',
        b'{"variables": ["v", "v"], "statistics": ["s"]}',
        b'{"variables": "v", "statistics": ["s"]}',
        b'{"variables": [1], "statistics": ["s"]}',
        b'{"variables": ["v"], "statistics": ["s", "t"]}',
        b"[" * 100_000,
    ],
)
def test_a_table_whose_names_are_malformed_is_noted_and_the_others_are_read(tmp_path, content):
    good = json.dumps({"version": 1, "variables": ["v"], "statistics": ["s"]}).encode()
    tables = [table(good), table(content), table(good)]
    event_files.write(tmp_path / NAME, *(event_files.event(step, value) for step, value in enumerate(tables)))

    run = gradlog.read(tmp_path)

    assert (run.steps.tolist(), run.statistics.ravel().tolist()) == ([0, 2], [3, 3])
    (note,) = run.notes
    assert "malformed 'gradlog/statistics' at step 1" in note


def table(content):
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[3])
    for _ in range(2):
        tensor.tensor_shape.dim.add(size=1)
    value = summary_pb2.Summary.Value(tag="gradlog/statistics", tensor=tensor)
    value.metadata.plugin_data.plugin_name = "gradlog"
    value.metadata.plugin_data.content = content
    return value


def test_of_many_notes_on_a_file_the_first_few_are_given(tmp_path):
    event_files.write(tmp_path / NAME, *[b"\xff"] * 100)

    notes = gradlog.read(tmp_path).notes

    assert (len(notes), notes[-1]) == (11, f"{NAME} has 90 more such places.")


@pytest.mark.parametrize("size", [0, 1, 8, 255, 256, 257, 511, 512, 513, 5000])
def test_the_checksum_is_tensorboards(size):
    data = np.random.default_rng(size).bytes(size)

    assert masked_crc(data) == masked_crc32c(data)


def damaged(content, generator):
    """Returns content with a damage of one of several kinds, and the byte where it begins."""
    at = int(generator.integers(len(content)))
    size = int(generator.integers(1, 40))
    kind = generator.integers(5)
    if kind == 0:
        flipped = content[at] ^ 1 << int(generator.integers(8))
        return content[:at] + bytes([flipped]) + content[at + 1 :], at
    if kind == 1:
        return content[:at] + content[at + size :], at
    if kind == 2:
        return content[:at] + generator.bytes(size) + content[at:], at
    if kind == 3:
        return content[:at] + generator.bytes(size) + content[at + size :], at
    return content[:at], at


def series_of(run, is_kept):
    """Returns all scalars, histograms and texts of a run by tag and step, of the steps for which a function is true."""
    return {
        (tag, step): np.asarray(value).tolist()
        for kind in (run.scalars, run.histograms, run.texts)
        for tag, one in kind.items()
        for step, value in zip(one.steps.tolist(), one.values, strict=True)
        if is_kept(step)
    }


def content_until(run, step):
    """Returns all that a run says of the steps before one, in a form that can be compared."""
    series = series_of(run, lambda at: at < step)
    num = int(np.searchsorted(run.steps, step))
    table = [run.variables, run.columns, run.steps[:num].tolist(), run.statistics[:num].tobytes()] if num else []
    return series, table


def test_hundreds_of_random_damages_never_raise_and_leave_the_steps_before_them_as_they_were(tmp_path):
    path = Path(write(tmp_path, range(0, 200, 25)))
    content, whole = path.read_bytes(), gradlog.read(tmp_path)
    starts = [record.offset for record in records(path, pytest.fail)]
    ends = [*starts[2:], len(content)]
    generator = np.random.default_rng(0)
    for _ in range(500):
        broken, at = damaged(content, generator)
        path.write_bytes(broken)
        run = gradlog.read(tmp_path)
        step = 25 * sum(end <= at for end in ends)
        assert content_until(run, step) == content_until(whole, step)
        is_cut_between_records = content.startswith(broken) and len(broken) in [*starts[1:], *ends]
        assert run.notes or is_cut_between_records
