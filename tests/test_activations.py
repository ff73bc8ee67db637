"""Activations: what is written is what a forward pass in NumPy gives, however a model is built, and harms nothing."""

import functools
import random
import warnings

import keras
import networks
import numpy as np
import pytest
import reference
import tensorflow as tf
from marks import in_combinations
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

import gradlog
from gradlog.backends import activations, probe
from gradlog.backends.layers import kind_of
from gradlog.history.history import Snapshot
from gradlog.session.guard import Guard
from gradlog.writers import MemoryWriter

layers = keras.layers
X = networks.data()[0][:40]
TRAININGS = {
    "graph": {},
    "xla": {"jit_compile": True},
    "eager": {"run_eagerly": True},
    "loop": {},
}


# The fractions, on numbers written by hand.


def test_a_unit_is_dead_that_is_zero_for_every_example():
    outputs = tf.constant([[0.0, 0.0, 1.0, -0.0, np.nan], [0.0, 2.0, 3.0, 0.0, 0.0]])

    assert float(activations.dead_fraction([outputs])) == pytest.approx(2 / 5)
    assert float(activations.dead_fraction([outputs[:, :4], outputs[:, 1:]])) == pytest.approx(0 / 4)
    assert float(activations.dead_fraction([outputs[:, :4], outputs[:, 1:]], same_units=False)) == pytest.approx(3 / 8)
    assert float(activations.dead_fraction([tf.zeros([3])])) == 1


def test_a_unit_of_a_convolution_is_a_channel():
    outputs = np.zeros((2, 3, 4, 5), np.float32)
    outputs[1, 2, 3, 0] = outputs[0, 0, 1, 3] = 1

    assert float(activations.dead_fraction([tf.constant(outputs)])) == pytest.approx(3 / 5)
    assert float(activations.dead_fraction([tf.constant(outputs)], axis=1)) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("name", "inside", "saturated"),
    [
        ("tanh", [0, -0.96, 0.969], [0.971, -0.98, 1, -1]),
        ("sigmoid", [0.031, 0.5, 0.969], [0.029, 0, 0.98, 1]),
        ("hard_sigmoid", [0.001, 0.999], [0, 1]),
        ("hard_tanh", [-0.999, 0, 0.999], [-1, 1]),
        ("relu6", [0, 3, 5.9], [6]),
    ],
)
def test_what_counts_as_saturated(name, inside, saturated):
    is_saturated = activations.KINDS[name].is_saturated

    fraction = activations.saturated_fraction([tf.constant([*inside, *saturated])], is_saturated)

    assert float(fraction) == pytest.approx(len(saturated) / len([*inside, *saturated]))
    for dtype in (tf.float16, tf.float64):
        assert is_saturated(tf.constant(saturated, dtype)).numpy().all()
        assert not is_saturated(tf.constant(inside, dtype)).numpy().any()


@pytest.mark.parametrize("name", ["elu", "selu", "gelu", "silu", "leaky_relu", "softplus", "softmax", "mish", "celu"])
def test_others_neither_die_nor_saturate(name):
    assert activations.kind(keras.activations.get(name)) == activations.Kind(False, None)


@pytest.mark.parametrize("relu", ["relu", tf.nn.relu, keras.ops.relu, layers.ReLU(), layers.Activation("relu")])
def test_a_relu_is_known_however_it_is_given(relu):
    assert kind_of(layers.Dense(2, relu)).can_die


def test_kinds_of_layers():
    kinds = {
        "leaky": layers.LeakyReLU(),
        "prelu": layers.PReLU(),
        "relu with a slope": layers.ReLU(negative_slope=0.1),
        "lstm": layers.LSTM(2),
        "gru": layers.GRU(2),
        "lambda": layers.Dense(2, lambda x: x),
    }
    assert {name for name, layer in kinds.items() if kind_of(layer) == activations.Kind()} == set(kinds)
    assert kind_of(layers.SimpleRNN(2)).is_saturated is not None
    assert kind_of(layers.ReLU(max_value=2.0)).is_saturated(tf.constant([1.9, 2.0])).numpy().tolist() == [0, 1]
    assert [kind_of(layer) for layer in (layers.Dense(2), layers.Dropout(0.1))] == [None, None]


# Whole trainings, against NumPy.


