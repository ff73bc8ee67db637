"""Mistakes of the set-up, each with its mended version: the exact list of findings, on real models."""

import random
import tempfile

import keras
import networks
import numpy as np
import pytest
from keras import layers
from marks import ENGINE, OF_TENSORFLOW, ONE_STEP_A_CALL, OTHER_WEIGHTS, TARGETS_REFUSED, in_combinations

import gradlog
from gradlog.backends.rehearsal import Rehearsal
from gradlog.diagnosis.finding import written
from gradlog.session.guard import Guard

pytestmark = pytest.mark.usefixtures("without_graph_optimizer")

X, CLASSES = networks.data(64)
HALVES = (X[:, 0] > 0).astype(np.int64)
NUMBERS = 100 * X[:, 0]
MANY_STEPS = pytest.param({"steps_per_execution": 2}, marks=ONE_STEP_A_CALL)
UNDER_XLA = in_combinations({"jit_compile": True})


def sequential(units, activation, loss, *head, **arguments):
    keras.utils.set_random_seed(1)
    hidden = [keras.Input((networks.NUM_FEATURES,)), layers.Dense(8, "relu", name="hidden")]
    model = keras.Sequential([*hidden, layers.Dense(units, activation, name="output"), *head])
    model.compile("adam", loss, **arguments)
    return model


def found(model, x, y=None, **arguments):
    return [(one.code, one.severity, one.where) for one in gradlog.check(model, x, y, **arguments)]


def alarm(code, where="output"):
    return [(code, "alarm", (where,))]


one_hot = keras.utils.to_categorical
SPARSE, CATEGORICAL = keras.losses.SparseCategoricalCrossentropy, keras.losses.CategoricalCrossentropy
BINARY = keras.losses.BinaryCrossentropy
MIXED_UP = [("GL505", "warning", ("output",))]
WARNED, FAILS = ("GL516", "warning", ()), ("GL516", "alarm", ())  # what Keras says of it
NOT_FOR_CLASSES = ("GL508", "note", ("output",))
PAIRS = {  # what is wrong, what is found, and what is right; each is (units, activation, loss), targets
    "softmax over one unit": (
        ((1, "softmax", "binary_crossentropy"), HALVES),
        [*alarm("GL501"), WARNED],
        ((1, "sigmoid", "binary_crossentropy"), HALVES),
    ),
    "numbers from a sigmoid": (((1, "sigmoid", "mse"), NUMBERS), alarm("GL502"), ((1, None, "mse"), NUMBERS)),
    "negative numbers from ReLU": (((1, "relu", "mae"), NUMBERS), alarm("GL502"), ((1, "relu", "mae"), abs(NUMBERS))),
    "numbers from tanh": (((1, "tanh", "huber"), NUMBERS), alarm("GL502"), ((1, "tanh", "huber"), NUMBERS / 1000)),
    "class numbers under squared error": (
        ((3, "softmax", keras.losses.MeanSquaredError()), CLASSES),
        [*alarm("GL502"), FAILS, NOT_FOR_CLASSES],
        ((3, "softmax", CATEGORICAL()), one_hot(CLASSES, 3)),
    ),
    "a categorical loss on one unit": (
        ((1, "sigmoid", "categorical_crossentropy"), HALVES),
        [*alarm("GL503"), WARNED],
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
        [*alarm("GL504"), FAILS],
        ((3, "softmax", SPARSE()), CLASSES),
    ),
    "numbers under the sparse loss": (
        ((3, "softmax", SPARSE()), X[:, 0]),
        [*alarm("GL504"), FAILS],
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
        [*MIXED_UP, WARNED],
        ((3, "softmax", CATEGORICAL()), one_hot(CLASSES, 3)),
    ),
    "squared error of probabilities": (
        ((3, "softmax", "mse"), one_hot(CLASSES, 3)),
        [NOT_FOR_CLASSES],
        ((3, "softmax", CATEGORICAL()), one_hot(CLASSES, 3)),
    ),
    "sigmoid for classes that exclude each other": (
        ((3, "sigmoid", CATEGORICAL()), one_hot(CLASSES, 3)),
        [NOT_FOR_CLASSES],
        ((3, "sigmoid", BINARY()), one_hot(CLASSES, 3)),
    ),
    "one class alone": (
        ((1, "sigmoid", "binary_crossentropy"), np.ones(64)),
        alarm("GL518"),
        ((1, "sigmoid", "binary_crossentropy"), HALVES),
    ),
}


