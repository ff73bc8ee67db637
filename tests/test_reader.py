"""The reader: runs by name, files that are still growing, and only those; damage is the matter of test_damage.py."""

import os
import re
from pathlib import Path

import event_files
import keras
import numpy as np
import pytest
from marks import OF_TENSORFLOW
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util
from test_writers import snapshot

import gradlog
from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.events import reader
from gradlog.history import names
from gradlog.history.frames import single_scalars
from gradlog.history.history import History, Series
from gradlog.history.joining import join
from gradlog.writers import EventWriter

TAG = "gradient_mean_abs/a/kernel"


def write(log_dir, steps):
    writer = EventWriter(log_dir)
    for step in steps:
        writer.write(snapshot(step))
    writer.close()
    return writer.path


def test_one_directory_is_a_run_and_one_above_is_all_of_them(tmp_path):
    write(tmp_path / "relu", [0, 2])
    write(tmp_path / "deep" / "sigmoid", [0])

    runs = gradlog.read(tmp_path)

    assert list(runs) == ["deep/sigmoid", "relu"]
    assert runs["relu"].steps.tolist() == gradlog.read(tmp_path / "relu").steps.tolist() == [0, 2]


def test_a_record_that_is_not_complete_yet_ends_the_run_before_it(tmp_path):
    path = write(tmp_path, [0, 1, 2])
    with open(path, "rb+") as file:
        file.truncate(file.seek(0, 2) - 10)

    run = gradlog.read(tmp_path)

    assert run.steps.tolist() == [0, 1]
    (note,) = run.notes
    assert re.fullmatch(rf"{Path(path).name} ends within a record, from byte \d+ on: it is still being .*", note)


def test_a_whole_run_has_no_notes(tmp_path):
    write(tmp_path, [0, 1, 2])

    assert gradlog.read(tmp_path).notes == ()


@pytest.mark.parametrize("log_dir", [".", "missing"])
def test_where_there_is_no_run_the_error_names_the_directory(tmp_path, log_dir):
    with pytest.raises(FileNotFoundError, match=f"no event files.*Received: log_dir=.*{log_dir}"):
        gradlog.read(tmp_path / log_dir)


def test_unknown_names_are_answered_with_the_known_ones(tmp_path):
    write(tmp_path, [0])
    run = gradlog.read(tmp_path)

    with pytest.raises(KeyError, match=r"no statistic 'norm'.*gradient_mean_abs, gradient_nonfinite"):
        run.statistic("norm")
    with pytest.raises(KeyError, match=r"no variable 'b/kernel'.*a/kernel, a/bias"):
        run.statistic("gradient_mean_abs", "b/kernel")


def test_variables_that_come_later_stand_where_they_are_in_the_network():
    """As where a backbone is unfrozen below a head that was trained alone."""
    tables = {
        0: (["head/kernel"], ["gradient_norm"], [[1]]),
        10: (["stem/kernel", "body/kernel", "head/kernel", "top/kernel"], ["gradient_norm"], [[2], [3], [4], [5]]),
        20: (["head/kernel", "extra/kernel"], ["gradient_norm"], [[6], [7]]),
    }

    variables, _, steps, statistics = join(tables)

    assert [name.split("/")[0] for name in variables] == ["stem", "body", "head", "extra", "top"]
    assert steps.tolist() == [0, 10, 20]
    known = np.nan_to_num(statistics[:, :, 0], nan=0)
    assert known.tolist() == [[0, 0, 1, 0, 0], [2, 3, 4, 0, 5], [0, 0, 6, 7, 0]]


def test_steps_with_other_variables_are_joined_by_name():
    """As after a layer was unfrozen: what a step lacks is NaN."""
    variables, columns, steps, statistics = join(
        {9: (["b", "a"], ["x", "y"], [[3, 4], [5, 6]]), 1: (["b"], ["x"], [[1]])}
    )

    assert (variables, columns, steps.tolist()) == (("b", "a"), ("x", "y"), [1, 9])
    np.testing.assert_array_equal(statistics, [[[1, np.nan], [np.nan, np.nan]], [[3, 4], [5, 6]]])


def test_kernels_stand_in_the_models_order():
    assert History(variables=("z/kernel", "z/bias", "a/kernel")).kernels() == ["z/kernel", "a/kernel"]


KERNELS = {
    "SeparableConv2D": (
        ["stem/depthwise_kernel", "stem/pointwise_kernel", "stem/bias", "out/kernel", "out/bias"],
        [0, 1, 3],
    ),
    "LSTM": (["tokens/embeddings", "lstm/lstm_cell/kernel", "lstm/lstm_cell/recurrent_kernel", "lstm/bias"], [1, 2]),
    "normalization": (["norm/gamma", "norm/beta", "dense/kernel", "dense/bias"], [2]),
    "PyTorch": (["conv1.weight", "conv1.bias", "bn1.running_mean", "fc.weight"], [0, 3]),
    "a name with kernel in it": (["kernels/bias", "kernel_size/kernel"], [1]),
    "no kernel": (["norm/gamma", "norm/beta"], []),
    "nothing": ([], []),
}


