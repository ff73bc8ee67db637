"""Each change makes of a training what it says, leaves the one it is given as it was, and writes itself as code."""

import ast
import dataclasses

import keras
import numpy as np
import pytest

from gradlog.diagnosis.finding import Finding
from gradlog.history.builder import HistoryBuilder
from gradlog.repair.changes import (
    activation,
    batch_size,
    class_numbers,
    class_weights,
    clipping,
    decay,
    depth,
    dropout,
    finite_rows,
    flatten,
    gates,
    initializer,
    input_scale,
    learning_rate,
    normalization,
    optimizer,
    output,
    shuffled_rows,
    skip,
    table,
    target_scale,
    unfrozen,
    units,
    warmup,
)
from gradlog.repair.changes.change import Observed
from gradlog.repair.data import data_of
from gradlog.repair.surgery import flattened, hidden_layers, output_layers, rebuilt
from gradlog.repair.task import task_of
from gradlog.repair.training import Training
from gradlog.session.describe import described

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)).astype(np.float32)
SEQUENCES = np.random.default_rng(1).normal(size=(60, 24, 2)).astype(np.float32)
CLASSES = RNG.integers(0, 3, 60)
SIGNS = 2 * (CLASSES > 0) - 1
NUMBERS = (1000 + 50 * RNG.normal(size=60)).astype(np.float32)
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy


def chain(activation="sigmoid", depth=4, units=6, last=None, num=3, **arguments):
    hidden = [layers.Dense(units, activation, name=f"layer{n}", **arguments) for n in range(1, depth + 1)]
    return keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(num, last, name="end")], name="net")


def with_activations_apart():
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(5, name="a"), layers.Activation("tanh", name="b"), layers.Dense(3, name="c"),
         layers.Softmax(name="d")]
    )  # fmt: skip


def with_dropout(rate):
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(6), layers.Dropout(rate, name="b"), layers.Dense(3), layers.Dropout(0.2)]
    )


def unflattened():
    return keras.Sequential([keras.Input((24, 2)), layers.Conv1D(4, 3, name="a"), layers.Dense(3, name="b")])


def frozen(*names):
    model = chain(depth=2)
    for name in names:
        model.get_layer(name).trainable = False
    return model


def narrow():
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(2, "relu", name="a"), layers.Dense(12, "relu", name="b"), layers.Dense(3)]
    )


def recurrent(steps=24):
    inputs = keras.Input((steps, 2))
    x = layers.SimpleRNN(5, return_sequences=True, dropout=0.1, name="a")(inputs)
    return keras.Model(inputs, layers.Dense(3)(layers.SimpleRNN(4, go_backwards=True, name="b")(x)))


def branched():
    inputs = keras.Input((6,))
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(6, "tanh", name="inner")], name="block")
    left, right = layers.Dense(6, "tanh", name="left")(inputs), inner(inputs)
    return keras.Model(inputs, layers.Dense(3, "softmax", name="end")(layers.Add(name="sum")([left, right])))


def observed(model=None, y=CLASSES, x=X, loss=None, optimizer="sgd", epochs=10, **arguments):
    model = chain() if model is None else model
    model.compile(optimizer, loss or CROSS_ENTROPY(from_logits=True), run_eagerly=True)
    data = data_of(x, y, None, None)
    run = described(model)
    task = task_of(run.outputs[0].loss, run.outputs[0].units, data.train.y)
    training = Training.of(model, data).changed(**arguments)
    return Observed(training, task, data, run, (), HistoryBuilder().history(), epochs)


def only(proposals, seen):
    (found,) = proposals(seen)
    return found, found.applied(seen.training)


def predictions(model):
    reads_sequences = any(isinstance(one, (layers.RNN, layers.Conv1D)) for one in model.layers)
    return keras.ops.convert_to_numpy(model(SEQUENCES if reads_sequences else X))


def configs(model):
    return [layer.get_config() for layer in model.layers]


