"""GradientLogger on TensorFlow: under XLA, and in the loop of `gradlog.train`."""

import functools

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf
from logged_steps import NUM_STEPS, check_numbers, check_same, fit, logged, num_calls
from marks import in_combinations

import gradlog

XLA, EAGERLY = {"jit_compile": True}, {"run_eagerly": True}


def train_in_loop(model, callbacks):
    gradlog.train(model, networks.dataset(), steps=NUM_STEPS, callbacks=callbacks)


@pytest.mark.parametrize("arguments", [{}, EAGERLY], ids=["graph", "eager"])
def test_every_number_of_the_loop_equals_an_independent_tape(tmp_path, arguments):
    check_numbers(logged(networks.dense_network(**arguments), tmp_path, train_in_loop, every=3))


@functools.cache
def plainly_trained_by_xla():
    """What a training under XLA without a logger ends with: the same, whatever starts its steps."""
    model, traces = counted_network(**XLA)
    fit(model, [])
    assert len(traces) == 2  # of two layers
    return networks.state(model)


def counted_network(**arguments):
    """Returns a network, and a list that gets one more entry wherever one of its two activations is traced."""
    traces = []

    def activation(x):
        traces.append("call")
        return keras.activations.tanh(x)

    model = networks.dense_network(activation=activation, **arguments)
    traces.clear()
    return model, traces


XLA_MODES = {
    "fit": (fit, XLA),
    "several_steps": (fit, {"steps_per_execution": 4, **XLA}),
    "loop": (train_in_loop, XLA),
}


@pytest.mark.parametrize("mode", ["fit", *(in_combinations(one) for one in ("several_steps", "loop"))])
def test_under_xla_every_number_is_right_and_training_is_unchanged(tmp_path, mode):
    """Of a network whose gradients XLA computes in one way only, bit by bit; its programs are traced once each."""
    train, arguments = XLA_MODES[mode]
    observed, traces = counted_network(**arguments)

    check_numbers(logged(observed, tmp_path, train, every=3))

    if mode == "fit":
        assert len(traces) == 2 * 2  # the plain program and the recording one
    for one, other in zip(plainly_trained_by_xla(), networks.state(observed), strict=True):
        np.testing.assert_array_equal(one, other)


def test_fit_and_loop_agree_for_the_same_seed(tmp_path):
    fitted = logged(networks.random_network(), tmp_path / "fit", every=2)
    looped = logged(networks.random_network(), tmp_path / "loop", train_in_loop, every=2)

    assert fitted.steps.tolist() == looped.steps.tolist()
    np.testing.assert_allclose(fitted.statistics, looped.statistics, rtol=1e-4, atol=1e-7)
    for tag in ("train/loss", "train/accuracy"):
        np.testing.assert_allclose(fitted.scalars[tag].values, looped.scalars[tag].values, rtol=1e-5)


def test_training_in_the_loop_is_unchanged_by_the_logger(tmp_path):
    """Bit by bit: weights, batch statistics, random state, optimizer; with dropout and batch normalization."""
    plain, observed = networks.random_network(), networks.random_network()

    train_in_loop(plain, [])
    train_in_loop(observed, [gradlog.GradientLogger(tmp_path, every=4)])

    check_same(plain, observed)


def test_each_program_of_the_loop_is_traced_once(tmp_path):
    """The step is traced once for the plain program and once for the recording one, however many steps run."""

    def build(model):
        gradlog.train(model, networks.dataset(), steps=1)  # metrics and loss, with a trace of its own

    assert num_calls(tmp_path, train_in_loop, build) == (1, 2)


@pytest.mark.combinations
def test_training_under_xla_is_unchanged_but_for_rounding(tmp_path):
    """By two ULP at most after one step; where they are many, XLA's fusions differ by what they round.

    It fuses the gradient of the normalization's gamma in another way where that has one more reader.
    """
    plain, observed = (networks.random_network(jit_compile=True) for _ in range(2))
    logger = gradlog.GradientLogger(tmp_path, every=4)
    plain.fit(networks.dataset().take(1), verbose=0)
    observed.fit(networks.dataset().take(1), verbose=0, callbacks=[logger])

    for one, other in zip(networks.state(plain), networks.state(observed), strict=True):
        if one.dtype == np.float32:
            np.testing.assert_array_max_ulp(one, other, 2)
        else:
            np.testing.assert_array_equal(one, other)

    fit(plain, [])
    fit(observed, [logger])
    for one, other in zip(networks.state(plain), networks.state(observed), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-8)


def test_an_eager_step_makes_no_function_of_its_own(tmp_path, monkeypatch):
    """A bias that is all zero is summed again in float64, which is a function of its own in a graph alone."""
    model, made = networks.dense_network(run_eagerly=True), []
    original = tf.function

    def counted(*args, **kwargs):
        made.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(tf, "function", counted)
    fit(model, [gradlog.GradientLogger(tmp_path, every=1)])

    assert (gradlog.read(tmp_path).statistic("weight_norm", "layer1/bias")[0] == 0).all()
    assert made == []


def test_a_model_that_is_built_late_without_trainable_variables_is_said_so(tmp_path):
    model = keras.Sequential([keras.layers.Dense(3, trainable=False)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model._maybe_symbolic_build = lambda **arguments: None

    with pytest.warns(UserWarning, match="no gradients of this training: the model has no trainable variables"):
        fit(model, [gradlog.GradientLogger(tmp_path, every=1)])
