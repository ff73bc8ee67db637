"""Writers: what is written is on disk at once, and the same wherever it goes."""

import signal
import subprocess
import sys
import threading
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from marks import OF_TENSORFLOW
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import event_pb2
from tensorboard.util import tensor_util

import gradlog
from gradlog.history.history import Snapshot
from gradlog.stats import buckets
from gradlog.writers import BackgroundWriter, EventWriter, MemoryWriter, MultiWriter, Writer

pytestmark = pytest.mark.usefixtures("without_graph_optimizer")


def snapshot(step=0, nonfinite=0.0):
    counts = np.zeros((2, buckets.NUM_BUCKETS), np.int64)
    counts[:, 127 << buckets.MANTISSA_BITS] = 3, 0
    return Snapshot(
        step=step,
        variables=("a/kernel", "a/bias"),
        columns=("gradient_mean_abs", "gradient_nonfinite"),
        statistics=np.array([[0.5, nonfinite], [np.nan, 0]], np.float32),
        gradients=counts,
        weights=counts,
        scalars={"train/loss": 1.5 + step},
    )


def tensors(log_dir):
    accumulator = EventAccumulator(str(log_dir), size_guidance={"tensors": 0})
    accumulator.Reload()
    return {
        tag: [(event.step, tensor_util.make_ndarray(event.tensor_proto).tolist()) for event in accumulator.Tensors(tag)]
        for tag in accumulator.Tags()["tensors"]
    }


def test_a_snapshot_is_on_disk_as_soon_as_it_is_written(tmp_path):
    writer = EventWriter(tmp_path)
    writer.write(snapshot(7))

    read = tensors(tmp_path)  # before the writer is closed

    assert read["train/loss"] == [(7, 8.5)]
    assert read["gradient_mean_abs/a/kernel"] == [(7, 0.5)]
    assert read["gradient/a/kernel"] == [(7, [[1.0, 1.25, 3.0]])]
    assert read["weight/a/kernel"] == [(7, [[1.0, 1.25, 3.0]])]
    assert "gradient_mean_abs/a/bias" not in read  # it had no gradient
    assert "gradient/a/bias" not in read
    assert not [tag for tag in read if tag.startswith("nonfinite")]


def test_nonfinite_is_written_from_the_first_time_on(tmp_path):
    writer = EventWriter(tmp_path)
    for step, number in enumerate([0, 2, 0]):
        writer.write(snapshot(step, number))

    assert tensors(tmp_path)["nonfinite/a/kernel"] == [(1, 2.0), (2, 0.0)]


def test_scalars_and_texts(tmp_path):
    writer = EventWriter(tmp_path)
    writer.write_scalars(3, {"test/accuracy": 0.25})
    writer.write_text(0, "experiment", "**bold**")
    writer.close()

    history = gradlog.read(tmp_path)
    assert (history.scalars["test/accuracy"].steps.tolist(), history.texts["experiment"].values) == ([3], ["**bold**"])
    assert tensors(tmp_path)["test/accuracy"] == [(3, 0.25)]


def test_memory_keeps_what_the_file_keeps(tmp_path):
    memory, file = MemoryWriter(), EventWriter(tmp_path)
    for writer in (memory, file):
        writer.write(snapshot(0))
        writer.write(snapshot(5, nonfinite=1))
        writer.write_text(5, "note", "n")
        writer.close()

    kept, read = memory.history(), gradlog.read(tmp_path)
    assert kept.variables == read.variables == ("a/kernel", "a/bias")
    np.testing.assert_array_equal(kept.statistics, read.statistics)
    for kind in ("scalars", "histograms", "texts"):
        assert getattr(kept, kind).keys() == getattr(read, kind).keys()
        for tag, series in getattr(read, kind).items():
            np.testing.assert_array_equal(series.steps, getattr(kept, kind)[tag].steps)
            np.testing.assert_array_equal(np.array(series.values), np.array(getattr(kept, kind)[tag].values))


