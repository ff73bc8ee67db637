"""The networks that `experiments.overhead` trains, and random data of the right shape, which is enough for timing."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

CLASSES = 10


@dataclass(frozen=True)
class Network:
    """A network to train, and how many steps of it make a round.

    Attributes:
        build: Function that returns the input and the output (logits) of the network.
        batch_size: Integer.
        steps: Integer, the steps of a round; the bare `fit` runs half as many before and after each. What a `fit` does
            once, at its end, is to be small beside them.
        slow_steps: Integer, the steps of a round of a variant that takes many times as long.
        turns: Integer, how many rounds of each variant are measured.
        long_steps: Integer, the steps of a round of a variant that does something every 200 steps.
        eager_steps: Integer, the steps of a round of the variant that is not compiled; 0 leaves it out.
    """

    build: Callable
    batch_size: int
    steps: int
    slow_steps: int
    turns: int
    long_steps: int = 200
    eager_steps: int = 0


def _mlp(inputs, layers, units):
    def build():
        x = first = keras.Input((inputs,))
        for number in range(1, layers + 1):
            x = keras.layers.Dense(units, "relu", name=f"layer{number}")(x)
        return first, keras.layers.Dense(CLASSES, name="logits")(x)

    return build


def _residual(filters=16, blocks=2):
    """A residual network: a convolution, two stages of blocks, the second of half the size, and a mean."""

    def convolution(x, filters, name, strides=1, kernel_size=3):
        options = {"padding": "same", "use_bias": False, "strides": strides}
        x = keras.layers.Conv2D(filters, kernel_size, name=name, **options)(x)
        return keras.layers.BatchNormalization(name=f"{name}_normalization")(x)

    def block(x, filters, name, strides):
        shortcut = x if strides == 1 else convolution(x, filters, f"{name}_shortcut", strides, kernel_size=1)
        x = keras.layers.ReLU()(convolution(x, filters, f"{name}_first", strides))
        x = convolution(x, filters, f"{name}_second")
        return keras.layers.ReLU()(keras.layers.Add()([x, shortcut]))

    def build():
        first = keras.Input((32, 32, 3))
        x = keras.layers.ReLU()(convolution(first, filters, "stem"))
        for stage in (1, 2):
            for number in range(1, blocks + 1):
                strides = 2 if (stage, number) == (2, 1) else 1
                x = block(x, filters * stage, f"stage{stage}_block{number}", strides)
        x = keras.layers.GlobalAveragePooling2D()(x)
        return first, keras.layers.Dense(CLASSES, name="logits")(x)

    return build


NETWORKS = {
    "article": Network(_mlp(784, 5, 10), batch_size=30, steps=1000, slow_steps=200, turns=9, long_steps=1000),
    "mlp_7x128": Network(
        _mlp(784, 7, 128), batch_size=128, steps=400, slow_steps=100, turns=9, long_steps=400, eager_steps=10
    ),
    "mlp_8x1024": Network(_mlp(1024, 8, 1024), batch_size=64, steps=40, slow_steps=10, turns=7),
    "residual": Network(_residual(), batch_size=32, steps=40, slow_steps=20, turns=7),
}


def model(network, seed, kind=keras.Model, **options):
    """Returns the compiled model of a `Network`.

    Args:
        network: A `Network`.
        seed: Integer, of the weights.
        kind: The class of the model. Defaults to `keras.Model`.
        options: Further arguments of `compile`.
    """
    keras.utils.set_random_seed(seed)
    result = kind(*network.build())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    result.compile("adam", loss, metrics=["accuracy"], **options)
    return result


def random_data(shape, size, seed):
    """Returns `size` random inputs of a shape, standard normal, and labels."""
    random = np.random.default_rng(seed)
    return random.standard_normal((size, *shape), np.float32), random.integers(0, CLASSES, size)
