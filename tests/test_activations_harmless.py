"""Activations: to look at them harms nothing, and what goes wrong meanwhile is said."""

import functools
import random
import warnings

import keras
import networks
import numpy as np
import pytest
from activations_case import LOOP, TRAININGS, XLA, KeepWeights, Subclassed, X, check_rows, forward, network, train
from marks import ENGINE, OF_TENSORFLOW, ONE_STEP_A_CALL, in_combinations

import gradlog
from gradlog.backends import probe

layers = keras.layers


# What it leaves alone.


@keras.saving.register_keras_serializable("tests")
class Restless(layers.Layer):
    """Draws random numbers and counts, in inference as in training."""

    def __init__(self):
        super().__init__()
        self.seed = keras.random.SeedGenerator(3)
        self.calls = self.add_weight(shape=(), trainable=False, name="calls")

    def call(self, x):
        self.calls.assign_add(1.0)
        self.add_loss(keras.ops.mean(x) * 0.0)
        x += keras.random.normal(keras.ops.shape(x), stddev=0.01, seed=self.seed)
        return x if ENGINE == "jax" else x + keras.random.normal((1,)) * 0  # JAX draws nothing without a seed


def restless_network(**arguments):
    keras.utils.clear_session()  # older versions of Keras keep their global generator, whatever the seed
    keras.utils.set_random_seed(0)
    parts = [
        layers.Dense(8, "relu", name="layer1"),
        layers.BatchNormalization(),
        Restless(),
        layers.Dropout(0.3),
        layers.Dense(3),
    ]
    return networks.compiled(keras.Sequential([keras.Input((12,)), *parts]), **arguments)


def random_number_of_the_engine():
    """Draws from the engine's own state; JAX has none."""
    if ENGINE == "tensorflow":
        import tensorflow as tf

        return float(tf.random.uniform([]))
    if ENGINE == "torch":
        import torch

        return float(torch.rand(()))
    return 0.0


@pytest.mark.parametrize(
    "kind",
    [
        "graph",
        "eager",
        LOOP,
        pytest.param("xla", marks=[OF_TENSORFLOW, pytest.mark.combinations]),
        pytest.param("several_steps", marks=[ONE_STEP_A_CALL, pytest.mark.combinations]),
    ],
)
def test_weights_statistics_metrics_optimizer_and_random_state_are_those_of_a_run_without(tmp_path, kind):
    arguments = {"steps_per_execution": 4} if kind == "several_steps" else TRAININGS[kind]
    states = []
    for name, batch in (("without", None), ("with", X)):
        model = restless_network(**arguments)
        train(kind, model, [gradlog.GradientLogger(tmp_path / name, every=1, activations=batch)], steps=4)
        outside = [random.random(), np.random.random(), random_number_of_the_engine(), float(keras.random.uniform(()))]
        states.append([*networks.state(model), *map(np.array, model.metrics_variables), *map(np.array, outside)])

    for one, other in zip(*states, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not [layer for layer in model.layers if "call" in vars(layer)]
    history = gradlog.read(tmp_path / "with")
    assert "activation_dead/layer1" in history.scalars
    plain = gradlog.read(tmp_path / "without")
    np.testing.assert_array_equal(history.statistics, plain.statistics)
    np.testing.assert_array_equal(history.scalars["train/loss"].values, plain.scalars["train/loss"].values)


def test_the_pass_is_compiled_once_for_several_trainings(tmp_path, monkeypatch):
    traces, look = [], probe.Probe._look
    monkeypatch.setattr(probe.Probe, "_look", lambda *args: (traces.append(1), look(*args))[1])
    model, logger = network(), gradlog.GradientLogger(tmp_path, every=2, activations=X)

    train("graph", model, [logger])
    train("graph", model, [logger])
    assert len(traces) == (1 + 4 + 4 if ENGINE == "torch" else 1)  # PyTorch compiles nothing: each look is a pass
    model.get_layer("layer1").activation = keras.activations.tanh
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy())
    train("graph", model, [logger], steps=1)

    assert len(traces) == (1 + 4 + 4 + 1 + 1 if ENGINE == "torch" else 2)