SEEN = {
    "squashing": lambda: observed(),
    "ReLU": lambda: observed(chain("relu")),
    "branched": lambda: observed(branched(), loss=CROSS_ENTROPY()),
    "apart": lambda: observed(with_activations_apart(), loss=CROSS_ENTROPY()),
    "large weights": lambda: observed(chain("relu", kernel_initializer=keras.initializers.RandomNormal(stddev=3.0))),
    "biases": lambda: observed(chain("relu", kernel_initializer="he_normal", bias_initializer="ones")),
    "penalties": lambda: observed(chain(kernel_regularizer=keras.regularizers.L2(0.5))),
    "decay": lambda: observed(optimizer=keras.optimizers.AdamW(0.01, weight_decay=3.0)),
    "raw": lambda: observed(x=1000 * X),
    "numbers": lambda: observed(chain(num=1, last="sigmoid"), NUMBERS, loss="mse"),
    "small batches": lambda: observed(batch_size=2),
    "rare": lambda: observed(y=np.where(np.arange(60) < 54, 0, 1)),
    "NaN": lambda: observed(x=np.where(np.arange(60)[:, None] % 10 == 1, np.nan, X)),
    "in order": lambda: observed(is_shuffled=False),
    "numbered from 5": lambda: observed(chain(last="softmax"), CLASSES + 5, loss="sparse_categorical_crossentropy"),
    "signs": lambda: observed(chain(num=1, last="sigmoid"), SIGNS, loss="binary_crossentropy"),
    "dropout": lambda: observed(with_dropout(0.95)),
    "narrow": lambda: observed(narrow()),
    "unflattened": lambda: observed(unflattened(), x=SEQUENCES),
    "frozen": lambda: observed(frozen("layer1", "end")),
    "recurrent": lambda: observed(recurrent(), x=SEQUENCES),
    "linear": lambda: observed(chain(None)),
    "one unit": lambda: observed(chain(num=1, last="softmax"), CLASSES > 0, loss="binary_crossentropy"),
}
CODE = [
    (learning_rate.LearningRate(0.001), "squashing",
     "optimizer=keras.optimizers.SGD(learning_rate=0.001)  # learning_rate was 0.01"),
    (optimizer.Adam(), "decay",
     "optimizer=keras.optimizers.Adam(0.001)  # was keras.optimizers.AdamW(learning_rate=0.01, weight_decay=3)"),
    (warmup.WarmUp(0.01, 2, 18), "squashing",
     "schedule = keras.optimizers.schedules.CosineDecay(0.0, 18, warmup_target=0.01, warmup_steps=2)\n"
     "optimizer=keras.optimizers.SGD(learning_rate=schedule)"),
    (clipping.Clipping(), "squashing", "optimizer=keras.optimizers.SGD(learning_rate=0.01, global_clipnorm=1)"),
    (activation.HiddenActivation("relu"), "squashing",
     'activation="relu"  # in layer1, layer2, layer3, layer4; was sigmoid'),
    (activation.HiddenActivation("relu"), "apart", 'activation="relu"  # in b; was tanh'),
    (activation.HiddenActivation("relu"), "branched", 'activation="relu"  # in left, inner; was tanh'),
    (initializer.Initializer("he_normal"), "large weights",
     'kernel_initializer="he_normal"  # in all layers with a kernel; was RandomNormal, GlorotUniform'),
    (initializer.Initializer("he_normal"), "biases",
     'kernel_initializer="he_normal"  # in all layers with a kernel; was HeNormal, GlorotUniform\n'
     'bias_initializer="zeros"'),
    (normalization.Normalization(), "squashing",
     "keras.layers.BatchNormalization()  # after layer1, layer2, layer3, layer4"),
    (normalization.Normalization(momentum=0.9), "squashing",
     "keras.layers.BatchNormalization(momentum=0.9)  # after layer1, layer2, layer3, layer4"),
    (skip.SkipConnections(), "squashing",
     "x = keras.layers.Add()([x, layer(x)])  # in layer1, layer2, layer3, layer4"),
    (depth.FewerLayers(), "squashing", "# without the layers layer3, layer4"),
    (output.Output("softmax", "sparse_categorical_crossentropy", 3), "one unit",
     'keras.layers.Dense(3, activation="softmax")  # was Dense(1), activation softmax\n'
     "loss=\"sparse_categorical_crossentropy\"  # was 'binary_crossentropy'"),
    (output.Output("linear"), "numbers", "keras.layers.Dense(1)  # was Dense(1), activation sigmoid"),
    (input_scale.ScaledInputs((0.0,) * 6, (1.0,) * 6), "raw",
     "scaled = keras.layers.Normalization(); scaled.adapt(x)  # the first layer"),
    (input_scale.ScaledInputs((0.5,), (2.0,)), "raw", "keras.layers.Normalization(None, 0.5, 2)  # the first layer"),
    (target_scale.ScaledTargets(1000.0, 50.0), "numbers",
     "y = (y - 1000) / 50  # 50 * model.predict(x) + 1000 in the units of before"),
    (decay.WeakerDecay(0.01), "penalties",
     "kernel_regularizer=keras.regularizers.L2(l2=0.005)  # in every layer that has one; was l2=0.5"),
    (decay.WeakerDecay(0.01), "decay",
     "optimizer=keras.optimizers.AdamW(learning_rate=0.01, weight_decay=0.03)  # weight_decay was 3"),
    (decay.WeakerDecay(0.0), "decay",
     "optimizer=keras.optimizers.AdamW(learning_rate=0.01, weight_decay=0)  # weight_decay was 3"),
    (class_numbers.ClassNumbers((5, 6, 7)), "numbered from 5", "y = y - 5  # classes 0 to 2; were from 5"),
    (class_numbers.ClassNumbers((-1, 1)), "signs",
     "y = numpy.searchsorted([-1, 1], y)  # classes 0 to 1; were these numbers"),
    (dropout.LessDropout(), "dropout", "keras.layers.Dropout(0.2)  # in b; was 0.95"),
    (gates.Gates("LSTM"), "recurrent", "keras.layers.LSTM(...)  # in a, b; was SimpleRNN(...)"),
    (flatten.Flattened(), "unflattened", "keras.layers.Flatten()  # before b"),
    (unfrozen.Unfrozen(), "frozen", "layer.trainable = True  # in layer1, end; before compile"),
    (units.MoreUnits(12), "narrow", "keras.layers.Dense(12, ...)  # in a; was 2"),
    (activation.HiddenActivation("relu"), "linear",
     'activation="relu"  # in layer1, layer2, layer3, layer4; was none'),
    (batch_size.BatchSize(32), "small batches", "model.fit(..., batch_size=32)  # was 2"),
    (class_weights.ClassWeights(((0, 0.5), (1, 5.0))), "rare", "model.fit(..., class_weight={0: 0.5, 1: 5})"),
    (finite_rows.FiniteRows(), "NaN",
     "rows = numpy.isfinite(x.reshape(len(x), -1)).all(axis=1); x, y = x[rows], y[rows]"),
    (shuffled_rows.ShuffledRows(), "in order", "dataset.unbatch().shuffle(len(x)).batch(32)"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "seen", "code"), CODE, ids=lambda one: one if isinstance(one, str) else None)