def hidden_layers():
    """Three hidden layers; two units of the first are dead, and the others' weights are large enough to saturate."""
    large = keras.initializers.RandomNormal(stddev=1.5, seed=1)
    return [
        layers.Dense(8, "relu", name="layer1"),
        layers.Dense(6, "tanh", kernel_initializer=large, name="layer2"),
        layers.Dense(7, "sigmoid", kernel_initializer=large, name="layer3"),
    ]


def network(is_new=False, **compile_arguments):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((12,)), *hidden_layers(), layers.Dense(3, "sigmoid", name="out")])
    model.get_layer("layer1").bias.assign([-100.0, -100, 0, 0, 0, 0, 0, 0])
    accuracy = "accuracy" if is_new else keras.metrics.SparseCategoricalAccuracy("accuracy")
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(), metrics=[accuracy], **compile_arguments)
    if not is_new:
        model.optimizer.build(model.trainable_variables)
    return model


def forward(weights, x):
    """The hidden layers of `network` in NumPy, float64."""
    kernels, biases = weights[0::2], weights[1::2]
    one = np.maximum(x.astype(float) @ kernels[0] + biases[0], 0)
    two = np.tanh(one @ kernels[1] + biases[1])
    return {"layer1": one, "layer2": two, "layer3": 1 / (1 + np.exp(-(two @ kernels[2] + biases[2])))}


class KeepWeights(keras.callbacks.Callback):
    """Keeps the weights before every call, by step."""

    def __init__(self):
        super().__init__()
        self.by_step = {}

    def on_train_batch_begin(self, batch, logs=None):
        self.by_step[int(self.model.optimizer.iterations.numpy())] = self.model.get_weights()


def train(kind, model, callbacks, steps=8):
    if kind.startswith("loop"):
        gradlog.train(model, networks.dataset(), steps=steps, callbacks=callbacks)
    else:
        model.fit(networks.dataset().take(steps), verbose=0, shuffle=False, callbacks=callbacks)


def check_rows(rows, values):
    """The rows count every element; one that the independent road rounds over an edge may be in the next bucket."""
    values = np.asarray(values, np.float32)  # in which a tanh may well be 1
    expected = {tuple(row[:2]): row[2] for row in reference.histogram_rows(values)}
    actual = {tuple(row[:2]): row[2] for row in rows}
    assert sum(actual.values()) == values.size
    assert sum(abs(actual.get(k, 0) - expected.get(k, 0)) for k in {*actual, *expected}) <= 2 * values.size // 50


def check_step(history, time, hidden):
    scalars = {tag: series.values[time] for tag, series in history.scalars.items() if tag.startswith("activation")}
    one, two, three = hidden.values()
    assert scalars == pytest.approx(
        {
            "activation_dead/layer1": (one == 0).all(0).mean(),
            "activation_saturated/layer2": (abs(two) > 0.97).mean(),
            "activation_saturated/layer3": ((three < 0.03) | (three > 0.97)).mean(),
        },
        rel=1e-6,
    )
    assert 0 < scalars["activation_dead/layer1"] < 1
    assert 0.1 < scalars["activation_saturated/layer2"] < 1
    assert 0 < scalars["activation_saturated/layer3"] < 1
    for layer, values in hidden.items():
        check_rows(history.histograms[f"activation/{layer}"].values[time], values)


def check_activations(history, weights):
    """Checks the steps 0, 3 and 6 against the weights before every step."""
    for time, step in enumerate([0, 3, 6]):
        check_step(history, time, forward(weights[step], X))


@pytest.mark.parametrize("kind", TRAININGS)
def test_every_number_is_that_of_a_forward_pass_in_numpy_before_the_update(tmp_path, kind):
    weights = KeepWeights()
    logger = gradlog.GradientLogger(tmp_path, every=3, activations=X)

    train(kind, network(is_new=kind == "graph", **TRAININGS[kind]), [logger, weights])

    history = gradlog.read(tmp_path)
    assert logger.error is None
    assert {tag for tag in history.histograms if tag.startswith("activation")} == {
        f"activation/layer{number}" for number in (1, 2, 3)
    }
    for tag, series in [*history.histograms.items(), *history.scalars.items()]:
        assert series.steps.tolist() == [0, 3, 6] or not tag.startswith("activation"), tag
    check_activations(history, weights.by_step)