@pytest.mark.parametrize("case", KERNELS)
def test_kernels_by_their_names(case):
    variables, wanted = KERNELS[case]

    history = History(
        tuple(variables), ("gradient_norm",), np.zeros(1, np.int64), np.zeros((1, len(variables), 1), np.float32)
    )

    assert names.kernels(variables) == history.kernels() == [variables[index] for index in wanted]
    assert Evidence(history).kernels == tuple(history.kernels())


def in_table(run):
    """Returns the series in the table that the file also holds as scalars."""
    found = {}
    for column, prefix in names.SCALAR_TAGS.items():
        for variable in run.variables if column in run.columns else ():
            values = run.statistic(column, variable)
            is_written = ~np.isnan(values) & ((column != names.NONFINITE) | (np.cumsum(values) > 0))
            if is_written.any():
                found[f"{prefix}/{variable}"] = Series(run.steps[is_written], values[is_written])
    return found


def assert_same_as_tensorboard(log_dir):
    """Every scalar and histogram, step by step, against TensorBoard's own reader; also the scalars in the table."""
    kinds = ("tensors", "scalars", "histograms")
    accumulator = EventAccumulator(str(log_dir), size_guidance=dict.fromkeys(kinds, 0)).Reload()
    run = gradlog.read(log_dir)
    ours = run.scalars | run.histograms | in_table(run)
    for tag, series in ours.items():
        events = accumulator.Tensors(tag)
        assert series.steps.tolist() == [event.step for event in events]
        for value, event in zip(series.values, events, strict=True):
            np.testing.assert_array_equal(value, tensor_util.make_ndarray(event.tensor_proto), strict=False)
    return run, ours


def test_many_steps_are_what_tensorboard_reads(tmp_path):
    path = write(tmp_path, range(0, 3000, 30))  # a step takes one or two bytes

    run, ours = assert_same_as_tensorboard(tmp_path)

    assert Path(path).parent == tmp_path
    assert (len(ours), run.steps.tolist(), run.notes) == (4, list(range(0, 3000, 30)), ())


@OF_TENSORFLOW
def test_what_tf_summary_writes_is_what_tensorboard_reads(tmp_path):
    import tensorflow as tf

    generator = np.random.default_rng(0)
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        for step in (0, 1, 1000):
            tf.summary.scalar("loss", 0.1 * step, step)
            tf.summary.histogram("a", generator.normal(size=100), step)
            tf.summary.histogram("empty", [], step)
            tf.summary.text("note", ["one", "two"], step)
            tf.summary.image("picture", np.zeros((1, 2, 2, 3)), step)

    run, ours = assert_same_as_tensorboard(tmp_path)

    assert set(ours) == {"loss", "a", "empty"}
    assert run.texts["note"].values == ["one\ntwo"] * 3
    assert run.statistics.shape == (0, 0, 0)
    assert run.notes == ()


@OF_TENSORFLOW
def test_directories_of_keras_callback_are_runs_without_statistics(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="out")])
    model.compile("sgd", "mse")
    x = np.ones((8, 3), np.float32)
    callback = keras.callbacks.TensorBoard(tmp_path, histogram_freq=1, update_freq=1, profile_batch=(1, 2))
    model.fit(x, x[:, :2], validation_data=(x, x[:, :2]), batch_size=4, epochs=2, verbose=0, callbacks=[callback])
    (tmp_path / "notes.txt").write_text("mine")

    runs = gradlog.read(tmp_path)

    assert {"train", "validation"} <= set(runs)
    assert all(not run.statistics.size and run.notes == () for run in runs.values())
    assert runs["validation"].scalars["epoch_loss"].steps.tolist() == [0, 1]
    assert [name for name, run in runs.items() if run.histograms] == ["train"]
    for rows in next(iter(runs["train"].histograms.values())).values:
        assert rows.shape[1] == 3
    assert_same_as_tensorboard(tmp_path / "train")