def test_a_change_writes_itself_and_leaves_the_training_as_it_was(change, seen, code):
    seen = SEEN[seen]()
    training, before = seen.training, (configs(seen.training.model), predictions(seen.training.model))
    settings = dict(training.settings)

    changed = change.applied(training)
    assert change.code(training) == code
    ast.parse(code.replace("...", "x"))
    assert dataclasses.is_dataclass(change)
    assert hash(change) == hash(dataclasses.replace(change))

    assert changed != training
    assert (configs(training.model), training.settings) == (before[0], settings)
    np.testing.assert_array_equal(predictions(training.model), before[1])
    rows = changed.prepared(seen.data).train
    model = changed.fresh(rows)
    model.fit(*rows.at(slice(0, 16)), batch_size=8, verbose=0, class_weight=changed.class_weight)
    assert all(np.isfinite(one).all() for one in model.get_weights()) or seen is SEEN["raw"]


def test_every_change_has_its_code_tested():
    def owner(source):
        return source.__name__ if not callable(source) else source.__module__

    sources = {owner(one) for one in (*table.ALL, *(one for each in table.FOR.values() for one in each))}
    assert sources == {type(change).__module__ for change, _, _ in CODE}


# What is proposed, and what it makes of the training.


def test_the_learning_rate_follows_the_update_ratio():
    def rates(rate, ratio, kind=keras.optimizers.SGD, severity="warning"):
        found = (Finding("GL401", "", severity, (), 0, None, 1, 1, "", ()),)
        seen = dataclasses.replace(observed(optimizer=kind(rate)), history=history_with(ratio), findings=found)
        return [one.rate for one in learning_rate.proposals(seen)]

    assert rates(1e-6, 3e-8) == [0.1, 0.01, 1e-7, 1e-5]  # 3e-3 of the weights; the usual rate; a tenth; ten times
    assert rates(1e-6, 3e-8, severity="note") == [0.1, 0.01, 3e-6, 1e-7, 1e-5]  # nothing is wrong, but it may be slow
    assert rates(10.0, 3.0) == [0.01, 1.0]  # a hundred times the default is too large
    assert rates(0.01, 3e-3) == [0.001, 0.1]  # as it should be
    assert rates(0.001, float("nan"), keras.optimizers.Adam) == [1e-4, 0.01]
    assert rates(0.0, 0.0) == [0.01]


def test_a_learning_rate_far_from_the_usual_one_is_unusual():
    kinds = keras.optimizers
    for rate, kind, expected in [
        (0.001, kinds.Adagrad, [0.1]),
        (1e-5, kinds.Adam, [0.001]),
        (1.0, kinds.SGD, [0.01]),
        (0.0, kinds.SGD, [0.01]),
        (2e-5, kinds.AdamW, []),  # fine-tuning
        (0.3, kinds.SGD, []),
        (kinds.schedules.CosineDecay(9.0, 10), kinds.SGD, []),
    ]:
        assert [one.rate for one in learning_rate.unusual(observed(optimizer=kind(rate)))] == expected


def history_with(ratio):
    """Two logged steps with an update ratio."""
    from gradlog.history.history import Snapshot

    builder = HistoryBuilder()
    for step in (0, 10):
        builder.add(Snapshot(step, ("a/kernel",), ("update_ratio",), np.array([[ratio]], np.float32)))
    return builder.history()


def test_an_optimizer_becomes_plain_adam():
    seen = observed(optimizer=keras.optimizers.SGD(1.0, momentum=0.99, global_clipnorm=3.0, weight_decay=0.1))
    _, changed = only(optimizer.proposals, seen)
    assert changed.optimizer is keras.optimizers.Adam
    fresh = keras.optimizers.Adam(0.001).get_config()
    assert changed.settings == {name: value for name, value in fresh.items() if name != "name"} | {
        "learning_rate": 0.001
    }
    assert optimizer.proposals(dataclasses.replace(seen, training=changed)) == []


def test_an_optimizer_has_the_class_that_a_user_names():
    """On PyTorch, Keras creates optimizers as instances of subclasses. A user's own subclass is kept."""
    own = type("Adam", (keras.optimizers.Adam,), {})
    for kind in (keras.optimizers.Adam, keras.optimizers.AdamW, keras.optimizers.SGD, keras.optimizers.Ftrl, own):
        assert observed(optimizer=kind(0.001)).training.optimizer is kind
    assert optimizer.proposals(observed(optimizer=keras.optimizers.Adam())) == []


def test_a_warm_up_rises_and_falls():
    seen = observed(optimizer=keras.optimizers.Adam(0.5), epochs=50)
    change, changed = only(warmup.proposals, seen)
    assert change == warmup.WarmUp(0.01, 10, 90)  # of 50 epochs of 2 steps; ten times the usual rate at most
    made = changed.fresh(seen.data.train).optimizer
    rates = [float(made._learning_rate(step)) for step in (0, 5, 10, 55, 100)]
    np.testing.assert_allclose(rates, [0, 0.005, 0.01, 0.005, 0], atol=1e-7)
    (change,) = warmup.proposals(observed(optimizer=keras.optimizers.Adam(0.002), epochs=50))
    assert change.rate == pytest.approx(0.002)
    assert warmup.proposals(dataclasses.replace(seen, training=changed)) == []


def test_a_clipped_optimizer_is_not_clipped_again():
    seen = observed()
    _, changed = only(clipping.proposals, seen)
    assert changed.fresh(seen.data.train).optimizer.global_clipnorm == 1.0
    assert clipping.proposals(dataclasses.replace(seen, training=changed)) == []


