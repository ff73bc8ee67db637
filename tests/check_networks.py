"""Small networks that the pictures of checks train; each function returns one that builds a compiled model."""

import keras
from keras import layers

SPARSE = keras.losses.SparseCategoricalCrossentropy


def network(units, activation, loss, hidden=(32,), kind="relu", optimizer=None, columns=12, **more):
    """Returns a function that builds a small dense network."""

    def build():
        keras.utils.set_random_seed(1)
        start = more.get("start", "glorot_uniform")
        dense = [
            layers.Dense(size, kind, kernel_initializer=start, name=f"hidden{n}") for n, size in enumerate(hidden, 1)
        ]
        model = keras.Sequential([keras.Input((columns,)), *dense, layers.Dense(units, activation, name="output")])
        chosen = optimizer() if optimizer else keras.optimizers.Adam(0.01)
        model.compile(chosen, loss, metrics=more.get("metrics", ["accuracy"]))
        return model

    return build


class Threshold(layers.Layer):
    """Gives 1 above a half and 0 below, which has no gradient."""

    def call(self, inputs):
        return keras.ops.cast(inputs > 0.5, "float32")


def thresholded(is_hard):
    """Returns a function that builds a network whose hidden layer ends in a threshold, or in a sigmoid."""

    def build():
        keras.utils.set_random_seed(1)
        end = [Threshold()] if is_hard else []
        hidden = layers.Dense(8, "sigmoid", name="hidden")
        model = keras.Sequential([keras.Input((12,)), hidden, *end, layers.Dense(3, "softmax", name="output")])
        model.compile(keras.optimizers.Adam(0.03), SPARSE())
        return model

    return build


def far_off(loss):
    """Returns a function that builds a network whose first answers are sure of themselves, and wrong."""
    return network(3, "softmax", loss, optimizer=sgd(0.1), start=normal(1.0))


def of_numbers(metrics):
    """Returns a function that builds a network that predicts a number."""
    return network(1, None, "mse", optimizer=adam(0.03), metrics=metrics)


def sgd(rate):
    return lambda: keras.optimizers.SGD(rate)


def adam(rate):
    return lambda: keras.optimizers.Adam(rate)


def normal(deviation):
    return keras.initializers.RandomNormal(0, deviation, seed=1)