def test_tensorboard_reads_the_same(tmp_path):
    model = network()
    hidden = forward(model.get_weights(), X)
    train("graph", model, [gradlog.GradientLogger(tmp_path, activations=X)], steps=1)

    accumulator = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    accumulator.Reload()

    (event,) = accumulator.Tensors("activation/layer2")
    check_rows(tensor_util.make_ndarray(event.tensor_proto), hidden["layer2"])
    (event,) = accumulator.Tensors("activation_saturated/layer2")
    fraction = tensor_util.make_ndarray(event.tensor_proto).item()
    assert fraction == pytest.approx((abs(hidden["layer2"]) > 0.97).mean())


def test_with_several_steps_a_call_the_first_due_one_gets_what_was_seen_before_the_call(tmp_path):
    weights = KeepWeights()
    logger = gradlog.GradientLogger(tmp_path, every=3, activations=X)

    train("graph", network(steps_per_execution=4), [logger, weights])

    history = gradlog.read(tmp_path)
    assert history.steps.tolist() == [0, 3, 6]
    assert history.scalars["activation_dead/layer1"].steps.tolist() == [0, 6]
    check_step(history, 0, forward(weights.by_step[0], X))
    check_step(history, 1, forward(weights.by_step[4], X))


def test_without_histograms_there_are_the_fractions(tmp_path):
    train("graph", network(), [gradlog.GradientLogger(tmp_path, activations=X, histograms=False)])

    history = gradlog.read(tmp_path)
    assert not history.histograms
    assert history.scalars["activation_dead/layer1"].values.tolist() == [0.25]


def test_mixed_precision(tmp_path):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy(policy)
    hidden = forward(model.get_weights(), X)
    train("graph", model, [gradlog.GradientLogger(tmp_path, every=1, activations=X)], steps=2)

    history = gradlog.read(tmp_path)
    assert history.scalars["activation_dead/layer1"].values[0] == 0.25
    saturated = history.scalars["activation_saturated/layer2"].values[0]
    assert saturated == pytest.approx((abs(hidden["layer2"]) > 0.97).mean(), abs=0.02)


# Which layers, under which names.


def observed(model, x, **arguments):
    """Looks at a model once; returns the histograms' rows and the scalars, by tag."""
    one, writer = probe.Probe(x, True), MemoryWriter()
    guard = Guard("looking")
    one.begin(model, guard)
    one.observe()
    assert guard.error is None
    table = np.zeros((0, 0), np.float32)
    writer.write(one.take().added_to(Snapshot(0, (), (), table)))
    history = writer.history()
    return {tag: s.values[0] for tag, s in history.histograms.items()}, {
        tag: float(s.values[0]) for tag, s in history.scalars.items()
    }


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.all = [*hidden_layers(), layers.Dense(3, name="out")]

    def call(self, x):
        for layer in self.all:
            x = layer(x)
        return x


def functional():
    x = inputs = keras.Input((12,))
    for layer in [*hidden_layers(), layers.Dense(3, name="out")]:
        x = layer(x)
    return keras.Model(inputs, x)


BUILDS = {
    "sequential": lambda: keras.Sequential([keras.Input((12,)), *hidden_layers(), layers.Dense(3, name="out")]),
    "sequential, built late": lambda: keras.Sequential([*hidden_layers(), layers.Dense(3, name="out")]),
    "functional": functional,
    "subclassed": Subclassed,
}


@pytest.mark.parametrize("build", BUILDS)
def test_names_are_the_same_however_a_model_is_built(build):
    keras.utils.set_random_seed(0)
    model = BUILDS[build]()
    model(X)

    rows, scalars = observed(model, X)

    assert list(rows) == ["activation/layer1", "activation/layer2", "activation/layer3"]
    assert set(scalars) == {"activation_dead/layer1", "activation_saturated/layer2", "activation_saturated/layer3"}
    for name, values in forward(model.get_weights(), X).items():
        check_rows(rows[f"activation/{name}"], values)


def test_nested_models_and_layers_without_weights():
    keras.utils.set_random_seed(0)
    parts = [layers.Dense(6, name="a"), layers.LeakyReLU(0.2, name="leaky"), layers.Dense(5, "tanh", name="b")]
    inner = keras.Sequential([keras.Input((12,)), *parts], name="inner")
    model = keras.Sequential([keras.Input((12,)), inner, layers.Dense(4), layers.ReLU(name="relu"), layers.Dense(2)])

    rows, scalars = observed(model, X)

    kernels, biases = model.get_weights()[0::2], model.get_weights()[1::2]
    one = X.astype(float) @ kernels[0] + biases[0]
    one = np.where(one > 0, one, 0.2 * one)
    two = np.tanh(one @ kernels[1] + biases[1])
    three = np.maximum(two @ kernels[2] + biases[2], 0)
    for name, values in {"inner/leaky": one, "inner/b": two, "relu": three}.items():
        check_rows(rows.pop(f"activation/{name}"), values)
    assert not rows
    assert set(scalars) == {"activation_saturated/inner/b", "activation_dead/relu"}