def test_gradients_clipped_to_almost_nothing_are_unusual():
    for settings, expected in [
        ({}, []),
        ({"clipnorm": 0.1}, []),
        ({"clipvalue": 0.009}, [clipping.Clipping(1.0)]),
        ({"global_clipnorm": 4e-4}, [clipping.Clipping(1.0)]),
    ]:
        seen = observed(optimizer=keras.optimizers.SGD(0.01, **settings))
        assert clipping.unusual(seen) == expected
        assert [one for one in table.unusual_in(seen) if one.name == "clipping"] == expected
    assert clipping.Clipping().code(seen.training) == (
        "optimizer=keras.optimizers.SGD(learning_rate=0.01, global_clipnorm=1)"
        "  # was keras.optimizers.SGD(learning_rate=0.01, global_clipnorm=0.0004)"
    )


@pytest.mark.parametrize("kind", ["squashing", "apart", "branched"])
def test_hidden_activations_alone_are_exchanged(kind):
    seen = SEEN[kind]()
    change, changed = only(activation.proposals, seen)
    assert change.activation == "relu"
    found = {layer.name: activation.activation_of(layer) for layer in flattened(changed.model)}
    assert found == {
        "squashing": {f"layer{n}": "relu" for n in range(1, 5)} | {"end": ""},
        "apart": {"a": "", "b": "relu", "c": "", "d": "softmax"},
        "branched": {"left": "relu", "inner": "relu", "sum": "", "end": "softmax"},
    }[kind] | {name: "" for name in found if "tensor" in name}  # an input without a name
    (leaky,) = activation.proposals(dataclasses.replace(seen, training=changed))
    assert leaky.activation == "leaky_relu"


def test_initializers_are_proposed_where_weights_or_biases_start_elsewhere():
    assert initializer.unusual(observed()) == []
    assert initializer.unusual(observed(chain("relu", kernel_initializer="he_normal"))) == []
    for usual in ("lecun_normal", "he_uniform", "glorot_normal"):  # of a narrow end, He's is three times Glorot's
        wide = layers.Dense(64, "relu", kernel_initializer=usual)
        assert initializer.unusual(observed(keras.Sequential([keras.Input((6,)), wide, layers.Dense(3)]))) == []
    rare = layers.Dense(3, bias_initializer=keras.initializers.Constant(-4.6))
    assert initializer.unusual(observed(keras.Sequential([keras.Input((6,)), layers.Dense(6), rare]))) == []
    for kind in ("large weights", "biases"):
        seen = SEEN[kind]()
        (change,) = initializer.unusual(seen)
        model = change.applied(seen.training).fresh(seen.data.train)
        weights = [layer.get_weights() for layer in model.layers]
        assert all((bias == 0).all() for _, bias in weights)
        assert all(0.5 < kernel.std() / np.sqrt(2 / len(kernel)) < 2 for kernel, _ in weights)
        assert initializer.proposals(dataclasses.replace(seen, training=change.applied(seen.training))) == []


def test_normalization_stands_behind_each_hidden_layer():
    seen = SEEN["branched"]()
    batch, layer = normalization.proposals(seen)
    assert (batch.kind, layer.kind) == ("BatchNormalization", "LayerNormalization")
    assert batch.momentum == 0.9  # of 20 steps
    assert normalization.proposals(observed(epochs=501))[0].momentum == 0.99
    names = [one.name for one in flattened(batch.applied(seen.training).model)]
    assert [name for name in names if "normalization" in name] == ["left_normalization", "inner_normalization"] or [
        name for name in names if "normalization" in name
    ] == ["inner_normalization", "left_normalization"]
    assert [one.kind for one in normalization.proposals(SEEN["small batches"]())] == ["LayerNormalization"]
    assert normalization.proposals(dataclasses.replace(seen, training=batch.applied(seen.training))) == []


def test_ten_hidden_layers_with_nothing_between_are_unusual():
    deep = observed(chain(depth=10))
    assert normalization.unusual(observed(chain(depth=9))) == []
    assert normalization.unusual(deep) == [normalization.Normalization(momentum=0.9)]
    assert [one for one in table.unusual_in(deep) if one.name == "normalization"] == normalization.unusual(deep)
    x = inputs = keras.Input((6,))
    for _ in range(10):
        x = x + layers.Dense(6, "relu")(x)
    assert normalization.unusual(observed(keras.Model(inputs, layers.Dense(3)(x)))) == []
    for layer in deep.training.model.layers[:4]:
        layer.trainable = False
    assert normalization.unusual(deep) == []
    for layer in deep.training.model.layers:
        layer.trainable = True
    for eased in (skip.SkipConnections(), normalization.Normalization()):
        training = eased.applied(deep.training)
        assert normalization.unusual(dataclasses.replace(deep, training=training)) == []


def test_skip_connections_add_what_comes_in():
    seen = SEEN["squashing"]()
    _, changed = only(skip.proposals, seen)
    made = changed.fresh(seen.data.train)
    x = X
    for number in range(1, 5):
        kernel, bias = made.get_layer(f"layer{number}").get_weights()
        x = x + 1 / (1 + np.exp(-(x @ kernel + bias)))
    kernel, bias = made.get_layer("end").get_weights()
    np.testing.assert_allclose(predictions(made), x @ kernel + bias, rtol=1e-4, atol=1e-5)
    assert skip.proposals(dataclasses.replace(seen, training=changed)) == []
    assert skip.proposals(observed(chain(depth=2))) == []


