"""GradientLogger on architectures that were not written for it: one or more of every family of `keras.applications`.

One step of each is run plain, with a logger, and eagerly with a `tf.GradientTape` of this file's own, all from the same
seed. Ordinary runs have the few fast ones; `pytest -m zoo` runs the others.
"""

import keras
import networks
import numpy as np
import pytest
import reference
import tensorflow as tf
from keras import applications, layers

import gradlog

BATCH_SIZE, NUM_CLASSES = 2, 3

# Each family with its smallest input and its smallest member, or its smallest members.
SIDES = {
    "ConvNeXtTiny": 32,
    "DenseNet121": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "InceptionResNetV2": 75,
    "InceptionV3": 75,
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Large": 32,
    "MobileNetV3Small": 32,
    "NASNetMobile": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "VGG16": 32,
    "VGG19": 32,
    "Xception": 71,
}
WITHOUT_BATCH_NORMALIZATION = {"ConvNeXtTiny", "VGG16", "VGG19"}
FAST = {"VGG16"}
NOT_REPRODUCIBLE = {"InceptionResNetV2"}  # two plain trainings were seen to differ by 1e-3, two others to be the same


@pytest.fixture(autouse=True)
def without_arithmetic_optimization():
    """TensorFlow's graph optimizer computes a gradient in another way where that is read once more, by the logger."""
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    yield
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": True})
    keras.backend.clear_session()


def application(name):
    shape = (SIDES[name], SIDES[name], 3)
    base = getattr(applications, name)(weights=None, include_top=False, pooling="avg", input_shape=shape)
    return keras.Model(base.inputs, layers.Dense(NUM_CLASSES, name="logits")(base.outputs[0]))


def images(side):
    rng = np.random.default_rng(0)
    return rng.uniform(0, 255, (BATCH_SIZE, side, side, 3)).astype(np.float32), np.arange(BATCH_SIZE) % NUM_CLASSES


def transformer():
    """An encoder of two blocks over embedded words, normalized ahead of attention and of the dense layers."""
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(11, 8, name="words")(inputs)
    for block in ("block1", "block2"):
        normalized = layers.LayerNormalization(name=f"{block}_norm1")(x)
        attended = layers.MultiHeadAttention(2, 4, dropout=0.1, name=f"{block}_attention")(normalized, normalized)
        x = layers.Add()([x, attended])
        hidden = layers.Dense(16, "gelu", name=f"{block}_hidden")(layers.LayerNormalization(name=f"{block}_norm2")(x))
        x = layers.Add()([x, layers.Dense(8, name=f"{block}_output")(layers.Dropout(0.1)(hidden))])
    return keras.Model(inputs, layers.Dense(NUM_CLASSES, name="logits")(layers.GlobalAveragePooling1D()(x)))


def stacked_lstm():
    members = [
        layers.LSTM(8, return_sequences=True, recurrent_dropout=0.2, name="lstm1"),
        layers.Bidirectional(layers.LSTM(6, return_sequences=True), name="lstm2"),
        layers.LSTM(4, name="lstm3"),
        layers.Dense(NUM_CLASSES, name="logits"),
    ]
    return keras.Sequential([keras.Input((6, 5)), *members])


def autoencoder():
    members = [
        layers.Conv2D(8, 3, 2, "same", activation="relu", name="encoder1"),
        layers.Conv2D(4, 3, 2, "same", activation="relu", name="encoder2"),
        layers.Conv2DTranspose(8, 3, 2, "same", activation="relu", name="decoder1"),
        layers.UpSampling2D(),
        layers.SeparableConv2D(3, 3, padding="same", name="decoder2"),
    ]
    return keras.Sequential([keras.Input((16, 16, 3)), *members])


def words():
    return np.random.default_rng(0).integers(0, 11, (BATCH_SIZE, 6)), np.arange(BATCH_SIZE)


def sequences():
    return np.random.default_rng(0).normal(size=(BATCH_SIZE, 6, 5)).astype(np.float32), np.arange(BATCH_SIZE)


def pictures():
    x, _ = images(16)
    return x / 255, x / 255


SMALL = {"transformer": (transformer, words), "lstm": (stacked_lstm, sequences), "autoencoder": (autoencoder, pictures)}


def compiled(make, loss):
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = make()
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    model.optimizer.build(model.trainable_variables)  # or the first trace makes them, and there is a second
    return model


def tape_step(model, x, y):
    """The loss and the gradients of one eager step, without gradlog."""
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x, y, model(x, training=True), training=True)
    gradients = tape.gradient(loss, model.trainable_variables)
    return float(loss), [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]


