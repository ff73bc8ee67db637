"""Small networks and data that several tests train."""

import keras
import numpy as np

IS_TENSORFLOW = keras.backend.backend() == "tensorflow"
NUM_FEATURES, NUM_CLASSES = 12, 3


def data(num=96, seed=0):
    """Inputs [num, 12] and labels [num] that a small network can learn."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num, NUM_FEATURES)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 1)


def dataset(num=96, batch_size=16, seed=0):
    import tensorflow as tf  # the other engines' tests run without it

    return tf.data.Dataset.from_tensor_slices(data(num, seed)).batch(batch_size).repeat()


def first_batches(num, batch_size=16):
    """Returns the inputs and labels of the first batches of `dataset`, as arrays."""
    x, y = data()
    rows = np.arange(num * batch_size) % len(x)
    return x[rows], y[rows]


def batches(num, batch_size=16):
    """Returns the first batches of `dataset`, as the engine's tensors."""
    if IS_TENSORFLOW:
        return dataset(batch_size=batch_size).take(num)
    split = [np.split(array, num) for array in first_batches(num, batch_size)]
    return [tuple(map(keras.ops.convert_to_tensor, batch)) for batch in zip(*split, strict=True)]


def fit(model, callbacks=(), steps=6, batch_size=16, **arguments):
    """Trains on the first batches of `dataset`, in their order.

    From arrays, TensorFlow would trace programs that gather the rows, each time anew.
    """
    arguments = {"verbose": 0, "callbacks": list(callbacks), **arguments}
    if IS_TENSORFLOW:
        return model.fit(dataset(batch_size=batch_size).take(steps), **arguments)
    return model.fit(*first_batches(steps, batch_size), batch_size=batch_size, shuffle=False, **arguments)


def dense_network(seed=0, activation="tanh", **compile_arguments):
    """Three dense layers."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((NUM_FEATURES,)),
            keras.layers.Dense(8, activation, name="layer1"),
            keras.layers.Dense(8, activation, name="layer2"),
            keras.layers.Dense(NUM_CLASSES, name="layer3"),
        ]
    )
    return compiled(model, **compile_arguments)


def random_network(seed=0, **compile_arguments):
    """Dropout, which draws random numbers, batch normalization, which keeps statistics, and Adam."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((NUM_FEATURES,)),
            keras.layers.Dense(16, "relu", name="layer1"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(NUM_CLASSES, name="layer2"),
        ]
    )
    return compiled(model, **{"optimizer": "adam", **compile_arguments})


class ByTurns(keras.Model):
    """One of two equal layers, by the sign of the first number of a batch."""

    def __init__(self):
        super().__init__()
        self.positive, self.negative = (keras.layers.Dense(8, "tanh", name=f"layer{sign}") for sign in ("+", "-"))
        self.last = keras.layers.Dense(NUM_CLASSES, name="last")

    def build(self, shape):
        for layer in (self.positive, self.negative):
            layer.build(shape)
        self.last.build((None, 8))

    def call(self, x):
        return self.last((self.positive if float(x[0, 0]) > 0 else self.negative)(x))


def momentum():
    """An optimizer that keeps a state, and takes half of Adam's time to trace."""
    return keras.optimizers.SGD(0.05, momentum=0.9)


def compiled(model, optimizer=None, is_new=False, **compile_arguments):
    """Returns the model, compiled.

    Keras traces a step twice where the first trace makes variables. Where a model is not `is_new`, the variables of
    metrics and optimizer are there already; where it is, the first trace makes them, as that of a user's model does.
    """
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    accuracy = "accuracy" if is_new else keras.metrics.SparseCategoricalAccuracy("accuracy")
    model.compile(optimizer or momentum(), loss, metrics=[accuracy], **compile_arguments)
    if model.built and not is_new:
        model.optimizer.build(model.trainable_variables)
    return model


def state(model):
    """Everything that training changes, in order: weights, statistics, random state, the optimizer's variables."""
    return [np.array(variable) for variable in (*model.variables, *model.optimizer.variables)]


def run_eagerly(build_model):
    """Returns a function that builds what `build_model` builds, to run step by step.

    A few steps of a small network are over before Keras would have traced one; but on JAX it takes longer.
    """
    if keras.backend.backend() == "jax":
        return build_model

    def build(*args, **kwargs):
        model = build_model(*args, **kwargs)
        model.run_eagerly = True
        return model

    return build


def with_variables(build_model):
    """Returns a function that builds what `build_model` builds, with the variables that a first trace would make.

    Keras traces a step twice where the first trace makes variables, as those of metrics and optimizer.
    """

    def build(*args, **kwargs):
        model = build_model(*args, **kwargs)
        model._symbolic_build(data_batch=(model.inputs[0], keras.KerasTensor((None,), "int64")))
        return model

    return build
