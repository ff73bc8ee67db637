"""GradientLogger: what it is to a training, which it leaves as it is, and to the trainings that follow."""

import keras
import networks
import numpy as np
import own_steps
import pytest
from logged_steps import NUM_STEPS, check_same, fit, num_calls
from marks import ENGINE, ONE_STEP_A_CALL

import gradlog

MODES = {"graph": {}, "eager": {"run_eagerly": True}, "several_steps": {"steps_per_execution": 5}}
SEVERAL_STEPS = pytest.param("several_steps", marks=ONE_STEP_A_CALL)


@pytest.mark.parametrize("mode", ["graph", "eager", SEVERAL_STEPS])
def test_training_is_unchanged_by_the_logger(tmp_path, mode):
    """Bit by bit: weights, batch statistics, random state, optimizer; with dropout and batch normalization."""

    def trained(callbacks):
        model = networks.random_network(is_new=mode == "graph", **MODES[mode])
        fit(model, callbacks)
        return model

    check_same(trained([]), trained([gradlog.GradientLogger(tmp_path, every=4)]))


@pytest.mark.parametrize("mode", ["graph", SEVERAL_STEPS])
def test_each_program_is_traced_once(tmp_path, mode):
    """The step is traced once for the plain program and once for the recording one, however many steps run."""
    build = None if ENGINE == "tensorflow" else lambda model: fit(model, [], steps=1)  # which has a trace of its own

    found = num_calls(tmp_path, fit, build, **MODES[mode])

    if ENGINE == "torch":  # which traces nothing
        assert found == (NUM_STEPS, NUM_STEPS)
    elif ENGINE == "tensorflow" and mode == "several_steps":
        assert found == (1, 3)  # its recording program holds the plain step too
    else:
        assert found == (1, 2)


def test_a_second_fit_reuses_the_programs_and_goes_on_counting(tmp_path):
    model = networks.dense_network()
    logger = gradlog.GradientLogger(tmp_path, every=5)

    fit(model, [logger])
    recording = logger._session._recording
    fit(model, [])
    fit(model, [logger])

    assert logger._session._recording is recording
    history = gradlog.read(tmp_path)
    assert history.steps.tolist() == [0, 5, 10, 25, 30, 35]


def test_nothing_stays_behind(tmp_path):
    """After the training, model and optimizer hold just what they held before, also where it ended in an error."""
    model = networks.dense_network()
    fit(model, [])
    before = set(model.__dict__), set(model.optimizer.__dict__), model.train_function

    class Failing(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                raise KeyboardInterrupt

    fit(model, [gradlog.GradientLogger(tmp_path / "a", every=1)])
    logger = gradlog.GradientLogger(tmp_path / "b", every=1)
    with pytest.raises(KeyboardInterrupt):
        fit(model, [logger, Failing()])
    logger._session._writer.close()  # as the end of the program does

    assert (set(model.__dict__), set(model.optimizer.__dict__), model.train_function) == before
    assert gradlog.read(tmp_path / "b").steps.tolist() == [24, 25, 26, 27]


def test_a_run_over_an_earlier_one_goes_into_a_numbered_directory_and_a_continued_one_does_not(tmp_path, recwarn):
    network = networks.run_eagerly(networks.dense_network)
    model = network()
    logger = gradlog.GradientLogger(tmp_path)
    fit(model, [logger])
    fit(model, [logger])
    fit(model, [gradlog.GradientLogger(tmp_path)])  # goes on at step 24
    assert [str(w.message) for w in recwarn if "earlier run" in str(w.message)] == []

    with pytest.warns(UserWarning, match=r"holds an earlier run.*step 0 again.*/2'"):
        fit(network(), [gradlog.GradientLogger(tmp_path, every=5)])
    with pytest.warns(UserWarning, match=r"holds an earlier run.*/3'"):
        fit(anew := network(), [gradlog.GradientLogger(tmp_path, every=4)])
    fit(anew, [gradlog.GradientLogger(tmp_path, every=4)])  # resumes the last run

    assert gradlog.read(tmp_path).steps.tolist() == [0]
    assert gradlog.read(tmp_path / "2").steps.tolist() == [0, 5, 10]
    assert gradlog.read(tmp_path / "3").steps.tolist() == [0, 4, 8, 12, 16, 20]


def test_a_step_without_a_keras_optimizer_is_warned_of_and_trains_on(tmp_path):
    class ByHand(own_steps.ByHand, keras.Sequential):
        pass

    model = ByHand([keras.Input((12,)), keras.layers.Dense(3, name="layer1")])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = networks.state(model)

    with pytest.warns(UserWarning, match=r"no gradients of this training.*logger\.attach\(") as caught:
        fit(model, [gradlog.GradientLogger(tmp_path, every=1)])

    assert len([w for w in caught if "no gradients" in str(w.message)]) == 1
    assert not np.array_equal(before[0], networks.state(model)[0])


def test_an_evaluation_inside_of_a_training_is_a_test_and_the_validation_stays(tmp_path):
    model, logger = networks.dense_network(), gradlog.GradientLogger(tmp_path, every=4)
    x, y = networks.first_batches(4)

    def evaluate(epoch, logs=None):
        model.evaluate(x, y, verbose=0, callbacks=[logger])

    own = keras.callbacks.LambdaCallback(on_epoch_begin=evaluate)
    fit(model, [logger, own], epochs=3, steps=4, validation_data=(x, y))
    model.evaluate(x, y, verbose=0, callbacks=[logger])

    scalars = gradlog.read(tmp_path).scalars
    assert scalars["validation/loss"].steps.tolist() == [4, 8, 12]
    assert scalars["test/loss"].steps.tolist() == [0, 4, 8, 12]


def test_a_model_need_not_inherit_from_keras_model(tmp_path):
    """As Keras' own tests have it: a trainer that is a layer."""
    trainer = keras.Model.__mro__[1]

    class DenseTrainer(trainer, keras.layers.Dense):
        def __init__(self):
            keras.layers.Dense.__init__(self, 3, name="layer1")
            trainer.__init__(self)

    def build():
        keras.utils.set_random_seed(0)
        model = DenseTrainer()
        model.build((None, 12))
        return networks.compiled(model, "sgd")

    plain, observed = build(), build()
    fit(plain, [])
    fit(observed, [gradlog.GradientLogger(tmp_path, every=4)])

    assert not isinstance(observed, keras.Model)
    check_same(plain, observed)
    assert gradlog.read(tmp_path).steps.tolist() == [0, 4, 8]
