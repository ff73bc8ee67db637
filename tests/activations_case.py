"""A network whose hidden activations are known in NumPy, ways to train it, and what a look at a model sees."""

import keras
import networks
import numpy as np
import pytest
import reference
from marks import OF_TENSORFLOW

import gradlog
from gradlog.backends import probe
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
XLA, LOOP = (pytest.param(kind, marks=OF_TENSORFLOW) for kind in ("xla", "loop"))


def hidden_layers():
    """Three hidden layers; two units of the first are dead, and the others' weights are large enough to saturate."""
    large = keras.initializers.RandomNormal(stddev=1.5, seed=1)
    return [
        layers.Dense(8, "relu", name="layer1"),
        layers.Dense(6, "tanh", kernel_initializer=large, name="layer2"),
        layers.Dense(7, "sigmoid", kernel_initializer=large, name="layer3"),
    ]


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.all = [*hidden_layers(), layers.Dense(3, name="out")]

    def call(self, x):
        for layer in self.all:
            x = layer(x)
        return x


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
        weights = [np.array(weight) for weight in self.model.get_weights()]  # on PyTorch, they change in place
        self.by_step[int(self.model.optimizer.iterations.numpy())] = weights


def train(kind, model, callbacks, steps=8):
    if kind == "loop":
        gradlog.train(model, networks.dataset(), steps=steps, callbacks=callbacks)
    else:
        networks.fit(model, callbacks, steps)


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