# Targets that are classes which are none, and a softmax from whose logits Keras computes the loss on TensorFlow.
TENSORFLOWS_LOSS = ("classes numbered from 1", "numbers under the sparse loss", "softmax twice")


def of_engine(expected):
    """What of it is found on this engine: elsewhere than on TensorFlow, a class that is none has a loss of zero."""
    return [one for one in expected if ENGINE == "tensorflow" or one[0] != "GL516"]


REFUSED = ("three classes on one unit", "probabilities of one unit", "classes numbered from 1")
REFUSED += ("numbers under the sparse loss",)
NAMES = [pytest.param(name, marks=TARGETS_REFUSED) if name in REFUSED else name for name in PAIRS]


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_is_found_and_its_mended_version_is_silent(name):
    (wrong, targets), expected, (right, right_targets) = PAIRS[name]

    assert found(sequential(*wrong), X, targets) == (of_engine(expected) if name in TENSORFLOWS_LOSS else expected)
    assert found(sequential(*right), X, right_targets) == []


def test_nan_in_the_inputs_and_in_the_targets():
    x, y = X.copy(), NUMBERS.copy()
    x[3, 2], y[5:7] = np.nan, np.inf
    model = sequential(1, None, "mse")

    messages = {one.message: one.cause for one in gradlog.check(model, x, y)}
    num = 101 if ENGINE == "jax" else 113  # what a ReLU's gradient is where its input is NaN

    assert messages == {
        "The data x hold NaN or infinite numbers: 1 of 768.": "",
        f"NaN or infinite values in hidden/kernel, hidden/bias, output/kernel, output/bias: {num} of them at the worst "
        "step.": "GL506",
        "The targets of output hold NaN or infinite numbers: 2 of 64.": "",
    }


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
    first, *others = gradlog.check(sequential(1, None, "binary_crossentropy", *head), X, HALVES)

    assert (first.code, first.severity, first.where) == ("GL501", "alarm", ("end",))
    assert {one.cause for one in others if not one.is_note} == {"GL501"}  # what dropout lets through may be a high loss


@TARGETS_REFUSED
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
    note = ("GL508", "note", ("size",))
    assert found(model, X, {"kind": CLASSES + 1, "size": HALVES}) == of_engine([*alarm("GL504", "kind"), FAILS, note])
    assert found(model, X, {"kind": CLASSES, "size": HALVES}) == [note]


def test_a_nested_model_and_a_list_of_outputs():
    inputs = keras.Input((networks.NUM_FEATURES,))
    inner = keras.Sequential(
        [keras.Input((networks.NUM_FEATURES,)), layers.Dense(1, "tanh", name="inside")], name="inner"
    )
    model = keras.Model(inputs, [inner(inputs), layers.Dense(1, name="plain")(inputs)])
    model.compile("adam", ["mse", "mse"])

    assert found(model, X, [NUMBERS, NUMBERS]) == alarm("GL502", "inside")


def dataset(x, y, rows):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((x, y)).batch(rows)


@pytest.mark.parametrize("kind", [pytest.param("dataset", marks=OF_TENSORFLOW), "generator of batches", "tensors"])
def test_the_data_may_be(kind):
    model = sequential(1, "sigmoid", "mse")
    batches = [(X[start : start + 16], NUMBERS[start : start + 16]) for start in range(0, 64, 16)]
    data = {
        "dataset": lambda: (dataset(X, NUMBERS, 16),),
        "generator of batches": lambda: (iter(batches),),
        "tensors": lambda: (keras.ops.convert_to_tensor(X), keras.ops.convert_to_tensor(NUMBERS)),
    }[kind]()

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


