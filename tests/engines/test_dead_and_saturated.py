"""On every engine: the dead part of a convolution and the saturated part of a recurrent layer, while they train.

The expected fractions come from a forward pass in NumPy, in float64, with the weights before the step.
"""

import keras
import numpy as np
import pytest
import reference
from activations_case import KeepWeights

import gradlog

pytestmark = pytest.mark.engines
layers = keras.layers
RNG = np.random.default_rng(3)
IMAGES = RNG.normal(size=(9, 7, 7, 2)).astype(np.float32)
SEQUENCES = RNG.normal(size=(9, 5, 4)).astype(np.float32)
LARGE = keras.initializers.RandomNormal(stddev=1.2, seed=1)  # so that some of tanh is saturated, and some is not


def trained(log_dir, layer, x, **compiling):
    """Trains a layer under a dense one for three steps; returns what is logged, and its weights before each step."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(x.shape[1:]), layer, layers.Flatten(), layers.Dense(2)])
    if isinstance(layer, layers.Conv2D):
        layer.bias.assign([0, -50, 0, -50, -50])
    model.compile(keras.optimizers.SGD(0.1), "mse", **compiling)
    logger = gradlog.GradientLogger(log_dir, every=1, activations=x, on_finding="ignore")
    weights = KeepWeights()
    y = np.ones((len(x), 2), np.float32)
    model.fit(x, y, batch_size=3, steps_per_epoch=3, shuffle=False, verbose=0, callbacks=[weights, logger])
    assert logger.error is None
    of_layer = [kept[: len(layer.weights)] for kept in weights.by_step.values()]  # the first of the model
    return gradlog.read(log_dir), [[one.astype(np.float64) for one in kept] for kept in of_layer]


def convolved(x, kernel, bias):
    """A convolution without padding, and a ReLU."""
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), kernel.shape[:2], (1, 2))
    return np.maximum(np.einsum("bhwcij,ijcf->bhwf", windows, kernel) + bias, 0)


def recurred(x, kernel, recurrent, bias):
    """The outputs of a simple recurrent layer, of all times."""
    state, states = np.zeros((len(x), len(recurrent))), []
    for time in range(x.shape[1]):
        state = np.tanh(x[:, time] @ kernel + state @ recurrent + bias)
        states.append(state)
    return np.stack(states, 1)


def remembered(x, kernel, recurrent, bias):
    """The outputs of an LSTM, of all times."""
    state, cell, states = np.zeros((len(x), len(recurrent))), 0, []
    for time in range(x.shape[1]):
        parts = np.split(x[:, time] @ kernel + state @ recurrent + bias, 4, axis=1)
        let_in, kept, let_out = (1 / (1 + np.exp(-parts[number])) for number in (0, 1, 3))
        cell = kept * cell + let_in * np.tanh(parts[2])
        state = let_out * np.tanh(cell)
        states.append(state)
    return np.stack(states, 1)


@pytest.mark.parametrize("compiling", [{}, {"run_eagerly": True}], ids=["compiled", "eager"])
def test_dead_channels_of_a_convolution(tmp_path, compiling):
    layer = layers.Conv2D(5, 3, activation="relu", name="convolution")
    history, weights = trained(tmp_path, layer, IMAGES, **compiling)

    dead = history.scalars["activation_dead/convolution"]
    assert dead.steps.tolist() == [0, 1, 2]
    for index, (kernel, bias) in enumerate(weights):
        outputs = convolved(IMAGES, kernel, bias)
        np.testing.assert_allclose(dead.values[index], np.mean((outputs == 0).all((0, 1, 2))), rtol=1e-6)
        counted = history.histograms["activation/convolution"].values[index]
        assert reference.num_elsewhere(counted, outputs) == 0
    assert dead.values[0] == pytest.approx(3 / 5)
    assert np.any(weights[0][0] != weights[2][0])


@pytest.mark.parametrize("compiling", [{}, {"run_eagerly": True}], ids=["compiled", "eager"])
@pytest.mark.parametrize("returns_all", [True, False])
def test_how_much_of_a_recurrent_layer_is_saturated(tmp_path, compiling, returns_all):
    layer = layers.SimpleRNN(6, kernel_initializer=LARGE, return_sequences=returns_all, name="recurrent")
    history, weights = trained(tmp_path, layer, SEQUENCES, **compiling)

    saturated = history.scalars["activation_saturated/recurrent"]
    assert saturated.steps.tolist() == [0, 1, 2]
    for index, before in enumerate(weights):
        outputs = recurred(SEQUENCES, *before)
        outputs = outputs if returns_all else outputs[:, -1]
        np.testing.assert_allclose(saturated.values[index], np.mean(np.abs(outputs) > 0.97), rtol=1e-6)
        counted = history.histograms["activation/recurrent"].values[index]
        assert reference.num_elsewhere(counted, outputs) == 0
    assert 0.1 < saturated.values[0] < 0.9


def test_what_an_lstm_returns_is_counted_and_has_no_flat_end(tmp_path):
    """It is a tanh times a gate: its histogram is written, and no fraction."""
    layer = layers.LSTM(6, kernel_initializer=LARGE, return_sequences=True, name="lstm")
    history, weights = trained(tmp_path, layer, SEQUENCES)

    assert not [tag for tag in history.scalars if tag.startswith("activation")]
    for index, before in enumerate(weights):
        counted = history.histograms["activation/lstm"].values[index]
        assert counted[:, 2].sum() == 9 * 5 * 6
        assert reference.num_elsewhere(counted, remembered(SEQUENCES, *before)) == 0


def test_a_layer_that_is_called_at_each_time(tmp_path):
    layer = layers.TimeDistributed(layers.Dense(6, "tanh", kernel_initializer=LARGE), name="each")
    history, weights = trained(tmp_path, layer, SEQUENCES)

    saturated = history.scalars["activation_saturated/each"]
    for index, (kernel, bias) in enumerate(weights):
        outputs = np.tanh(SEQUENCES @ kernel + bias)
        np.testing.assert_allclose(saturated.values[index], np.mean(np.abs(outputs) > 0.97), rtol=1e-6)