def test_fewer_layers_are_those_of_one_shape():
    seen = observed(chain(depth=5, units=6))
    _, changed = only(depth.proposals, seen)
    assert [one.name for one in changed.model.layers] == ["layer1", "layer2", "end"]
    assert depth.proposals(observed(chain(depth=3))) == []


@pytest.mark.parametrize(
    ("model", "y", "loss", "expected"),
    [
        (lambda: chain(num=1, last="softmax"), CLASSES > 0, "binary_crossentropy",
         output.Output("sigmoid", "binary_crossentropy", 1)),
        (lambda: chain(num=1, last="sigmoid"), CLASSES, "binary_crossentropy",
         output.Output("softmax", "sparse_categorical_crossentropy", 3)),
        (lambda: chain(last="softmax"), CLASSES, CROSS_ENTROPY(from_logits=True),
         output.Output("softmax", "sparse_categorical_crossentropy", 3)),
        (lambda: chain(), CLASSES, "sparse_categorical_crossentropy",
         output.Output("softmax", "sparse_categorical_crossentropy", 3)),
        (lambda: chain(), CLASSES, lambda y, p: keras.ops.mean(p),
         output.Output("softmax", "sparse_categorical_crossentropy", 3)),
        (lambda: chain(last="relu"), np.eye(3)[CLASSES], "mse",
         output.Output("softmax", "categorical_crossentropy", 3)),
        (lambda: chain(num=1, last="tanh"), NUMBERS, "mae", output.Output("linear")),
        (lambda: chain(num=6, last="softmax"), (X > 0).astype(np.float32), "binary_crossentropy",
         output.Output("sigmoid", "binary_crossentropy")),
        (lambda: chain(last="softmax"), CLASSES, "sparse_categorical_crossentropy", None),
        (lambda: chain(), CLASSES, CROSS_ENTROPY(from_logits=True), None),
        (lambda: chain(num=1, last="sigmoid"), CLASSES > 0, "binary_crossentropy", None),
        (lambda: chain(num=1), NUMBERS, "mse", None),
        (with_activations_apart, CLASSES, "sparse_categorical_crossentropy", None),
    ],
)  # fmt: skip
def test_the_output_fits_the_targets(model, y, loss, expected):
    y = y.astype(np.int64) if y.dtype == bool else y
    seen = observed(model(), y, loss=loss)
    assert output.proposals(seen) == ([] if expected is None else [expected])
    if expected is not None:
        changed = expected.applied(seen.training)
        found = described(changed.fresh(seen.data.train)).outputs[0]
        assert (found.activation, found.units, found.from_logits) == (expected.activation, found.units, False)
        assert found.units == (expected.units or seen.run.outputs[0].units)
        assert (
            output.proposals(dataclasses.replace(seen, training=changed, run=described(changed.fresh(seen.data.train))))
            == []
        )


def test_inputs_are_scaled_inside_of_the_model():
    x = (X * [1, 10, 100, 1e3, 1e4, 0] + [0, 5, 0, 0, 1e5, 7]).astype(np.float32)  # the last column is constant
    for model in (chain(), branched()):
        seen = observed(model, x=x)
        _, changed = only(input_scale.proposals, seen)
        rows = seen.data.train.x
        made = changed.fresh(seen.data.train)
        plain = seen.training.model
        plain.set_weights(made.get_weights()[-len(plain.weights) :])  # after those of the normalization
        scaled = (rows - rows.mean(0)) / np.where(rows.std(0) > 0, rows.std(0), 1)
        expected = keras.ops.convert_to_numpy(plain(scaled.astype(np.float32)))
        np.testing.assert_allclose(keras.ops.convert_to_numpy(made(rows)), expected, rtol=1e-3, atol=1e-4)
    assert input_scale.proposals(observed()) == []
    images = np.full((60, 4, 4, 1), 200.0, np.float32) * RNG.uniform(size=(60, 4, 4, 1)).astype(np.float32)
    seen = observed(keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3)]), x=images)
    (change,) = input_scale.proposals(seen)
    assert change.means == (pytest.approx(float(seen.data.train.x.mean()), rel=1e-5),)


def test_targets_are_scaled_and_predictions_restored():
    seen = SEEN["numbers"]()
    _, changed = only(target_scale.proposals, seen)
    rows = changed.prepared(seen.data)
    assert abs(rows.train.y.mean()) < 1e-4
    assert rows.train.y.std() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(changed.restore(rows.held_out.y), seen.data.held_out.y, rtol=1e-4)
    assert target_scale.proposals(dataclasses.replace(seen, training=changed)) == []
    assert target_scale.proposals(observed()) == []


def test_regularization_is_weakened():
    for kind, strength in (("penalties", 0.5), ("decay", 3.0)):
        seen = SEEN[kind]()
        weaker, none = decay.proposals(seen)
        for change, expected in ((weaker, strength / 100), (none, 0.0)):
            changed = change.applied(seen.training)
            if kind == "decay":
                assert changed.settings["weight_decay"] == expected
                continue
            found = [one.kernel_regularizer for one in hidden_layers(changed.model)]
            assert [None if one is None else one.l2 for one in found] == [
                pytest.approx(expected) if expected else None for _ in range(4)
            ]
        assert decay.unusual(seen) == [none]
    assert decay.proposals(observed()) == []
    usual = observed(optimizer=keras.optimizers.AdamW(0.001, weight_decay=0.1))
    assert len(decay.proposals(usual)) == 2
    assert decay.unusual(usual) == []