@pytest.mark.parametrize("is_trained", [True, False])
def test_it_changes_neither_model_nor_random_state(is_trained):
    model, (x, y) = networks.random_network(is_new=True), networks.data(64)
    keras.utils.set_random_seed(3)
    if is_trained:
        model.fit(x, y, verbose=0)
    before, states = networks.state(model), random_states()

    gradlog.check(model, x, y + 10, overfit=2)

    after = networks.state(model)
    assert len(after) == len(before)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert random_states() == states
    assert model.optimizer.built == is_trained
    assert model._compile_loss.built == is_trained


def random_states():
    own = random.getstate(), np.random.get_state()[1].tolist()
    if ENGINE == "tensorflow":
        from tensorflow.python.eager import context

        return *own, context.context()._rng.getstate()
    if ENGINE == "torch":
        import torch

        return *own, torch.get_rng_state().tolist()
    return own  # JAX has no state of its own


@pytest.mark.parametrize("compiling", [{}, {"run_eagerly": True}, UNDER_XLA])
def test_a_training_is_the_same_after_a_check(compiling):
    x, y = networks.data(64)
    weights = []
    for is_checked in (True, False):
        model = networks.random_network(**compiling)
        if is_checked:
            gradlog.check(model, x, y, overfit=3)
        model.fit(x, y, verbose=0)
        weights.append(networks.state(model))

    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("x", "y"), [(5, None), (None, None), (X, 5), ([X, 5], HALVES)])
def test_data_that_are_none_are_refused(x, y):
    with pytest.raises(TypeError, match=r"Expected arrays, or a list.*Received: x of type"):
        gradlog.check(sequential(1, "sigmoid", "mse"), x, y)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [(X, HALVES[:50], "x with 64 rows; y with 50 rows"), (X[:0], HALVES[:0], "x with 0 rows; y with 0")],
)
def test_data_without_rows_or_with_different_numbers_of_rows_are_refused(x, y, said):
    with pytest.raises(ValueError, match=f"Expected as many inputs as targets, one or more. Received: {said}"):
        gradlog.check(sequential(1, "sigmoid", "binary_crossentropy"), x, y)


def test_an_output_without_a_loss_and_a_fixed_batch_size():
    inputs = keras.Input((networks.NUM_FEATURES,))
    ends = [layers.Dense(1, "sigmoid", name="judged")(inputs), layers.Dense(3, name="free")(inputs)]
    model = keras.Model(inputs, ends)
    model.compile("adam", ["mse", None])
    recurrent = keras.Sequential([keras.Input(batch_shape=(16, 4, 3)), layers.LSTM(4, stateful=True), output_layer()])
    recurrent.compile("adam", SPARSE())

    assert ("GL502", "alarm", ("judged",)) in found(model, X, [NUMBERS, None])
    assert found(recurrent, X.reshape(64, 4, 3), CLASSES, batch_size=16) == []


def test_a_batch_of_one_row_is_tried_on_more():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 8, np.float32)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), layers.Dense(8, "relu"), layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy")

    assert found(model, x, x[:, 0] != x[:, 1], batch_size=1) == []


def test_a_list_of_numbers_and_labels_that_are_words():
    assert found(sequential(1, "sigmoid", "mse"), X, NUMBERS.tolist()) == alarm("GL502")
    assert found(sequential(1, "sigmoid", "mse"), X, np.array(["yes", "no"] * 32)) == [FAILS]


def test_wrong_arguments_are_refused():
    with pytest.raises(TypeError, match="Expected a Keras model"):
        gradlog.check("resnet", X, HALVES)
    with pytest.raises(ValueError, match=r"Expected a compiled model; call `model\.compile"):
        gradlog.check(keras.Sequential([keras.Input((2,)), layers.Dense(1)]), X, HALVES)


def test_constant_columns_of_a_table_are_noted():
    x = np.concatenate([X, X, X])
    x[:, [2, 5]] = 3, -1
    model, y = sequential(3, "softmax", SPARSE()), np.concatenate([CLASSES] * 3)

    (one,) = gradlog.check(model, x, y)

    assert (one.code, one.severity) == ("GL518", "note")
    assert one.message == "Of x, columns 2, 5 hold the same number in all rows that were looked at."


# How large the inputs are.


def output_layer():
    return layers.Dense(3, "softmax", name="output")