def test_what_was_taken_from_memory_does_not_change_when_more_is_written():
    memory = MemoryWriter()
    memory.write(snapshot(0))
    first = memory.history()
    memory.write(snapshot(5))

    assert (first.steps.tolist(), memory.history().steps.tolist()) == ([0], [0, 5])
    assert first.scalars["train/loss"].values.tolist() == [1.5]
    assert [rows.tolist() for rows in first.histograms["gradient/a/kernel"].values] == [[[1.0, 1.25, 3.0]]]


def test_memory_can_be_read_while_another_thread_writes():
    """Every history is of whole steps: each series is as long as its steps, and all are of the same steps."""
    memory, problems, is_done = MemoryWriter(), [], threading.Event()

    def read():
        while not is_done.is_set():
            try:
                problems.extend(inconsistencies(memory.history()))
            except Exception as error:
                problems.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns as often as they can
    try:
        for reader in readers:
            reader.start()
        writer = BackgroundWriter(memory)
        for step in range(400):
            writer.write(snapshot(step))
        writer.close()
    finally:
        is_done.set()
        for reader in readers:
            reader.join()
        sys.setswitchinterval(interval)

    assert writer.error is None
    assert problems == []
    assert memory.history().steps.tolist() == list(range(400))


def inconsistencies(history):
    """Yields what is not of the steps of the table, or of another length than its steps."""
    wanted = history.steps.tolist()
    if len(history.statistics) != len(wanted):
        yield "statistics", len(history.statistics), len(wanted)
    for tag, series in (history.scalars | history.histograms).items():
        if series.steps.tolist() != wanted or len(series.values) != len(wanted):
            yield tag, len(series.steps), len(series.values), len(wanted)


def test_several_writers_each_get_everything():
    writers = [mock.create_autospec(EventWriter, instance=True) for _ in range(2)]
    several = MultiWriter(writers)
    one = snapshot()

    several.write(one)
    several.write_scalars(1, {"a": 2.0})
    several.write_text(1, "t", "text")
    several.close()

    expected = [mock.call.write(one), mock.call.write_scalars(1, {"a": 2.0}), mock.call.write_text(1, "t", "text")]
    for writer in writers:
        assert writer.mock_calls == [*expected, mock.call.close()]


def test_every_writer_is_one_and_what_lacks_a_method_is_not(tmp_path):
    memory = MemoryWriter()
    background = BackgroundWriter(memory)
    background.close()

    for writer in (memory, background, MultiWriter([memory]), EventWriter(tmp_path)):
        assert isinstance(writer, Writer)
    for name in ("write", "write_scalars", "write_text", "close"):
        others = {other: None for other in ("write", "write_scalars", "write_text", "close") if other != name}
        assert not isinstance(type("Other", (), others)(), Writer)


def test_two_writers_in_one_directory_have_two_files(tmp_path):
    for step in (0, 1):
        writer = EventWriter(tmp_path)
        writer.write(snapshot(step))
        writer.close()

    assert len(list(tmp_path.iterdir())) == 2
    assert gradlog.read(tmp_path).steps.tolist() == [0, 1]
    assert tensors(tmp_path)["train/loss"] == [(0, 1.5), (1, 2.5)]


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_directory_that_cannot_be_written_is_said_so(tmp_path, place):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(OSError, match=r"log directory cannot be written.*choose another `log_dir`.*file"):
        EventWriter(tmp_path / place)


KILLED = """
import sys, time, keras, numpy as np, gradlog
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="layer1")])
model.compile("sgd", "mse")
class Wait(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 6:
            time.sleep(1)  # writing lags by milliseconds
            print("logged", flush=True)
            time.sleep(600)
x = np.ones((64, 4), np.float32)
model.fit(x, x[:, :2], batch_size=4, verbose=0, callbacks=[gradlog.GradientLogger(sys.argv[1], every=2), Wait()])
"""