def test_data_are_prepared():
    seen = SEEN["NaN"]()
    _, changed = only(finite_rows.proposals, seen)
    assert len(changed.prepared(seen.data).train) == np.isfinite(seen.data.train.x).all(1).sum() < len(seen.data.train)
    assert finite_rows.proposals(observed()) == []
    _, changed = only(shuffled_rows.proposals, SEEN["in order"]())
    assert changed.is_shuffled
    assert shuffled_rows.proposals(observed()) == []
    assert only(batch_size.proposals, SEEN["small batches"]())[1].batch_size == 32
    assert only(batch_size.proposals, observed(batch_size=48))[1].batch_size == 32  # one step an epoch
    assert batch_size.proposals(observed(batch_size=16)) == []
    assert batch_size.unusual(observed(batch_size=60, epochs=99)) == [batch_size.BatchSize(32)]
    assert batch_size.unusual(observed(batch_size=60, epochs=100)) == []
    assert batch_size.unusual(observed(batch_size=47, epochs=20)) == []  # two steps an epoch


@pytest.mark.parametrize(
    ("seen", "classes", "expected"),
    [
        ("numbered from 5", (5, 6, 7), CLASSES),
        ("signs", (-1, 1), (CLASSES > 0).astype(int)),
    ],
)
def test_classes_are_numbered_from_zero_and_scored_as_they_were(seen, classes, expected):
    seen = SEEN[seen]()
    change, changed = only(class_numbers.proposals, seen)
    assert change.classes == classes
    data = changed.prepared(seen.data)
    prepared = np.concatenate([data.train.y, data.held_out.y])
    original = np.concatenate([seen.data.train.y, seen.data.held_out.y])
    np.testing.assert_array_equal(np.array(classes)[prepared], original)
    assert sorted(prepared) == sorted(expected)

    perfect = np.eye(len(classes))[data.train.y] if len(classes) > 2 else data.train.y[:, None] * 0.2 + 0.4
    assert seen.task.score(perfect, seen.data.train.y, 0.5, changed.classes) == 1
    assert seen.task.score(1 - perfect, seen.data.train.y, 0.5, changed.classes) == 0 or len(classes) > 2
    beyond = np.eye(9)[np.full(len(perfect), 8)]  # a unit that stands for none of the classes
    assert seen.task.score(beyond, seen.data.train.y, 0.5, changed.classes) == 0
    assert class_numbers.proposals(dataclasses.replace(seen, training=changed)) == []


def test_class_numbers_that_the_loss_takes_stay():
    sparse = {"loss": "sparse_categorical_crossentropy"}
    assert class_numbers.proposals(observed(chain(last="softmax"), **sparse)) == []
    assert class_numbers.proposals(observed(chain(num=9, last="softmax"), CLASSES + 5, **sparse)) == []
    assert class_numbers.proposals(observed(chain(num=1, last="tanh"), SIGNS, loss="hinge")) == []
    assert class_numbers.proposals(observed(chain(num=1), NUMBERS, loss="mse")) == []


def test_dropout_leaves_out_less_where_it_leaves_out_most():
    seen = SEEN["dropout"]()
    _, changed = only(dropout.proposals, seen)
    assert [one.rate for one in changed.model.layers if isinstance(one, layers.Dropout)] == [0.2, 0.2]
    assert dropout.proposals(observed(with_dropout(0.6))) == []


def test_an_output_for_each_place_is_flattened():
    seen = SEEN["unflattened"]()
    _, changed = only(flatten.proposals, seen)
    assert changed.model.output_shape == (None, 3)
    assert [type(one).__name__ for one in changed.model.layers] == ["Conv1D", "Flatten", "Dense"]
    assert flatten.proposals(dataclasses.replace(seen, training=changed)) == []
    places = RNG.integers(0, 3, (60, 22))
    assert flatten.proposals(observed(unflattened(), places, SEQUENCES, "sparse_categorical_crossentropy")) == []
    assert flatten.proposals(observed()) == []


def test_a_frozen_output_is_trained_and_a_frozen_body_stays():
    _, changed = only(unfrozen.proposals, SEEN["frozen"]())
    assert all(one.trainable for one in changed.model.layers)
    assert unfrozen.proposals(observed(frozen("layer1", "layer2"))) == []
    assert unfrozen.proposals(observed()) == []


def test_narrow_layers_are_widened():
    seen = SEEN["narrow"]()
    _, changed = only(units.proposals, seen)
    assert [one.units for one in changed.model.layers] == [12, 12, 3]
    assert units.proposals(dataclasses.replace(seen, training=changed)) == []
    assert units.proposals(observed(chain(units=6))) == []


def test_plain_recurrence_gets_gates():
    seen = SEEN["recurrent"]()
    for change, kind in zip(gates.proposals(seen), (layers.LSTM, layers.GRU), strict=True):
        made = [one for one in change.applied(seen.training).model.layers if isinstance(one, layers.RNN)]
        assert [(type(one), one.name, one.units) for one in made] == [(kind, "a", 5), (kind, "b", 4)]
        assert [(one.return_sequences, one.go_backwards, one.dropout) for one in made] == [
            (True, False, 0.1),
            (False, True, 0.0),
        ]
        assert (made[0].activation.__name__, made[0].recurrent_initializer.__class__.__name__) == ("tanh", "Orthogonal")
    assert gates.of_long(seen) == gates.proposals(seen)
    short = observed(recurrent(19), x=SEQUENCES[:, :19])
    assert len(gates.proposals(short)) == 2
    assert gates.of_long(short) == []
    assert gates.proposals(observed()) == []