def first_layer(activation, *before, initializer="glorot_uniform", rank=1):
    kind = layers.Conv2D if rank == 3 else layers.Dense
    arguments = {"kernel_size": 3} if rank == 3 else {}
    hidden = kind(8, activation=activation, kernel_initializer=initializer, name="hidden", **arguments)
    shape = (12, 12, 1) if rank == 3 else (networks.NUM_FEATURES,)
    model = keras.Sequential([keras.Input(shape), *before, hidden, layers.Flatten(), output_layer()])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


PIXELS = np.random.default_rng(0).integers(0, 256, (64, 12, 12, 1))


TOO_LARGE, NOTED = ("GL507", "warning", ("hidden",)), ("GL507", "note", ("hidden",))
SATURATED = ("GL202", "warning", ("hidden",))
LOSS, LOSS_NOTED = ("GL512", "warning", ("output",)), ("GL512", "note", ("output",))
if ENGINE == "tensorflow":
    LARGE, LARGER = [TOO_LARGE, LOSS], [TOO_LARGE, LOSS]
else:  # where Keras computes the loss from probabilities of 1e-7 or more, it is 16 at most
    LARGE, LARGER = [NOTED, LOSS_NOTED], [NOTED]


@OTHER_WEIGHTS
@pytest.mark.parametrize(
    ("model", "x", "expected"),
    [
        (lambda: first_layer("tanh"), 1000 * X, [TOO_LARGE, SATURATED]),
        (lambda: first_layer("relu"), 1000 * X, LARGE),
        (lambda: first_layer(None, initializer="he_normal"), 1000 * X, LARGER),
        (lambda: first_layer("relu", rank=3), PIXELS, [NOTED, LOSS_NOTED]),
        (lambda: first_layer("sigmoid", rank=3), PIXELS, [TOO_LARGE, SATURATED]),
        (lambda: first_layer("tanh"), X, []),
        (lambda: first_layer("tanh", layers.BatchNormalization()), 1000 * X, []),
        (lambda: first_layer("relu", layers.Rescaling(1 / 255), rank=3), PIXELS, []),
        (lambda: first_layer("relu", rank=3), PIXELS / 255, []),
        (lambda: first_layer("tanh", initializer=keras.initializers.Orthogonal()), 1000 * X, [SATURATED]),
    ],
)
def test_inputs_that_are_not_scaled(model, x, expected):
    keras.utils.set_random_seed(1)

    assert found(model(), x, CLASSES) == expected


def test_the_sums_are_those_that_the_first_layer_gets():
    x = X * [1000, *[1] * (networks.NUM_FEATURES - 1)]
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(x.shape[1:]), layers.Dense(4000, "tanh", name="hidden"), layers.Dense(3)])
    model.compile("adam", SPARSE(from_logits=True))

    one = gradlog.check(model, x, CLASSES)[0]

    sums = x @ model.get_weights()[0]
    assert one.measured == pytest.approx(np.sqrt(np.square(sums).mean()), rel=0.1)
    assert one.message.endswith(f"Column 0 is the largest: {written(np.sqrt(np.square(x[:, 0]).mean()))}.")


def test_the_size_of_an_image_network_s_sums():
    model = first_layer("sigmoid", rank=3)

    one = gradlog.check(model, PIXELS, CLASSES)[0]

    convolved = keras.layers.Conv2D(2000, 3)
    sums = keras.ops.convert_to_numpy(convolved(PIXELS.astype("float32")))
    glorot = np.sqrt((9 + 9 * 2000) / (9 + 9 * 8))  # eight filters have larger weights than 2,000
    assert one.measured == pytest.approx(np.sqrt(np.square(sums).mean()) * glorot, rel=0.1)


# The first step, tried on copies.


def rehearsed(model, x, y):
    return Rehearsal(model, (x, y), Guard("looking"))