def logged(log_dir, make, x, y, loss):
    """Trains one step with a logger; returns the model and what was logged."""
    model = compiled(make, loss)
    model.fit(x, y, batch_size=BATCH_SIZE, verbose=0, callbacks=[gradlog.GradientLogger(log_dir, every=1)])
    return model, gradlog.read(log_dir)


def check_training_and_tags(log_dir, make, x, y, loss, plain_trainings=1):
    """Training is the same bit by bit; each variable has its own name and all tags. Returns what was logged.

    Where TensorFlow itself does not come to the same weights every time, it is what one of several plain trainings is.
    """
    plain = []
    for _ in range(plain_trainings):
        model = compiled(make, loss)
        model.fit(x, y, batch_size=BATCH_SIZE, verbose=0)
        plain.append(networks.state(model))
    observed, history = logged(log_dir, make, x, y, loss)
    state = networks.state(observed)
    assert any(all(np.array_equal(*pair, equal_nan=True) for pair in zip(one, state, strict=True)) for one in plain)

    assert history.steps.tolist() == [0]
    assert len(set(history.variables)) == len(history.variables) == len(observed.trainable_variables)
    for kind in ("gradient_mean_abs", "gradient_norm", "weight_norm"):
        assert not np.isnan(history.statistic(kind)).any()
    for kind in ("gradient", "weight"):
        assert {f"{kind}/{name}" for name in history.variables} <= history.histograms.keys()
    return history


def check_gradients(history, make, x, y, loss):
    """Loss and gradients are those of an eager step from the same weights, with the same dropout."""
    tensors = tf.nest.map_structure(tf.constant, (x, y))
    expected_loss, gradients = tape_step(compiled(make, loss), *tensors)
    assert history.scalars["train/loss"].values[0] == pytest.approx(expected_loss, rel=1e-5)
    expected = [reference.statistics(gradient) for gradient in gradients]
    largest = max(np.abs(gradient).max() for gradient in gradients)
    for statistic in ("gradient_mean_abs", "gradient_norm"):
        numbers = [row[statistic] for row in expected]
        np.testing.assert_allclose(history.statistic(statistic)[0], numbers, rtol=1e-4, atol=1e-7 * largest)


@pytest.mark.combinations
@pytest.mark.parametrize("name", SMALL)
def test_small_architectures(tmp_path, name):
    make, make_data = SMALL[name]
    loss = "mse" if name == "autoencoder" else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    arguments = make, *make_data(), loss
    check_gradients(check_training_and_tags(tmp_path, *arguments), *arguments)


def gpt2():
    """GPT-2 of keras-hub, with twelve blocks."""
    models = pytest.importorskip("keras_hub").models
    sizes = {"vocabulary_size": 11, "num_layers": 12, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32}
    backbone = models.GPT2Backbone(**sizes, max_sequence_length=6)
    inputs = {name: keras.Input((6,), dtype="int32", name=name) for name in backbone.input}
    return keras.Model(
        inputs, layers.Dense(NUM_CLASSES, name="logits")(layers.GlobalAveragePooling1D()(backbone(inputs)))
    )


@pytest.mark.zoo
def test_gpt2_of_twelve_blocks(tmp_path):
    rows, y = words()
    x = {"token_ids": rows, "padding_mask": np.ones_like(rows)}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    history = check_training_and_tags(tmp_path, gpt2, x, y, loss)

    blocks = [f"transformer_layer_{number}" for number in range(12)]
    assert [sum(name.startswith(f"{block}/") for name in history.variables) for block in blocks] == [16] * 12
    check_gradients(history, gpt2, x, y, loss)


@pytest.fixture
def float64():
    """Returns a function that has Keras compute in float64 until the test ends."""
    earlier = keras.config.floatx()
    yield lambda: keras.config.set_floatx("float64")
    keras.config.set_floatx(earlier)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.combinations if name in FAST else pytest.mark.zoo) for name in SIDES]
)
def test_applications(tmp_path, float64, name):
    """Where batches of two are normalized many times, rounding grows past all bounds: they are compared in float64."""
    x, y = images(SIDES[name])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    arguments = lambda: application(name), x, y, loss
    trainings = 4 if name in NOT_REPRODUCIBLE else 1
    history = check_training_and_tags(tmp_path / "float32", *arguments, plain_trainings=trainings)
    if name not in WITHOUT_BATCH_NORMALIZATION:
        float64()
        model, history = logged(tmp_path / "float64", *arguments)
        assert model.dtype == "float64"
    check_gradients(history, *arguments)