def test_activations_of_outputs_and_none_at_all_are_unusual():
    for wrong in ("softmax", "exponential", None):
        (change,) = activation.unusual(observed(chain(wrong)))
        assert change.activation == "relu"
    for right in ("relu", "tanh", "elu", "sigmoid"):
        assert activation.unusual(observed(chain(right))) == []
    assert activation.unusual(SEEN["apart"]()) == []
    recurrent = [keras.Input((6,)), layers.Reshape((6, 1)), layers.GRU(4), layers.Dense(4), layers.Dense(3)]
    assert activation.proposals(observed(keras.Sequential(recurrent))) == []
    assert activation.proposals(observed(keras.Sequential([keras.Input((6,)), layers.Dense(3)]))) == []


def test_adam_takes_the_place_of_unusual_steps():
    kinds = keras.optimizers
    for usual in (kinds.Adam(0.003), kinds.AdamW(0.001), kinds.Nadam(1e-4), kinds.Adam(0.001, global_clipnorm=1.0)):
        assert optimizer.unusual(observed(optimizer=usual)) == []
    for unusual in (kinds.Adam(0.5), kinds.Adam(1e-6), kinds.SGD(0.01), kinds.Adam(0.001, clipnorm=1e-5)):
        assert optimizer.unusual(observed(optimizer=unusual)) == [optimizer.Adam()]


def test_what_is_unusual_is_made_usual_together():
    start = keras.initializers.RandomNormal(stddev=3.0)
    model = chain("softmax", depth=6, num=1, last="tanh", kernel_initializer=start)
    seen = observed(model, SIGNS, x=1000 * X, loss="binary_crossentropy", optimizer=keras.optimizers.SGD(9.0))
    found = table.together(seen)
    assert [one.name for one in found] == [
        "class numbers", "output and loss", "scaled inputs", "Adam", "activation", "initializer", "normalization"
    ]  # fmt: skip
    assert table.together(observed(chain("relu"), optimizer="adam")) == []
    assert table.together(observed(Subclassed(), optimizer="sgd")) == [optimizer.Adam()]


def attention():
    """Weights of places come from one unit and a softmax over the places; a gate has a softmax of its own."""
    inputs = keras.Input((4, 6))
    x = layers.Dense(16, "tanh", name="a")(inputs)
    weights = layers.Softmax(axis=1)(layers.Dense(1, name="score")(x))
    pooled = layers.GlobalAveragePooling1D()(layers.Multiply()([x, weights]))
    gate = layers.Dense(16, "softmax", name="gate")(pooled)
    return keras.Model(inputs, layers.Dense(3, name="end")(layers.Multiply()([pooled, gate])))


def test_attention_and_gates_are_meant():
    seen = observed(attention(), x=RNG.normal(size=(60, 4, 6)).astype(np.float32))
    assert units.proposals(seen) == activation.unusual(seen) == []
    (change,) = activation.proposals(seen)  # of tanh
    found = {one.name: activation.activation_of(one) for one in change.applied(seen.training).model.layers}
    assert (found["a"], found["score"], found["gate"], found["softmax"]) == ("relu", "", "softmax", "softmax")


def test_activations_that_are_layers_are_seen():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(6, layers.LeakyReLU()), layers.Dense(6, layers.ReLU())])
    assert [activation.activation_of(one) for one in model.layers] == ["leaky_relu", "relu"]
    assert activation.activation_of(layers.Dense(2, lambda x: x)) == "<lambda>"
    assert activation.activation_of(layers.Dense(2)) == activation.activation_of(layers.Activation("linear")) == ""
    assert activation.unusual(observed(model)) == []


def test_a_decoder_that_gets_a_state_keeps_it():
    inputs = keras.Input((24, 2))
    _, state = layers.SimpleRNN(5, return_state=True, name="encoder")(inputs)
    x = layers.SimpleRNN(5, return_sequences=True, name="plain")(inputs)
    x = layers.SimpleRNN(5, name="decoder")(x, initial_state=state)
    seen = observed(keras.Model(inputs, layers.Dense(3)(x)), x=SEQUENCES)
    assert gates.of_long(seen)[0] == gates.Gates("LSTM")
    gru = gates.Gates("GRU").applied(seen.training).model
    kinds = {one.name: type(one).__name__ for one in gru.layers}
    assert (kinds["encoder"], kinds["plain"], kinds["decoder"]) == ("SimpleRNN", "GRU", "GRU")


def test_tokens_and_rescaled_images_are_not_scaled():
    tokens = RNG.integers(0, 50, (60, 6)).astype(np.float32)
    inputs = keras.Input((6,))
    x = layers.Flatten()(layers.Embedding(50, 4)(inputs))
    assert input_scale.proposals(observed(keras.Model(inputs, layers.Dense(3)(x)), x=tokens)) == []
    x = layers.Rescaling(1 / 50)(inputs)
    assert input_scale.proposals(observed(keras.Model(inputs, layers.Dense(3)(x)), x=tokens)) == []


def test_class_weights_follow_class_numbers():
    y = np.where(np.arange(60) < 54, 5, np.where(np.arange(60) < 57, 6, 7))
    seen = observed(chain(last="softmax"), y, loss="sparse_categorical_crossentropy")
    (numbers,), (weights,) = class_numbers.proposals(seen), class_weights.proposals(seen)
    expected = {0: 0.37, 1: 6.7, 2: 6.7}
    for first, second in ((numbers, weights), (weights, numbers)):
        changed = second.applied(first.applied(seen.training))
        assert changed.class_weight == pytest.approx(expected, rel=0.3)
    assert weights.code(numbers.applied(seen.training)).startswith("model.fit(..., class_weight={0: ")


