"""Activations: what is written is what a forward pass in NumPy gives."""

import importlib
import operator

import keras
import numpy as np
import pytest
from activations_case import (
    LOOP,
    TRAININGS,
    XLA,
    KeepWeights,
    X,
    check_activations,
    check_rows,
    check_step,
    forward,
    network,
    train,
)
from marks import ENGINE, ONE_STEP_A_CALL
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

import gradlog
from gradlog.backends import activations
from gradlog.backends.layers import kind_of

layers, ops = keras.layers, keras.ops
DTYPES = ("float16", "float32" if ENGINE == "jax" else "float64")  # JAX has no float64 by default


# The fractions, on numbers written by hand.


def test_a_unit_is_dead_that_is_zero_for_every_example():
    outputs = ops.array([[0.0, 0.0, 1.0, -0.0, np.nan], [0.0, 2.0, 3.0, 0.0, 0.0]])

    assert float(activations.dead_fraction([outputs])) == pytest.approx(2 / 5)
    assert float(activations.dead_fraction([outputs[:, :4], outputs[:, 1:]])) == pytest.approx(0 / 4)
    assert float(activations.dead_fraction([outputs[:, :4], outputs[:, 1:]], same_units=False)) == pytest.approx(3 / 8)
    assert float(activations.dead_fraction([ops.zeros((3,))])) == 1


def test_a_unit_of_a_convolution_is_a_channel():
    outputs = np.zeros((2, 3, 4, 5), np.float32)
    outputs[1, 2, 3, 0] = outputs[0, 0, 1, 3] = 1

    assert float(activations.dead_fraction([ops.array(outputs)])) == pytest.approx(3 / 5)
    assert float(activations.dead_fraction([ops.array(outputs)], axis=1)) == pytest.approx(1 / 3)


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

    fraction = activations.saturated_fraction([ops.array([*inside, *saturated])], is_saturated)

    assert float(fraction) == pytest.approx(len(saturated) / len([*inside, *saturated]))
    for dtype in DTYPES:
        assert ops.convert_to_numpy(is_saturated(ops.array(saturated, dtype))).all()
        assert not ops.convert_to_numpy(is_saturated(ops.array(inside, dtype))).any()


@pytest.mark.parametrize("name", ["elu", "selu", "gelu", "silu", "leaky_relu", "softplus", "softmax", "mish", "celu"])
def test_others_neither_die_nor_saturate(name):
    assert activations.kind(keras.activations.get(name)) == activations.Kind(False, None)


def relu_of_the_engine():
    path = "relu" if ENGINE == "torch" else "nn.relu"
    return operator.attrgetter(path)(importlib.import_module(ENGINE))


@pytest.mark.parametrize("relu", ["relu", relu_of_the_engine(), ops.relu, layers.ReLU(), layers.Activation("relu")])
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
    is_saturated = kind_of(layers.ReLU(max_value=2.0)).is_saturated(ops.array([1.9, 2.0]))
    assert ops.convert_to_numpy(is_saturated).tolist() == [0, 1]
    assert [kind_of(layer) for layer in (layers.Dense(2), layers.Dropout(0.1))] == [None, None]


# Whole trainings, against NumPy.


@pytest.mark.parametrize("kind", ["graph", XLA, "eager", LOOP])
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


@ONE_STEP_A_CALL
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