def test_the_first_step_is_the_one_that_fit_makes():
    x, y = networks.data(32)
    model = networks.dense_network(optimizer=keras.optimizers.Adam(0.01, global_clipnorm=0.5))
    start = model.get_weights()
    seen = rehearsed(model, x, y).first()
    writer = gradlog.writers.MemoryWriter()

    with tempfile.TemporaryDirectory() as log_dir:
        logger = gradlog.GradientLogger(log_dir, 1, writers=[writer], on_finding="ignore")
        loss = model.fit(x, y, batch_size=32, verbose=0, callbacks=[logger]).history["loss"][0]
    history = writer.history()

    assert seen.loss == pytest.approx(loss, rel=1e-5)
    assert seen.loss_after == pytest.approx(model.evaluate(x, y, verbose=0)[0], rel=1e-4)
    assert seen.snapshot.variables == history.variables
    for column in seen.snapshot.columns:
        logged = history.statistic(column)[0]
        np.testing.assert_allclose(seen.snapshot.statistics[:, seen.snapshot.columns.index(column)], logged, rtol=1e-4)
    assert seen.largest_ratio[1] == pytest.approx(np.nanmax(history.statistic("update_ratio")[0][::2]), rel=1e-4)
    hidden = x
    for kernel, bias, one in zip(start[:4:2], start[1:4:2], seen.activations, strict=True):
        hidden = np.tanh(hidden @ kernel + bias)
        assert one.size == pytest.approx(np.sqrt(np.square(hidden).mean()), rel=1e-4)
        assert one.spread == pytest.approx(np.sqrt(hidden.var(axis=0).mean()), rel=1e-4)


def test_steps_go_on_from_where_the_optimizer_is():
    x, y = networks.data(32)
    model = networks.dense_network(optimizer=keras.optimizers.Adam(0.01))
    model.fit(x, y, batch_size=32, epochs=3, verbose=0)

    losses = list(rehearsed(model, x, y).losses(4))

    history = model.fit(x, y, batch_size=32, epochs=4, verbose=0, shuffle=False).history["loss"]
    np.testing.assert_allclose(losses, history, rtol=1e-4)


def test_penalties_are_told_apart():
    x, y = networks.data(32)
    model = keras.Sequential([keras.Input((networks.NUM_FEATURES,)), layers.Dense(3, kernel_regularizer="l2")])
    networks.compiled(model)

    seen = rehearsed(model, x, y).first()

    penalty = 0.01 * np.square(model.get_weights()[0]).sum()
    assert seen.snapshot.scalars["train/penalty"] == pytest.approx(penalty, rel=1e-5)
    assert seen.loss == pytest.approx(model.evaluate(x, y, verbose=0)[0] - penalty, rel=1e-4)
    assert "loss_gradient_mean_abs" in seen.snapshot.columns


def deep(activation, depth=8, initializer="glorot_uniform", optimizer="adam"):
    keras.utils.set_random_seed(1)
    hidden = [
        layers.Dense(16, activation, kernel_initializer=initializer, name=f"layer{number}")
        for number in range(1, depth + 1)
    ]
    model = keras.Sequential([keras.Input((networks.NUM_FEATURES,)), *hidden, layers.Dense(3, name="output")])
    return networks.compiled(model, optimizer=optimizer)


def normal(deviation):
    return keras.initializers.RandomNormal(0, deviation)


STARTS = {
    "healthy": (lambda: deep("relu", 4), []),
    "deep sigmoid": (lambda: deep("sigmoid"), [("GL101", "alarm", ""), ("GL513", "warning", "GL101")]),
    "small weights": (
        lambda: deep("tanh", 8, normal(0.01)),
        [("GL101", "alarm", ""), ("GL513", "warning", "GL101"), ("GL515", "warning", "GL101")],
    ),
    "large weights under SGD": (
        lambda: deep("relu", 8, normal(2.0), optimizer=keras.optimizers.SGD(0.01)),
        [
            ("GL102", "alarm", ""),
            ("GL512", "warning", "GL102"),
            ("GL513", "warning", "GL102"),
            ("GL514", "warning", "GL102"),
        ],
    ),
    "large weights under Adam, whose steps are small all the same": (
        lambda: deep("relu", 8, normal(2.0)),
        [("GL513", "warning", ""), ("GL512", "warning", "GL513"), ("GL102", "note", "")],
    ),
    "dead": (
        lambda: deep("relu", 3, keras.initializers.Constant(-1.0)),
        [("GL201", "alarm", ""), ("GL515", "warning", "GL201")],
    ),
    "saturated": (lambda: deep("tanh", 3, normal(20.0)), [("GL202", "warning", "")]),
    "Adam at 1": (lambda: deep("relu", 4, optimizer=keras.optimizers.Adam(1.0)), [("GL514", "warning", "")]),
    "Adagrad at 3": (lambda: deep("relu", 4, optimizer=keras.optimizers.Adagrad(3.0)), [("GL514", "note", "")]),
    "SGD at 1e-9": (lambda: deep("relu", 4, optimizer=keras.optimizers.SGD(1e-9)), [("GL515", "warning", "")]),
    "a warm-up from zero": (
        lambda: deep(
            "relu",
            4,
            optimizer=keras.optimizers.Adam(
                keras.optimizers.schedules.CosineDecay(0.0, 400, warmup_target=3e-3, warmup_steps=100)
            ),
        ),
        [],
    ),
}