def test_the_code_of_an_optimizer_has_what_is_not_its_default():
    own = keras.optimizers.Adam(0.5, beta_2=0.9, epsilon=1e-3, global_clipnorm=2.0, amsgrad=False)
    code = learning_rate.LearningRate(0.001).code(observed(optimizer=own).training)
    made = "keras.optimizers.Adam(learning_rate=0.001, beta_2=0.9, epsilon=0.001, global_clipnorm=2)"
    assert code == f"optimizer={made}  # learning_rate was 0.5"


def test_classes_count_alike():
    from sklearn.utils.class_weight import compute_class_weight

    seen = SEEN["rare"]()
    _, changed = only(class_weights.proposals, seen)
    y = seen.data.train.y
    expected = compute_class_weight("balanced", classes=np.unique(y), y=y)
    assert changed.class_weight == dict(enumerate(pytest.approx(one) for one in expected))
    assert class_weights.proposals(observed()) == []
    assert class_weights.proposals(dataclasses.replace(seen, training=changed)) == []


# Surgery.


class Subclassed(keras.Model):
    def __init__(self, units=3, **arguments):
        super().__init__(**arguments)
        self.units, self.end = units, layers.Dense(units, "tanh")

    def call(self, x):
        return self.end(x)

    def get_config(self):
        return {"units": self.units}


def lambdas():
    return keras.Sequential([keras.Input((6,)), layers.Lambda(lambda x: 2 * x), layers.Dense(3)])


def shared():
    inputs, dense = keras.Input((6,)), layers.Dense(6, "tanh", name="shared")
    return keras.Model(inputs, layers.Dense(3, name="end")(dense(dense(inputs))))


class Backbone(keras.Model):
    """A graph of layers with a constructor of its own, like those of keras-hub."""

    def __init__(self, units, **arguments):
        dense = layers.Dense(units, "tanh", name="tied")
        inputs = keras.Input((6,))
        super().__init__(inputs, layers.Dense(6, name="inside")(dense(inputs)), **arguments)
        self.units, self.dense = units, dense

    def get_config(self):
        return {"units": self.units, "name": self.name}


def tied():
    """A layer of the backbone is called once more outside."""
    inputs, backbone = keras.Input((6,)), Backbone(5)
    return keras.Model(inputs, layers.Dense(3, name="end")(backbone.dense(backbone(inputs))))


class LateLayers(keras.Model):
    """Makes its layers when it is built."""

    def build(self, shape):
        self.dense = layers.Dense(6)
        self.dense.build(shape)

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        return {"name": self.name}


def with_late_layers():
    inputs = keras.Input((6,))
    return keras.Model(inputs, layers.Dense(3, name="end")(LateLayers(name="late")(inputs)))


def without_an_input():
    return keras.Sequential([layers.Dense(4, "tanh"), layers.Dense(3)])


BUILT = [without_an_input, chain, branched, with_activations_apart, lambdas, shared, Subclassed, tied, with_late_layers]


@pytest.mark.parametrize("build", BUILT)
def test_a_model_is_made_anew(build):
    model = build()
    model(X)
    model.compile("sgd", lambda y, p: keras.ops.mean(p))  # a loss that Keras cannot load again
    before = predictions(model)

    anew = rebuilt(model)
    anew(X)
    assert [one.shape for one in anew.weights] == [one.shape for one in model.weights]
    assert not {id(one) for one in anew.weights} & {id(one) for one in model.weights}
    assert not anew.compiled
    anew.set_weights(model.get_weights())
    np.testing.assert_allclose(predictions(anew), before, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(predictions(model), before)
    assert len(model.layers[-1]._inbound_nodes) <= 2


def test_layers_beside_a_backbone_are_changed_and_those_in_it_stay():
    model = tied()
    assert [one.name for one in hidden_layers(model)] == []
    changed = normalization.Normalization().applied(observed(model).training).model
    assert type(changed.layers[1]) is Backbone
    inputs = keras.Input((6,))
    beside = keras.Model(inputs, layers.Dense(3)(layers.Dense(4, "tanh", name="beside")(Backbone(5)(inputs))))
    found = activation.HiddenActivation("relu").applied(observed(beside).training).model
    assert [type(one).__name__ for one in found.layers[1:]] == ["Backbone", "Dense", "Dense"]
    assert found.layers[2].activation.__name__ == "relu"
    assert found.layers[1].dense.activation.__name__ == "tanh"


def test_a_model_that_keras_cannot_make_is_refused():
    class Closed(keras.Model):
        def __init__(self, function):
            super().__init__()
            self.function, self.end = function, layers.Dense(3)

        def call(self, x):
            return self.end(self.function(x))

    model = Closed(lambda x: x)
    with pytest.raises(ValueError, match=r"anew\. Expected a Sequential or functional"):
        rebuilt(model)


def test_what_makes_the_output():
    def names(model):
        return [one.name for one in output_layers(model)], [one.name for one in hidden_layers(model)]

    assert names(chain()) == (["end"], ["layer1", "layer2", "layer3", "layer4"])
    assert names(with_activations_apart()) == (["c", "d"], ["a"])
    assert names(branched()) in ((["end"], ["left", "inner"]), (["end"], ["inner", "left"]))
    inputs = keras.Input((6,))
    body = keras.Sequential([keras.Input((6,)), layers.Dense(4, name="a"), layers.Dense(3, name="b")])
    two = keras.Model(inputs, [body(inputs), layers.Dropout(0.1)(layers.Dense(1, name="c")(inputs))])
    assert [one.name for one in output_layers(two) if one.name in "abc"] == ["b", "c"]