def test_the_batch_is_a_copy(tmp_path):
    x, model = X.copy(), network()
    hidden = forward(model.get_weights(), X)
    logger = gradlog.GradientLogger(tmp_path, activations=x)
    zero = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: x.fill(0))

    train("graph", model, [logger, zero], steps=1)

    check_rows(gradlog.read(tmp_path).histograms["activation/layer1"].values[0], hidden["layer1"])


@pytest.mark.parametrize(("bias", "codes"), [(-100.0, ["GL201"]), (0.0, [])])
def test_dead_units_are_found_by_the_probe_while_it_trains(tmp_path, bias, codes):
    model = network()
    model.get_layer("layer1").bias.assign(np.full(8, bias))
    rules = [gradlog.rules.Dead()]
    logger = gradlog.GradientLogger(tmp_path, every=2, activations=X, rules=rules, on_finding="ignore")

    train("graph", model, [logger])

    assert [finding.code for finding in logger.findings] == codes
    assert all("layer1" in str(finding) and "probe" in str(finding) for finding in logger.findings)
    assert [finding.code for finding in gradlog.diagnose(gradlog.read(tmp_path), rules)] == codes


# What goes wrong.


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ("x", r"array or a tensor.*Received: activations of type str"),
        (3, r"Received: activations of type int"),
        ([], r"Received: activations of type list"),
        ([[1.0] * 12], r"as in `activations=x\[:100\]`.*Received: activations of type list"),
        pytest.param(
            networks.dataset() if ENGINE == "tensorflow" else None,
            r"Received: activations of type _",
            marks=OF_TENSORFLOW,
        ),
        (np.array([None, "a"]), r"Received: activations of type ndarray"),
        (X[:0], r"one example or more.*Received: activations of shape \(0, 12\)"),
        (np.float32(1), r"Received: activations of shape \(\)"),
        ([X, X[:3]], r"Received: activations of shape \(40, 12\), \(3, 12\)"),
        (X[:, :5], r"does not take the batch.*as the model is trained on.*Received: float32 \(40, 5\)"),
        ([X, X], r"it said: 1 input.*Received: \['float32 \(40, 12\)', 'float32 \(40, 12\)'\]"),
    ],
)
def test_a_batch_that_the_model_does_not_take_is_said_when_the_training_begins(tmp_path, batch, message):
    check_is_refused(tmp_path, batch, message, "graph")


@pytest.mark.parametrize("kind", [XLA, "eager", LOOP])
def test_a_batch_of_another_shape_is_said_in_every_kind_of_training(tmp_path, kind):
    check_is_refused(tmp_path, X[:, :5], "does not take the batch", kind)


def check_is_refused(tmp_path, batch, message, kind):
    model = network(**TRAININGS[kind])

    with pytest.raises(ValueError, match=f"(?s){message}"):
        train(kind, model, [gradlog.GradientLogger(tmp_path / "run", activations=batch)])

    assert int(model.optimizer.iterations.numpy()) == 0
    assert not (tmp_path / "run").exists()
    assert not [layer for layer in model.layers if "call" in vars(layer)]


def fail(*args):
    raise ZeroDivisionError("of gradlog's own")


def failing_as_it_runs():
    """Returns a function that fails where the pass runs that was made; PyTorch runs it once as it is made."""
    if ENGINE == "tensorflow":
        import tensorflow as tf

        def fail_as_it_runs(*args):
            with tf.control_dependencies([tf.debugging.Assert(tf.random.uniform([]) > 2, ["as it runs"])]):
                return tf.constant(0.0)

    elif ENGINE == "jax":
        import jax

        def fail_as_it_runs(*args):
            return jax.pure_callback(fail, jax.ShapeDtypeStruct((), "float32"))

    else:
        results = iter([0.0])

        def fail_as_it_runs(*args):
            result = next(results, None)
            return fail() if result is None else keras.ops.array(result)

    return fail_as_it_runs


