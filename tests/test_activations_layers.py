"""Activations: which layers are looked at, and under which names, however a model is built."""

import keras
import numpy as np
import pytest
from activations_case import Subclassed, X, check_rows, forward, hidden_layers, observed

layers = keras.layers


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
    kernel = models[list].get_layer("hidden").get_weights()[0].astype(float)
    values = np.maximum(np.concatenate(x, 1) @ kernel, 0)

    for model, batch in [
        (models[list], x),
        (models[list], tuple(x)),
        (models[dict], dict(zip(by_name, x, strict=True))),
    ]:
        rows, _ = observed(model, batch)
        check_rows(rows["activation/hidden"], values)