@OTHER_WEIGHTS
@pytest.mark.parametrize("name", STARTS)
def test_the_start(name):
    build, expected = STARTS[name]

    assert [(one.code, one.severity, one.cause) for one in gradlog.check(build(), X, CLASSES)] == expected


def test_a_finding_of_the_start_says_what_to_change():
    found = {
        one.code: one.change
        for name in ("Adam at 1", "SGD at 1e-9")
        for one in gradlog.check(STARTS[name][0](), X, CLASSES)
    }

    assert found["GL514"].startswith("keras.optimizers.Adam(learning_rate=0.00")
    assert found["GL515"].startswith("keras.optimizers.SGD(learning_rate=0.1)")


def test_a_step_that_fails_is_told_and_says_why():
    model = sequential(3, "softmax", CATEGORICAL())

    (one,) = gradlog.check(model, X[:, :5], one_hot(CLASSES, 3))

    assert one.message.startswith("The first step fails: ")
    assert "incompatible with the layer" in one.message
    assert not model._compile_loss.built


def test_what_cannot_be_tried_is_left_out():
    class Custom(keras.Model):
        def train_step(self, data):
            return super().train_step(data)

    inputs = keras.Input((networks.NUM_FEATURES,))
    model = Custom(inputs, layers.Dense(3, kernel_initializer=normal(1e4))(inputs))
    networks.compiled(model)

    assert found(model, X, CLASSES) == []


def test_a_fault_of_ours_is_said_and_leaves_the_other_checks(monkeypatch):
    monkeypatch.setattr(f"gradlog.backends.{ENGINE}.engine.totals", lambda *_: 1 / 0)

    with pytest.warns(UserWarning, match="could not try the first step, and checked everything else: division by zero"):
        assert found(sequential(1, "sigmoid", "mse"), X, NUMBERS) == alarm("GL502")


# Can it learn one batch by heart?


def test_a_batch_that_is_learned_by_heart_and_one_that_is_not(capsys):
    assert found(deep("relu", 2, optimizer=keras.optimizers.SGD(1.0)), X, CLASSES, overfit=60) == []
    assert "60/60" in capsys.readouterr().out
    model = deep("relu", 2, optimizer=keras.optimizers.SGD(1e-4))

    (one,) = gradlog.check(model, X, CLASSES, batch_size=16, overfit=20)

    assert (one.code, one.severity) == ("GL517", "warning")
    assert one.message.endswith("after 20 steps on the same 32 rows.")


# The first batch of a training tells the same.


def live(model, x, y, tmp_path, **arguments):
    if not model.optimizer.built:  # or the first trace makes them, and there is a second
        model.optimizer.build(model.trainable_variables)
    logger = gradlog.GradientLogger(str(tmp_path), on_finding="ignore", rules=[], **arguments)
    model.fit(x, y, batch_size=32, verbose=0, shuffle=False, callbacks=[logger])
    assert logger.error is None
    return [(one.code, one.severity, one.where) for one in gradlog.diagnose(gradlog.read(str(tmp_path)), [])]


@pytest.mark.parametrize("compiling", [{}, UNDER_XLA, {"run_eagerly": True}, MANY_STEPS])
def test_a_training_tells_that_its_inputs_are_not_scaled(tmp_path, compiling):
    keras.utils.set_random_seed(1)
    model = first_layer("tanh")
    model.compile("adam", SPARSE(), **compiling)

    assert live(model, 1000 * X, CLASSES, tmp_path) == [TOO_LARGE]
    (one,) = gradlog.diagnose(gradlog.read(str(tmp_path)), [])
    keras.utils.set_random_seed(1)
    assert one.measured == pytest.approx(
        gradlog.check(first_layer("tanh"), 1000 * X[:32], CLASSES[:32])[0].measured, rel=1e-5
    )