AS_IT_RUNS = {"tensorflow": "InvalidArgumentError", "jax": r"\w*RuntimeError", "torch": "ZeroDivisionError"}[ENGINE]


@functools.cache
def state_without_activations(kind, log_dir):
    """What a training ends with whose logger looks at gradients alone."""
    model = network(**TRAININGS[kind])
    train(kind, model, [gradlog.GradientLogger(log_dir, every=2)])
    return networks.state(model)


@pytest.fixture(scope="module")
def plain_log_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("plain")


@pytest.mark.parametrize(
    ("failure", "message"),
    [(lambda: fail, "ZeroDivisionError: of gradlog's own"), (failing_as_it_runs, AS_IT_RUNS)],
    ids=["at once", "as it runs"],
)
@pytest.mark.parametrize("kind", ["graph", in_combinations("eager")])
def test_a_failure_is_said_once_and_gradients_go_on_to_be_logged(
    tmp_path, plain_log_dir, monkeypatch, failure, message, kind
):
    plain = state_without_activations(kind, plain_log_dir / kind)
    monkeypatch.setattr("gradlog.backends.layers.dead_fraction", failure())
    model, logger = network(**TRAININGS[kind]), gradlog.GradientLogger(tmp_path / "run", every=2, activations=X)

    with pytest.warns(
        UserWarning, match=f"gradlog stopped logging activations.*; training continues: {message}"
    ) as caught:
        train(kind, model, [logger])

    said = [str(warning.message) for warning in caught if "gradlog stopped" in str(warning.message)]
    assert len(said) == 1
    assert len(said[0]) < 500
    assert logger.error is not None
    assert gradlog.read(tmp_path / "run").steps.tolist() == [0, 2, 4, 6]
    for one, other in zip(plain, networks.state(model), strict=True):
        np.testing.assert_array_equal(one, other)
    monkeypatch.undo()
    train(kind, model, [logger])
    assert logger.error is None
    assert gradlog.read(tmp_path / "run").scalars["activation_dead/layer1"].steps.tolist() == [8, 10, 12, 14]


def test_a_model_without_hidden_activations_is_said_so(tmp_path):
    model = networks.dense_network(activation="linear")

    with pytest.warns(UserWarning, match="None of the model's hidden layers shows an activation.*Dense"):
        train("graph", model, [gradlog.GradientLogger(tmp_path, activations=X)])

    assert gradlog.read(tmp_path).steps.tolist() == [0]


def test_a_model_that_is_built_by_its_first_step_is_looked_at_from_the_second_on(tmp_path):
    """Where Keras builds it ahead of the training, it is looked at from the first on."""
    first = 3 if ENGINE == "tensorflow" else 0
    model = networks.compiled(Subclassed(), "sgd")
    model._maybe_symbolic_build = lambda **arguments: None
    weights = KeepWeights()

    train("graph", model, [gradlog.GradientLogger(tmp_path, every=3, activations=X), weights])

    history = gradlog.read(tmp_path)
    assert history.steps.tolist() == [0, 3, 6]
    assert history.scalars["activation_dead/layer1"].steps.tolist() == [*range(first, 8, 3)]
    check_rows(history.histograms["activation/layer1"].values[0], forward(weights.by_step[first], X)["layer1"])


def test_a_loop_of_ones_own_is_refused(tmp_path):
    model = network()

    with pytest.raises(ValueError, match=r"custom training loop.*`fit` or `gradlog.train`.*type ndarray"):
        gradlog.GradientLogger(tmp_path, activations=X).attach(model)


def test_nothing_is_run_where_nothing_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("gradlog.backends.hidden.watched_layers", fail)

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="gradlog stopped")
        train("loop" if ENGINE == "tensorflow" else "graph", network(), [gradlog.GradientLogger(tmp_path)])

    assert not [tag for tag in gradlog.read(tmp_path).histograms if tag.startswith("activation")]
