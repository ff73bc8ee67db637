"""A failure of the logger's own never ends or changes the training, and is said once."""

import contextlib
import functools
import resource
import shutil
import threading
import warnings

import keras
import networks
import numpy as np
import pytest
from marks import ENGINE, ONE_STEP_A_CALL

import gradlog
from gradlog.backends.engine import engine

MESSAGE = r"gradlog stopped logging to .*; training continues: "


# A failure outside of a step is the same in any program; one that is not traced takes a third of the time, but on JAX.
EAGERLY = {} if ENGINE == "jax" else {"run_eagerly": True}
# Methods of the tap that look at a step: at gradients, what follows the update, what precedes it, the loss, metrics.
RECORDING = {
    "tensorflow": ("_record", "_finish", "_before_apply", "_before_scale_loss", "_record_metrics"),
    "jax": ("_record", "_record_update", "_before_stateless_apply", "_before_update_metrics", "_record_metrics"),
    "torch": ("_record", "_after_apply", "_before_apply", "_before_scale_loss", "_record_metrics"),
}[ENGINE]
# What fetches the numbers of a step: in the training's own thread, and in gradlog's.
FETCHING = ("returning.ReturningRecorder.fetch", "returning.ReturningRecorder._on_host")
if ENGINE == "tensorflow":
    FETCHING = ("tensorflow.handover.Returned.take_certain", "tensorflow.handover.Form.on_host")


def trained(callbacks, **arguments):
    model = networks.dense_network(**arguments)
    networks.fit(model, callbacks, steps=12)
    return networks.state(model)


@functools.cache
def plainly_trained(**arguments):
    """What a training without a logger ends with."""
    return trained([], **arguments)


def check_is_said_once_and_trained_on(logger, message, is_new=False, **arguments):
    with pytest.warns(UserWarning, match=MESSAGE + message) as caught:
        observed = trained([logger], is_new=is_new, **arguments)
    assert len([warning for warning in caught if "gradlog stopped" in str(warning.message)]) == 1
    assert logger.error is not None
    for one, other in zip(plainly_trained(**arguments), observed, strict=True):
        np.testing.assert_array_equal(one, other)


class Remove:
    """Removes the run's directory in the middle of the training."""

    def __init__(self, log_dir, at):
        def on_train_batch_begin(batch, logs=None):
            if batch == at:
                shutil.rmtree(log_dir)

        self.callback = keras.callbacks.LambdaCallback(on_train_batch_begin=on_train_batch_begin)


def test_a_directory_that_is_removed(tmp_path):
    log_dir = tmp_path / "run"
    logger = gradlog.GradientLogger(log_dir, every=2)
    remove = Remove(log_dir, at=5).callback

    with pytest.warns(UserWarning, match=MESSAGE + r"FileNotFoundError: the event file is no longer there: .*run"):
        observed = trained([logger, remove], **EAGERLY)

    assert isinstance(logger.error, FileNotFoundError)
    assert not log_dir.exists()
    for one, other in zip(plainly_trained(**EAGERLY), observed, strict=True):
        np.testing.assert_array_equal(one, other)


@contextlib.contextmanager
def full_disk():
    """A context in which no file may become larger than 20 kB: a write fails, as on a full disk."""
    least, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (least, most))


def test_a_disk_that_is_full(tmp_path):
    logger = gradlog.GradientLogger(tmp_path, every=1)

    with full_disk():
        check_is_said_once_and_trained_on(logger, "OSError: .*File too large", **EAGERLY)

    steps = gradlog.read(tmp_path).steps.tolist()
    assert 1 <= len(steps) < 12
    assert steps == list(range(len(steps)))


@pytest.mark.parametrize(
    ("where", "arguments"),
    [
        *((where, {}) for where in RECORDING),
        ("_record", {"run_eagerly": True}),
        pytest.param("_record", {"steps_per_execution": 4}, marks=ONE_STEP_A_CALL),
        pytest.param("_record_metrics", {"steps_per_execution": 4}, marks=ONE_STEP_A_CALL),
    ],
)
def test_an_error_while_a_step_is_recorded(tmp_path, monkeypatch, where, arguments):
    def fail(*args, **kwargs):
        raise ZeroDivisionError("of gradlog's own")

    monkeypatch.setattr(engine().tap, where, fail)
    logger = gradlog.GradientLogger(tmp_path, every=2)

    # the first trace of a new model makes variables, and has to come to its end
    check_is_said_once_and_trained_on(logger, "ZeroDivisionError: of gradlog's own", is_new=True, **arguments)


@pytest.mark.parametrize("where", FETCHING)
def test_an_error_while_numbers_are_fetched(tmp_path, monkeypatch, where):
    """In the training's own thread, and in gradlog's."""

    def fail(*args):
        raise ZeroDivisionError("of gradlog's own")

    monkeypatch.setattr(f"gradlog.backends.{where}", fail)

    check_is_said_once_and_trained_on(gradlog.GradientLogger(tmp_path, every=2), "ZeroDivisionError")


def test_a_writer_that_fails(tmp_path):
    class Broken:
        def write(self, snapshot):
            raise OSError("no more")

        def write_scalars(self, step, scalars):
            pass

        def write_text(self, step, tag, markdown):
            pass

        def close(self):
            pass

    logger = gradlog.GradientLogger(tmp_path, every=2, writers=[Broken()])

    check_is_said_once_and_trained_on(logger, "OSError: no more", **EAGERLY)


def test_the_next_training_is_logged_again(tmp_path):
    log_dir = tmp_path / "run"
    logger = gradlog.GradientLogger(log_dir, every=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trained([logger, Remove(log_dir, at=5).callback], **EAGERLY)

    trained([logger], **EAGERLY)

    assert logger.error is None
    assert gradlog.read(log_dir).steps.tolist() == [0, 2, 4, 6, 8, 10]


def test_a_writer_that_is_slower_than_the_training_leaves_steps_out_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "gradlog.writers.background._num_bytes", lambda snapshot: (1 << 29) - 1
    )  # more than two may not wait
    may_go_on, written = threading.Event(), []

    class Slow:
        def write(self, snapshot):
            may_go_on.wait()
            written.append(snapshot.step)

        def write_text(self, step, tag, markdown):
            pass

        def close(self):
            pass

    go_on = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: may_go_on.set())
    with pytest.warns(UserWarning, match=r"left out \d+ logged steps.*slower than the training.*larger `every`"):
        trained([gradlog.GradientLogger(tmp_path, every=1, writers=[Slow()]), go_on], **EAGERLY)

    assert 3 <= len(written) <= 4  # one in the writer's hands, and those that waited
    assert written == list(range(len(written)))