def test_a_shared_layer_counts_all_its_calls_and_its_unit_is_dead_only_in_all():
    inputs, shared = keras.Input((2,)), layers.Dense(3, "relu", name="shared")
    outputs = layers.Dense(1)(layers.Concatenate()([shared(inputs), shared(-inputs)]))
    model = keras.Model(inputs, outputs)
    shared.set_weights([np.array([[1.0, 0, 0], [0, 1, 0]]), np.array([0.0, 0, -1])])
    x = np.array([[1.0, 0], [2, 0]], np.float32)

    rows, scalars = observed(model, x)

    assert scalars == {"activation_dead/shared": pytest.approx(2 / 3)}
    assert sum(row[2] for row in rows["activation/shared"] if row[0] > 0) == 2
    assert rows["activation/shared"][:, 2].sum() == 12


def test_one_relu_behind_layers_of_different_widths():
    inputs, relu = keras.Input((2,)), layers.ReLU(name="relu")
    wide, narrow = layers.Dense(3), layers.Dense(2)
    model = keras.Model(inputs, layers.Dense(1)(relu(narrow(relu(wide(inputs))))))
    wide.set_weights([np.ones((2, 3)), np.array([0.0, 0, -9])])
    narrow.set_weights([np.ones((3, 2)), np.array([-99.0, -99])])

    _, scalars = observed(model, np.ones((4, 2), np.float32))

    assert scalars == {"activation_dead/relu": pytest.approx(3 / 5)}


def test_a_convolution_in_numpy():
    keras.utils.set_random_seed(2)
    convolution = layers.Conv2D(4, 1, activation="relu", name="convolution")
    model = keras.Sequential([keras.Input((5, 5, 3)), convolution, layers.Flatten(), layers.Dense(2)])
    convolution.bias.assign([0, -50, 0, -50])
    x = np.random.default_rng(0).normal(size=(3, 5, 5, 3)).astype(np.float32)

    rows, scalars = observed(model, x)

    kernel, bias = convolution.get_weights()
    check_rows(rows["activation/convolution"], np.maximum(x.astype(float) @ kernel[0, 0] + bias, 0))
    assert scalars == {"activation_dead/convolution": 0.5}


@pytest.mark.parametrize("num_times", [6, None])
@pytest.mark.parametrize("run_eagerly", [False, True])
def test_recurrent_layers(num_times, run_eagerly):
    """The cells run in a loop, out of which nothing can be had; the layers' outputs tell all."""
    keras.utils.set_random_seed(0)
    parts = [
        layers.SimpleRNN(4, return_sequences=True, name="simple"),
        layers.LSTM(3, return_sequences=True, name="lstm"),
        layers.TimeDistributed(layers.Dense(5, "relu"), name="each"),
        layers.Bidirectional(layers.GRU(2, name="gru"), name="both"),
        layers.Dense(2),
    ]
    model = keras.Sequential([keras.Input((num_times, 3)), *parts])
    model.compile("sgd", "mse", run_eagerly=run_eagerly)
    x = np.random.default_rng(0).normal(size=(8, 6, 3)).astype(np.float32)

    rows, scalars = observed(model, x)

    assert [tag.partition("/")[2].partition("_gru")[0] for tag in rows] == [
        "simple",
        "lstm",
        "each",
        "both/forward",
        "both/backward",
    ]
    kernel, recurrent, bias = parts[0].get_weights()
    state, states = np.zeros((8, 4)), []
    for time in range(6):
        state = np.tanh(x[:, time].astype(float) @ kernel + state @ recurrent + bias)
        states.append(state)
    check_rows(rows["activation/simple"], np.stack(states))
    assert rows["activation/each"][:, 2].sum() == 8 * 6 * 5
    assert scalars.keys() == {"activation_saturated/simple", "activation_dead/each"}
    assert scalars["activation_saturated/simple"] == pytest.approx((abs(np.stack(states)) > 0.97).mean())