@OF_TENSORFLOW
def test_numbers_of_any_type_and_in_either_form_are_read(tmp_path):
    import tensorflow as tf

    values = [
        tf.make_tensor_proto(value)
        for value in (np.float64(0.1), np.int32(7), np.int64(-8), np.float16(0.5), [np.float32(2)], np.uint8(3))
    ]
    metadata = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
    summary = tf.compat.v1.Summary
    old = [event_files.event(step, event_files.number("old", step / 3)) for step in (1, 2, 3)]
    content = [summary.Value(tag=str(n), tensor=tensor, metadata=metadata) for n, tensor in enumerate(values)]
    event = tf.compat.v1.Event(step=5, summary=summary(value=content)).SerializeToString()
    event_files.write(tmp_path / "events.out.tfevents.1", *old, event)

    run = gradlog.read(tmp_path)

    assert [run.scalars[str(n)].values.tolist() for n in range(6)] == [[np.float32(0.1)], [7], [-8], [0.5], [2], [3]]
    assert run.scalars["old"].values.tolist() == np.float32([1 / 3, 2 / 3, 1]).tolist()


def test_of_a_resumed_run_the_later_file_stands_where_both_have_a_step(tmp_path):
    for name, offset, steps in (("1", 0, (0, 10, 20, 30)), ("2", 100, (20, 30, 40))):
        events = [event_files.event(step, event_files.number("a", offset + step)) for step in steps]
        event_files.write(tmp_path / f"events.out.tfevents.{name}", *events)

    series = gradlog.read(tmp_path).scalars["a"]

    assert series.steps.tolist() == [0, 10, 20, 30, 40]
    assert series.values.tolist() == [0, 10, 120, 130, 140]


def test_a_histogram_and_a_table_are_read_anew_after_a_resumption(tmp_path):
    write(tmp_path, [0, 1, 2])
    write(tmp_path, [1, 2, 3])

    run = gradlog.read(tmp_path)

    assert run.steps.tolist() == [0, 1, 2, 3]
    assert run.histograms["gradient/a/kernel"].steps.tolist() == [0, 1, 2, 3]
    assert len(run.histograms["gradient/a/kernel"].values) == 4


def test_a_scalar_that_stands_in_the_table_is_once_in_the_long_table(tmp_path):
    """It is kept where the table lacks one of its steps, as where only the table is damaged."""
    write(tmp_path, [0, 1, 2])
    assert list(single_scalars(gradlog.read(tmp_path))) == ["train/loss"]
    event_files.write(tmp_path / "events.out.tfevents.9", event_files.event(9, event_files.number(TAG, 7)))

    run = gradlog.read(tmp_path)

    assert run.statistic("gradient_mean_abs", "a/kernel").tolist() == [0.5] * 3
    assert run.scalars[TAG].steps.tolist() == [0, 1, 2, 9]
    assert run.scalars[TAG].values.tolist() == [0.5, 0.5, 0.5, 7]
    assert TAG in single_scalars(run)


def test_links_that_lead_in_a_circle_and_twice_to_one_run_are_followed_once(tmp_path):
    write(tmp_path / "deep" / "run", [0])
    (tmp_path / "deep" / "up").symlink_to(tmp_path)
    (tmp_path / "deep" / "itself").symlink_to(tmp_path / "deep" / "itself")
    (tmp_path / "latest").symlink_to(tmp_path / "deep" / "run")
    write(tmp_path.parent / f"{tmp_path.name}-elsewhere", [0])
    (tmp_path / "linked").symlink_to(tmp_path.parent / f"{tmp_path.name}-elsewhere")

    assert list(gradlog.read(tmp_path)) == ["deep/run", "linked"]


def refuse(monkeypatch, name):
    """Makes a directory one that cannot be listed; the mode alone does not hold up who runs as root."""
    listdir = os.listdir

    def list_or_refuse(path="."):
        if Path(path).name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", list_or_refuse)


def test_a_directory_that_cannot_be_listed_is_a_run_with_a_note(tmp_path, monkeypatch):
    write(tmp_path / "run", [0])
    (tmp_path / "secret").mkdir()
    refuse(monkeypatch, "secret")

    runs = gradlog.read(tmp_path)

    assert list(runs) == ["run", "secret"]
    assert (runs["run"].notes, runs["run"].steps.tolist()) == ((), [0])
    (note,) = runs["secret"].notes
    assert note.startswith("secret cannot be read: ")


def test_a_log_directory_that_cannot_be_listed_is_a_clear_error(tmp_path, monkeypatch):
    (tmp_path / "secret").mkdir()
    refuse(monkeypatch, "secret")

    with pytest.raises(PermissionError, match=r"cannot be listed. Expected .* `chmod`. Received: log_dir=.*secret"):
        gradlog.read(tmp_path / "secret")


def test_a_file_that_cannot_be_opened_is_noted(tmp_path):
    path = write(tmp_path, [0])
    gone = tmp_path / "events.out.tfevents.9"
    gone.write_bytes(b"")
    gone.unlink()
    found = reader.find_runs(tmp_path)["."]

    run = reader._read_run([*found, gone], None)

    assert run.steps.tolist() == [0]
    assert run.notes == (f"{gone.name} cannot be read: No such file or directory.",)
    assert found == [Path(path)]
