"""Mistakes of the set-up, each with its mended version: the exact list of findings, on real models."""

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import gradlog

X, CLASSES = networks.data(64)
HALVES = (X[:, 0] > 0).astype(np.int64)
NUMBERS = 100 * X[:, 0]


def sequential(units, activation, loss, *head, **arguments):
    hidden = [keras.Input((networks.NUM_FEATURES,)), layers.Dense(8, "relu", name="hidden")]
    model = keras.Sequential([*hidden, layers.Dense(units, activation, name="output"), *head])
    model.compile("adam", loss, **arguments)
    return model


def found(model, x, y=None):
    return [(one.code, one.severity, one.where) for one in gradlog.check(model, x, y)]


def alarm(code, where="output"):
    return [(code, "alarm", (where,))]


one_hot = keras.utils.to_categorical
SPARSE, CATEGORICAL = keras.losses.SparseCategoricalCrossentropy, keras.losses.CategoricalCrossentropy
BINARY = keras.losses.BinaryCrossentropy
MIXED_UP = [("GL505", "warning", ("output",))]
PAIRS = {  # what is wrong, what is found, and what is right; each is (units, activation, loss), targets
    "softmax over one unit": (
        ((1, "softmax", "binary_crossentropy"), HALVES),
        alarm("GL501"),
        ((1, "sigmoid", "binary_crossentropy"), HALVES),
    ),
    "numbers from a sigmoid": (((1, "sigmoid", "mse"), NUMBERS), alarm("GL502"), ((1, None, "mse"), NUMBERS)),
    "negative numbers from ReLU": (((1, "relu", "mae"), NUMBERS), alarm("GL502"), ((1, "relu", "mae"), abs(NUMBERS))),
    "numbers from tanh": (((1, "tanh", "huber"), NUMBERS), alarm("GL502"), ((1, "tanh", "huber"), NUMBERS / 1000)),
    "class numbers under squared error": (
        ((3, "softmax", keras.losses.MeanSquaredError()), CLASSES),
        alarm("GL502"),
        ((3, "softmax", keras.losses.MeanSquaredError()), one_hot(CLASSES, 3)),
    ),
    "a categorical loss on one unit": (
        ((1, "sigmoid", "categorical_crossentropy"), HALVES),
        alarm("GL503"),
        ((2, "softmax", "categorical_crossentropy"), one_hot(HALVES, 2)),
    ),
    "three classes on one unit": (
        ((1, "sigmoid", "binary_crossentropy"), CLASSES),
        [("GL503", "alarm", ("output",)), ("GL504", "alarm", ("output",))],
        ((3, "softmax", SPARSE()), CLASSES),
    ),
    "three labels under hinge": (((1, "tanh", "hinge"), CLASSES - 1), alarm("GL503"), ((1, "tanh", "hinge"), HALVES)),
    "probabilities of one unit": (
        ((1, "sigmoid", BINARY()), X[:, 0]),
        alarm("GL504"),
        ((1, "sigmoid", BINARY()), np.clip(X[:, 0], 0, 1)),
    ),
    "classes numbered from 1": (
        ((3, "softmax", SPARSE()), CLASSES + 1),
        alarm("GL504"),
        ((3, "softmax", SPARSE()), CLASSES),
    ),
    "numbers under the sparse loss": (
        ((3, "softmax", SPARSE()), X[:, 0]),
        alarm("GL504"),
        ((3, "softmax", SPARSE()), CLASSES),
    ),
    "cross-entropy of a linear output": (
        ((3, None, "sparse_categorical_crossentropy"), CLASSES),
        MIXED_UP,
        ((3, None, SPARSE(from_logits=True)), CLASSES),
    ),
    "cross-entropy of tanh": (
        ((1, "tanh", "binary_crossentropy"), HALVES),
        MIXED_UP,
        ((1, "sigmoid", "binary_crossentropy"), HALVES),
    ),
    "softmax twice": (
        ((3, "softmax", CATEGORICAL(from_logits=True)), one_hot(CLASSES, 3)),
        MIXED_UP,
        ((3, "softmax", CATEGORICAL()), one_hot(CLASSES, 3)),
    ),
    "one class alone": (
        ((1, "sigmoid", "binary_crossentropy"), np.ones(64)),
        alarm("GL506"),
        ((1, "sigmoid", "binary_crossentropy"), HALVES),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_mistake_is_found_and_its_mended_version_is_silent(name):
    (wrong, targets), expected, (right, right_targets) = PAIRS[name]

    assert found(sequential(*wrong), X, targets) == expected
    assert found(sequential(*right), X, right_targets) == []


def test_nan_in_the_inputs_and_in_the_targets():
    x, y = X.copy(), NUMBERS.copy()
    x[3, 2], y[5:7] = np.nan, np.inf
    model = sequential(1, None, "mse")

    messages = [one.message for one in gradlog.check(model, x, y)]

    assert messages == [
        "The data x hold NaN or infinite numbers: 1 of 768.",
        "The targets of output hold NaN or infinite numbers: 2 of 64.",
    ]


def test_a_finding_says_what_was_expected_and_what_to_change():
    (finding,) = gradlog.check(sequential(1, "sigmoid", "mse"), X, np.array([0.0, 5.0] * 32))

    assert finding.message == (
        "The output output ends in sigmoid, which returns 0 to 1, but 50% of the targets lie outside: they go from 0 "
        "to 5."
    )
    assert (finding.measured, finding.threshold, finding.first_step, finding.last_step) == (0.5, 0, 0, None)
    assert finding.remedies[0].startswith("To predict numbers: use an output layer without an activation")
    title, *lines = str(finding).splitlines()
    assert title == "GL502 alarm · targets out of the output's range · output · from the start"
    assert "measured" not in "".join(lines) + finding.markdown()


@pytest.mark.parametrize(
    "head",
    [
        (layers.Activation("softmax", name="end"),),
        (layers.Softmax(name="end"),),
        (layers.Activation("softmax", name="end"), layers.Dropout(0.1), layers.Flatten()),
    ],
)
def test_the_activation_may_be_a_layer(head):
    assert found(sequential(1, None, "binary_crossentropy", *head), X, HALVES) == alarm("GL501", "end")


def test_several_outputs_each_by_its_own_loss():
    inputs = keras.Input((networks.NUM_FEATURES,))
    hidden = layers.Dense(8, "relu", name="hidden")(inputs)
    outputs = {
        "kind": layers.Dense(3, "softmax", name="kind")(hidden),
        "size": layers.Dense(1, "sigmoid", name="size")(hidden),
    }
    model = keras.Model(inputs, outputs)
    model.compile("adam", {"kind": SPARSE(), "size": "mse"})

    assert found(model, X, {"kind": CLASSES, "size": NUMBERS}) == alarm("GL502", "size")
    assert found(model, X, {"kind": CLASSES + 1, "size": HALVES}) == alarm("GL504", "kind")
    assert found(model, X, {"kind": CLASSES, "size": HALVES}) == []


def test_a_nested_model_and_a_list_of_outputs():
    inputs = keras.Input((networks.NUM_FEATURES,))
    inner = keras.Sequential(
        [keras.Input((networks.NUM_FEATURES,)), layers.Dense(1, "tanh", name="inside")], name="inner"
    )
    model = keras.Model(inputs, [inner(inputs), layers.Dense(1, name="plain")(inputs)])
    model.compile("adam", ["mse", "mse"])

    assert found(model, X, [NUMBERS, NUMBERS]) == alarm("GL502", "inside")


@pytest.mark.parametrize("kind", ["dataset", "generator of batches", "tensors"])
def test_the_data_may_be(kind):
    model = sequential(1, "sigmoid", "mse")
    batches = [(X[start : start + 16], NUMBERS[start : start + 16]) for start in range(0, 64, 16)]
    data = {
        "dataset": (tf.data.Dataset.from_tensor_slices((X, NUMBERS)).batch(16),),
        "generator of batches": (iter(batches),),
        "tensors": (tf.constant(X), tf.constant(NUMBERS)),
    }[kind]

    assert found(model, *data) == alarm("GL502")


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.only = layers.Dense(1, "softmax")

    def call(self, x):
        return self.only(x)


def test_what_is_not_known_is_not_judged():
    model = Subclassed()
    model.compile("adam", "binary_crossentropy")
    lazy = keras.Sequential([layers.Dense(1, "softmax", name="output")])
    lazy.compile("adam", "binary_crossentropy")
    own = sequential(1, "sigmoid", lambda y, p: keras.ops.mean((y - p) ** 2))

    assert found(model, X, HALVES) == []
    assert found(model, X, NUMBERS) == alarm("GL504", "output 1")  # needs no activation
    assert found(lazy, X, HALVES) == alarm("GL501")
    assert found(own, X, NUMBERS) == []


def test_it_changes_neither_model_nor_random_state():
    model = networks.random_network()
    x, y = networks.data(64)
    model.fit(x, y, verbose=0)
    before, state = networks.state(model), np.random.get_state()[1].copy()

    gradlog.check(model, x, y + 10)

    for one, other in zip(before, networks.state(model), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


@pytest.mark.parametrize(("x", "y"), [(5, None), (None, None), (X, 5), ([X, 5], HALVES)])
def test_data_that_are_none_are_refused(x, y):
    with pytest.raises(TypeError, match=r"Expected arrays, or a list.*Received: x of type"):
        gradlog.check(sequential(1, "sigmoid", "mse"), x, y)


def test_a_list_of_numbers_and_labels_that_are_words():
    assert found(sequential(1, "sigmoid", "mse"), X, NUMBERS.tolist()) == alarm("GL502")
    assert found(sequential(1, "sigmoid", "mse"), X, np.array(["yes", "no"] * 32)) == []


def test_wrong_arguments_are_refused():
    with pytest.raises(TypeError, match="Expected a Keras model"):
        gradlog.check("resnet", X, HALVES)
    with pytest.raises(ValueError, match=r"Expected a compiled model; call `model\.compile"):
        gradlog.check(keras.Sequential([keras.Input((2,)), layers.Dense(1)]), X, HALVES)


# How large the inputs are.


def first_layer(activation, *before, initializer="glorot_uniform", rank=1):
    kind = layers.Conv2D if rank == 3 else layers.Dense
    arguments = {"kernel_size": 3} if rank == 3 else {}
    hidden = kind(8, activation=activation, kernel_initializer=initializer, name="hidden", **arguments)
    shape = (12, 12, 1) if rank == 3 else (networks.NUM_FEATURES,)
    model = keras.Sequential([keras.Input(shape), *before, hidden, layers.Flatten(), layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


PIXELS = np.random.default_rng(0).integers(0, 256, (64, 12, 12, 1))


@pytest.mark.parametrize(
    ("model", "x", "severity"),
    [
        (lambda: first_layer("tanh"), 1000 * X, "warning"),
        (lambda: first_layer("relu"), 1000 * X, "note"),
        (lambda: first_layer(None, initializer="he_normal"), 1000 * X, "note"),
        (lambda: first_layer("relu", rank=3), PIXELS, "note"),
        (lambda: first_layer("sigmoid", rank=3), PIXELS, "warning"),
        (lambda: first_layer("tanh"), X, None),
        (lambda: first_layer("tanh", layers.BatchNormalization()), 1000 * X, None),
        (lambda: first_layer("relu", layers.Rescaling(1 / 255), rank=3), PIXELS, None),
        (lambda: first_layer("relu", rank=3), PIXELS / 255, None),
        (lambda: first_layer("tanh", initializer=keras.initializers.Orthogonal()), 1000 * X, None),
    ],
)
def test_inputs_that_are_not_scaled(model, x, severity):
    assert found(model(), x, CLASSES) == ([("GL507", severity, ("hidden",))] if severity else [])


def test_the_sums_are_those_that_the_first_layer_gets():
    x = X * [1000, *[1] * (networks.NUM_FEATURES - 1)]
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(x.shape[1:]), layers.Dense(4000, "tanh", name="hidden"), layers.Dense(3)])
    model.compile("adam", SPARSE(from_logits=True))

    (one,) = gradlog.check(model, x, CLASSES)

    sums = x @ model.get_weights()[0]
    assert one.measured == pytest.approx(np.sqrt(np.square(sums).mean()), rel=0.1)
    assert one.message.endswith(f"Column 0 is the largest: {np.sqrt(np.square(x[:, 0]).mean()):.3g}.")


def test_the_size_of_an_image_network_s_sums():
    model = first_layer("sigmoid", rank=3)

    (one,) = gradlog.check(model, PIXELS, CLASSES)

    convolved = keras.layers.Conv2D(2000, 3)
    sums = keras.ops.convert_to_numpy(convolved(PIXELS.astype("float32")))
    glorot = np.sqrt((9 + 9 * 2000) / (9 + 9 * 8))  # eight filters have larger weights than 2,000
    assert one.measured == pytest.approx(np.sqrt(np.square(sums).mean()) * glorot, rel=0.1)