def test_an_output_of_the_model_is_no_hidden_activation():
    inputs = keras.Input((12,))
    hidden = layers.Dense(3, "tanh", name="hidden")(inputs)
    code = layers.Dense(2, "relu", name="code")(hidden)
    model = keras.Model(inputs, {"code": code, "decoded": layers.Dense(12, "sigmoid", name="decoded")(code)})

    rows, _ = observed(model, X)

    assert list(rows) == ["activation/hidden"]


def test_several_inputs_in_a_list_a_tuple_and_a_dictionary():
    inputs = [keras.Input((12,), name="one"), keras.Input((2,), name="two")]
    hidden = layers.Dense(3, "relu", name="hidden")(layers.Concatenate()(inputs))
    x = [X, np.ones((40, 2), np.float32)]
    by_name = {"one": inputs[0], "two": inputs[1]}
    models = {list: keras.Model(inputs, layers.Dense(1)(hidden)), dict: keras.Model(by_name, layers.Dense(1)(hidden))}
    kernel = models[list].get_layer("hidden").kernel.numpy().astype(float)
    values = np.maximum(np.concatenate(x, 1) @ kernel, 0)

    for model, batch in [
        (models[list], x),
        (models[list], tuple(x)),
        (models[dict], dict(zip(by_name, x, strict=True))),
    ]:
        rows, _ = observed(model, batch)
        check_rows(rows["activation/hidden"], values)


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
        return x + keras.random.normal(keras.ops.shape(x), stddev=0.01, seed=self.seed) + keras.random.normal((1,)) * 0


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


@pytest.mark.parametrize(
    "kind",
    [
        "graph",
        "eager",
        "loop",
        *(in_combinations(one) for one in ("xla", "several_steps")),
    ],
)
def test_weights_statistics_metrics_optimizer_and_random_state_are_those_of_a_run_without(tmp_path, kind):
    arguments = {"steps_per_execution": 4} if kind == "several_steps" else TRAININGS[kind]
    states = []
    for name, batch in (("without", None), ("with", X)):
        model = restless_network(**arguments)
        train(kind, model, [gradlog.GradientLogger(tmp_path / name, every=1, activations=batch)], steps=4)
        outside = [random.random(), np.random.random(), float(tf.random.uniform([])), float(keras.random.uniform(()))]
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
    assert len(traces) == 1
    model.get_layer("layer1").activation = keras.activations.tanh
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy())
    train("graph", model, [logger], steps=1)

    assert len(traces) == 2


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
        (networks.dataset(), r"Received: activations of type _"),
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


@pytest.mark.parametrize("kind", ["xla", "eager", "loop"])
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


def fail_as_it_runs(*args):
    with tf.control_dependencies([tf.debugging.Assert(tf.random.uniform([]) > 2, ["as it runs"])]):
        return tf.constant(0.0)


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
    ("failure", "message"), [(fail, "ZeroDivisionError: of gradlog's own"), (fail_as_it_runs, "InvalidArgumentError")]
)
@pytest.mark.parametrize("kind", ["graph", in_combinations("eager")])
def test_a_failure_is_said_once_and_gradients_go_on_to_be_logged(
    tmp_path, plain_log_dir, monkeypatch, failure, message, kind
):
    plain = state_without_activations(kind, plain_log_dir / kind)
    monkeypatch.setattr("gradlog.backends.layers.dead_fraction", failure)
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
    model = networks.compiled(Subclassed(), "sgd")
    model._maybe_symbolic_build = lambda **arguments: None
    weights = KeepWeights()

    train("graph", model, [gradlog.GradientLogger(tmp_path, every=3, activations=X), weights])

    history = gradlog.read(tmp_path)
    assert history.steps.tolist() == [0, 3, 6]
    assert history.scalars["activation_dead/layer1"].steps.tolist() == [3, 6]
    check_rows(history.histograms["activation/layer1"].values[0], forward(weights.by_step[3], X)["layer1"])


def test_a_loop_of_ones_own_is_refused(tmp_path):
    model = network()

    with pytest.raises(ValueError, match=r"custom training loop.*`fit` or `gradlog.train`.*type ndarray"):
        gradlog.GradientLogger(tmp_path, activations=X).attach(model)


def test_nothing_is_run_where_nothing_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("gradlog.backends.hidden.watched_layers", fail)

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="gradlog stopped")
        train("loop", network(), [gradlog.GradientLogger(tmp_path)])

    assert not [tag for tag in gradlog.read(tmp_path).histograms if tag.startswith("activation")]