def test_a_killed_process_loses_nothing_that_was_logged(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout.readline().strip() == b"logged"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()

    assert gradlog.read(tmp_path).steps.tolist() == [0, 2, 4, 6]
    assert [step for step, _ in tensors(tmp_path)["gradient_mean_abs/layer1/kernel"]] == [0, 2, 4, 6]


FAILING = """
import sys, numpy as np
from gradlog.history.history import Snapshot
from gradlog.writers import BackgroundWriter, EventWriter
writer = BackgroundWriter(EventWriter(sys.argv[1]))
for step in range(300):
    writer.write(Snapshot(step, ("a",), ("gradient_norm",), np.ones((1, 1), np.float32)))
raise RuntimeError
"""


def test_a_program_that_ends_in_an_error_loses_nothing_that_was_logged(tmp_path):
    subprocess.run([sys.executable, "-c", FAILING, str(tmp_path)], stderr=subprocess.DEVNULL)

    assert gradlog.read(tmp_path).steps.tolist() == list(range(300))


def test_a_failing_writer_is_left_alone_and_its_error_kept():
    broken, error = mock.create_autospec(MemoryWriter, instance=True), OSError("No space left on device")
    broken.write.side_effect = [None, error, None]
    writer = BackgroundWriter(broken)

    for step in range(5):
        writer.write(snapshot(step))
    writer.close()

    assert writer.error is error
    assert broken.write.call_count == 2


def test_a_disk_that_does_not_answer_does_not_hold_up_the_training():
    slow, answers = mock.create_autospec(MemoryWriter, instance=True), threading.Event()
    slow.write.side_effect = lambda snapshot: answers.wait()
    writer = BackgroundWriter(slow)

    for step in range(4):
        writer.write(snapshot(step))
    assert slow.write.call_count <= 1  # the training has gone on, and the first is not written yet
    answers.set()
    writer.close()

    assert slow.write.call_count == 4


def test_a_training_waits_only_where_a_write_takes_less_than_a_hundredth_of_the_time(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("gradlog.writers.background.time", SimpleNamespace(perf_counter=lambda: clock.now))
    waited, memory = [], MemoryWriter()
    writer = BackgroundWriter(memory, wait=0)
    for step, (passed, seconds_of_a_write) in enumerate([(0.4, 0.005), (0.4, 0.003), (0.04, 0.0005), (20, 0.1)]):
        clock.now += passed
        with writer._changed:  # the thread, which measures it, has come to the end of the step before
            writer._seconds_of_a_write = seconds_of_a_write
        with monkeypatch.context() as patch:
            patch.setattr(writer, "_wait_until", lambda is_so, seconds, step=step: waited.append((step, seconds)))
            writer.write(snapshot(step))
        writer.flush()
    writer.close()

    # After two times 0.4 s; the longest wait, 0.05 s, is too short for a write of 0.1 s.
    assert waited == [(1, pytest.approx(0.008))]
    assert memory.history().steps.tolist() == [0, 1, 2, 3]


def test_a_step_logged_after_a_long_time_is_on_disk_when_the_training_goes_on(tmp_path):
    writer = BackgroundWriter(EventWriter(tmp_path))
    writer.write(snapshot(0))
    writer._last_write -= 100  # as if the last logged step were 100 s ago

    writer.write(snapshot(1))

    assert gradlog.read(tmp_path).steps.tolist() == [0, 1]
    writer.close()


@OF_TENSORFLOW
def test_a_remote_directory_gets_the_same_file():
    """TensorFlow's file system in memory stands for those of the clouds, which are opened in the same way."""
    import tensorflow as tf

    writer = EventWriter("ram://logs/run")
    writer.write(snapshot(7))
    writer.write_text(7, "a", "b")
    writer.close()

    written = tf.data.TFRecordDataset([writer.path])
    events = [event_pb2.Event.FromString(record.numpy()) for record in written]
    assert [event.step for event in events] == [0, 7, 7]
    assert events[0].file_version == "brain.Event:2"
    assert {value.tag for event in events for value in event.summary.value} >= {"train/loss", "a"}