@pytest.mark.parametrize(
    ("model", "x", "y", "expected"),
    [
        pytest.param(lambda: first_layer("relu", rank=3), PIXELS, CLASSES, [NOTED, LOSS_NOTED], marks=OTHER_WEIGHTS),
        (lambda: first_layer("tanh"), X, CLASSES, []),
        (lambda: sequential(1, None, "mse"), X, NUMBERS + 1e5, [LOSS_NOTED]),
        (lambda: sequential(1, None, "mse", metrics=["accuracy"]), X, NUMBERS, [("GL511", "note", ("output",))]),
        (lambda: sequential(1, "sigmoid", "mse"), X, HALVES, [NOT_FOR_CLASSES]),
        (lambda: sequential(1, None, "mse"), np.where(X > 2, np.nan, X), NUMBERS, [("GL506", "alarm", ())]),
    ],
)
def test_a_training_tells_of_its_first_batch(tmp_path, model, x, y, expected):
    keras.utils.set_random_seed(1)

    assert live(networks.run_eagerly(model)(), x, y, tmp_path) == expected


def test_a_training_that_goes_on_has_no_first_loss(tmp_path):
    model = sequential(1, None, "mse")
    model.fit(X, NUMBERS, verbose=0)

    assert live(model, X, NUMBERS + 1e5, tmp_path) == []


# The data.


@OF_TENSORFLOW
def test_sorted_labels_are_a_warning_of_a_dataset_and_a_note_of_arrays():
    order = np.argsort(CLASSES, kind="stable")
    model, x, y = sequential(3, "softmax", SPARSE()), X[order], CLASSES[order]

    assert found(model, x, y) == [("GL509", "note", ("output",))]
    batches = dataset(x, y, 16)
    (one,) = gradlog.check(model, batches)
    assert (one.code, one.severity) == ("GL509", "warning")
    assert "the class changes 2 times in the first 64 rows" in one.message
    assert found(model, dataset(X, CLASSES, 16)) == []


@OF_TENSORFLOW
def test_few_rows_for_the_batch_size():
    model = sequential(3, "softmax", SPARSE())

    assert found(model, X, CLASSES, batch_size=64) == [("GL510", "note", ())]
    assert found(model, X, CLASSES, batch_size=32) == []
    assert found(model, dataset(X, CLASSES, 64)) == [("GL510", "note", ())]


@pytest.mark.parametrize(
    ("model", "targets", "expected"),
    [
        (("mse", ["accuracy"], None), NUMBERS, [("GL511", "note", ("output",))]),
        (("mse", [keras.metrics.BinaryAccuracy()], None), NUMBERS, [("GL511", "note", ("output",))]),
        (("mse", ["mae"], None), NUMBERS, []),
        ((BINARY(from_logits=True), ["accuracy"], None), HALVES, [("GL511", "note", ("output",))]),
        (("binary_crossentropy", {"output": ["accuracy"]}, "sigmoid"), HALVES, []),
    ],
)
def test_a_metric_that_does_not_measure_the_task(model, targets, expected):
    loss, metrics, activation = model

    assert found(sequential(1, activation, loss, metrics=metrics), X, targets) == expected


def test_a_target_far_from_zero_is_noted():
    assert found(sequential(1, None, "mse"), X, NUMBERS + 1e5) == [("GL512", "note", ("output",))]
    assert found(sequential(1, None, "mae"), X, NUMBERS + 1e5) == [("GL512", "note", ("output",))]


def test_the_numbers_are_checked():
    model = sequential(1, None, "mse")

    with pytest.raises(ValueError, match=r"`batch_size` counts rows. Expected an integer, 1 or more"):
        gradlog.check(model, X, NUMBERS, batch_size=0)
    with pytest.raises(TypeError, match=r"`overfit` counts steps"):
        gradlog.check(model, X, NUMBERS, overfit=True)
