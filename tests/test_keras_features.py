"""GradientLogger under plain `model.fit`, on what Keras users have: optimizers, precisions, models, data, callbacks.

Each network is trained twice from one seed, plain and with a logger, and what was logged is compared with a third
training of this file's own: step by step, with the engine's automatic differentiation, without gradlog.
"""

import contextlib
import functools
import zipfile
from time import sleep
from typing import NamedTuple

import autograd
import h5py
import keras
import networks
import numpy as np
import own_steps
import pytest
import reference
from keras import layers
from marks import ENGINE, FLOAT64, OF_TENSORFLOW, ONE_STEP_A_CALL, in_combinations

import gradlog
from gradlog.stats import whole

if ENGINE == "tensorflow":
    import tensorflow as tf

BATCH_SIZE, NUM_BATCHES, EPOCHS = 8, 3, 2
# For what Keras does around a step: a third of the time, but on JAX.
EAGERLY = {} if ENGINE == "jax" else {"run_eagerly": True}
STATISTICS = ("gradient_mean_abs", "gradient_norm")
DENSE = tuple(f"layer{layer}/{name}" for layer in (1, 2) for name in ("kernel", "bias"))


class Step(NamedTuple):
    """One applied step of the independent training; lists go by trainable variable."""

    step: int
    loss: float
    gradients: list
    weights: list
    after: list


def replay(model, batches):
    """Trains step by step, without gradlog; yields every step at which the optimizer applies gradients."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    num_micro_batches = optimizer.gradient_accumulation_steps or 1
    micro_batches = []
    for x, y in batches:
        loss, gradients = autograd.of_step(model, x, y)
        variables = model.trainable_variables
        scale = float(keras.ops.convert_to_numpy(model.optimizer.scale_loss(keras.ops.convert_to_tensor(1.0))))
        arrays = [None if g is None else autograd.array(g) / scale for g in gradients]
        before, step = values(variables), int(np.array(optimizer.iterations))  # several micro batches are one
        autograd.apply(model.optimizer, gradients, variables)
        if not all(np.isfinite(array).all() for array in arrays if array is not None):
            assert optimizer is not model.optimizer  # only loss scaling skips a step
            continue
        micro_batches.append(arrays)
        if len(micro_batches) == num_micro_batches:
            mean = [None if parts[0] is None else np.mean(parts, axis=0) for parts in zip(*micro_batches, strict=True)]
            micro_batches = []
            yield Step(step, loss, mean, before, values(variables))


def values(variables):
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]


def batches_of(x, y, batch_size=BATCH_SIZE, epochs=EPOCHS):
    """The batches that `fit` takes from arrays without shuffling, as tensors."""
    num = len(keras.tree.flatten(x)[0])
    for _ in range(epochs):
        for start in range(0, num, batch_size):
            part = slice(start, start + batch_size)
            yield keras.tree.map_structure(lambda array, part=part: keras.ops.convert_to_tensor(array[part]), (x, y))


def data():
    return networks.data(BATCH_SIZE * NUM_BATCHES)


def network(optimizer=None, **arguments):
    """Two dense layers."""
    keras.utils.set_random_seed(0)
    members = [layers.Dense(8, "tanh", name="layer1"), layers.Dense(networks.NUM_CLASSES, name="layer2")]
    model = keras.Sequential([keras.Input((networks.NUM_FEATURES,)), *members])
    return networks.compiled(model, optimizer, **arguments)


def fit(model, x, y, callbacks=(), batch_size=BATCH_SIZE, **arguments):
    """Trains on batches of arrays, in their order; of arrays, TensorFlow traces programs that gather them each time."""
    arguments = {"epochs": EPOCHS, "verbose": 0, "callbacks": list(callbacks), **arguments}
    if ENGINE == "tensorflow":
        return model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(batch_size), **arguments)
    return model.fit(x, y, batch_size=batch_size, shuffle=False, **arguments)


def insides(model):
    """The attributes that model and optimizer have, and the kind of training function."""
    optimizers = [model.optimizer, getattr(model.optimizer, "inner_optimizer", model.optimizer)]
    return set(model.__dict__), [set(o.__dict__) for o in optimizers], type(model.train_function)


def check_same_training(plain, observed, rtol=0.0):
    """Bit by bit, or within `rtol`: weights, statistics, random state, optimizer; and nothing stays behind."""
    pairs = list(zip(networks.state(plain), networks.state(observed), strict=True))
    for one, other in pairs:
        if rtol:
            np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol * np.abs(one).max(initial=0))
        else:
            np.testing.assert_array_equal(one, other)
    assert insides(plain) == insides(observed)


def check_history(history, steps, names, rtol=1e-5):
    """Statistics of every variable and the loss, at exactly these steps, against the independent training's."""
    assert history.steps.tolist() == [step.step for step in steps]
    assert history.variables == tuple(names)
    assert len(set(names)) == len(names)
    scalars = history.scalars
    expected = [reference_table(step.gradients) for step in steps]
    for time, (step, table) in enumerate(zip(steps, expected, strict=True)):
        assert scalars["train/loss"].values[time] == pytest.approx(step.loss, rel=rtol)
        norm = np.sqrt(np.nansum(table["gradient_norm"] ** 2))
        assert scalars["gradient_norm/global"].values[time] == pytest.approx(norm, rel=rtol)
        for statistic in STATISTICS:
            # a gradient that is zero but for rounding, as that of a bias ahead of a softmax, is not known any better
            atol = np.nanmax(table[statistic]) * 0.02 * rtol
            actual = history.statistic(statistic)[time]
            np.testing.assert_allclose(actual, table[statistic], rtol=rtol, atol=atol, err_msg=f"{statistic} {names}")
        check_weights(history, time, step, rtol)
    check_tags(history, expected, names)


def reference_table(gradients):
    rows = [dict.fromkeys(STATISTICS, np.nan) if g is None else reference.statistics(g) for g in gradients]
    return {name: np.array([row[name] for row in rows]) for name in STATISTICS}


def check_weights(history, time, step, rtol):
    for row, name in enumerate(history.variables):
        norm = np.linalg.norm(step.weights[row].astype(np.float64))
        moved = np.linalg.norm(step.after[row].astype(np.float64) - step.weights[row])
        assert history.statistic("weight_norm", name)[time] == pytest.approx(norm, rel=rtol, abs=1e-7)
        if norm > 1e-6:
            # float32 rounds a weight by 6e-8 of itself, which is all that there is to see of a tiny move
            ratio = history.statistic("update_ratio", name)[time]
            assert ratio == pytest.approx(moved / norm, rel=100 * rtol, abs=1e-6 + rtol * 1e-2), name


def check_tags(history, expected, names):
    """Each tag once, with each step once; a variable without a gradient has none of the gradient's."""
    steps = history.steps.tolist()
    for row, name in enumerate(names):
        present = [s for s, table in zip(steps, expected, strict=True) if not np.isnan(table["gradient_norm"][row])]
        for kind in STATISTICS:
            tag = f"{kind}/{name}"
            assert (history.scalars[tag].steps.tolist() if present else []) == present, tag
            assert bool(present) == (tag in history.scalars)
        assert history.scalars[f"weight_norm/{name}"].steps.tolist() == steps
        assert f"nonfinite/{name}" not in history.scalars
    for tag in ("train/loss", "gradient_norm/global"):
        assert history.scalars[tag].steps.tolist() == steps
    tags = {tag for tag in history.scalars if tag.startswith("gradient_mean_abs/")}
    assert tags <= {f"gradient_mean_abs/{name}" for name in names}


def check(tmp_path, build, x, y, names=DENSE, every=1, rtol=1e-5, training_rtol=0.0, train=None, **arguments):
    """Trains plain, with a logger and independently; compares all three. Returns history and observed model."""
    train = train or (lambda model, callbacks: fit(model, x, y, callbacks, **arguments))
    plain, observed = build(), build()
    train(plain, [])
    train(observed, [gradlog.GradientLogger(tmp_path, every=every)])
    check_same_training(plain, observed, training_rtol)

    history = gradlog.read(tmp_path)
    steps = list(replay(build(), batches_of(x, y, epochs=arguments.get("epochs", EPOCHS))))
    check_history(history, due(steps, every), names, rtol)
    return history, observed


@functools.cache
def plainly_trained(**arguments):
    """`network` after `fit` with nothing but `data()`; nobody trains it on."""
    model = network(**arguments)
    fit(model, *data())
    return model


@functools.cache
def independent_steps():
    """The steps of `network` on `data()`, more than any test here takes."""
    return tuple(replay(network(), batches_of(*data(), epochs=3 * EPOCHS)))


def without_logger(train, **arguments):
    model = network(**arguments)
    train(model, [])
    return model


def check_network(tmp_path, train, every=1, plain=None, **arguments):
    """Trains `network` on `data()` with a logger; compares with the plain training and the independent one.

    Where `train` leaves more behind than `fit` alone does, `plain` is what it leaves without a logger.
    """
    observed = network(**arguments)
    train(observed, [gradlog.GradientLogger(tmp_path, every=every)])
    check_same_training(plain or plainly_trained(**arguments), observed)

    history = gradlog.read(tmp_path)
    check_history(history, due(independent_steps()[: EPOCHS * NUM_BATCHES], every), DENSE)
    return history, observed


def due(steps, every):
    """The steps that are logged: the first applied one from each multiple of `every` on."""
    chosen, next_due = [], 0
    for step in steps:
        if step.step >= next_due:
            chosen.append(step)
            next_due = (step.step // every + 1) * every
    return chosen


# Optimizers.


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.AdamW(
            keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.5),
            weight_decay=0.1,
            use_ema=True,
            ema_momentum=0.5,
            ema_overwrite_frequency=2,
        ),
        lambda: keras.optimizers.SGD(0.1, loss_scale_factor=1024.0),
    ],
    ids=["weight_decay, schedule, ema", "loss_scale_factor"],
)
def test_optimizers(tmp_path, optimizer):
    x, y = data()
    check(tmp_path, lambda: network(optimizer=optimizer()), x, y)


def clip_each_norm(gradients, limit):
    return [g * min(1.0, limit / np.linalg.norm(g)) for g in gradients]


def clip_joint_norm(gradients, limit):
    return [g * min(1.0, limit / joint_norm(gradients)) for g in gradients]


def clip_values(gradients, limit):
    return [np.clip(g, -limit, limit) for g in gradients]


def joint_norm(gradients):
    return np.sqrt(sum(np.sum(g**2) for g in gradients))


@pytest.fixture
def without_arithmetic_optimization():
    """TensorFlow's graph optimizer multiplies in another order where a product is read once more, by the logger."""
    if ENGINE != "tensorflow":
        yield
        return
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    yield
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": True})


@pytest.mark.usefixtures("without_arithmetic_optimization")
@pytest.mark.parametrize(
    ("argument", "limit", "clip"),
    [("clipnorm", 0.1, clip_each_norm), ("clipvalue", 0.02, clip_values), ("global_clipnorm", 0.2, clip_joint_norm)],
)
def test_clipping(tmp_path, argument, limit, clip):
    """The logged gradients are those before clipping; the joint norm is logged before and after."""
    x, y = data()

    def build():
        return network(optimizer=keras.optimizers.SGD(0.1, **{argument: limit}))

    history, _ = check(tmp_path, build, x, y)

    steps = list(replay(build(), batches_of(x, y)))
    clipped = [joint_norm(clip(step.gradients, limit)) for step in steps]
    assert all(norm < 0.9 * joint_norm(step.gradients) for norm, step in zip(clipped, steps, strict=True))
    np.testing.assert_allclose(history.scalars["gradient_norm/global_clipped"].values, clipped, rtol=1e-5)


def test_a_joint_norm_that_is_logged_after_clipping_changes_training_by_rounding_alone(tmp_path):
    x, y = data()
    optimizer = keras.optimizers.SGD
    check(
        tmp_path,
        lambda: network(optimizer=optimizer(0.1, global_clipnorm=0.2)),
        x,
        y,
        training_rtol=1e-6,
    )


@pytest.mark.parametrize(("every", "expected"), [in_combinations(1, [0, 1, 2]), (2, [0, 2])])
def test_gradient_accumulation_logs_the_mean_where_it_is_applied(tmp_path, every, expected):
    """Micro batches that only accumulate are not logged; what is due waits for the next step that applies."""
    x, y = data()
    optimizer = keras.optimizers.SGD
    history, _ = check(
        tmp_path,
        lambda: network(optimizer=optimizer(0.1, 0.9, gradient_accumulation_steps=4, clipnorm=0.1)),
        x,
        y,
        every=every,
        epochs=4,
    )
    assert history.steps.tolist() == expected


# Precision.


@pytest.fixture
def policy():
    earlier = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(earlier)


def scaled(**arguments):
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), **arguments)


def test_mixed_float16_logs_unscaled_gradients(tmp_path, policy):
    """`compile` adds loss scaling by itself."""
    policy("mixed_float16")
    x, y = data()
    history, model = check(tmp_path, lambda: network(is_new=True), x, y, rtol=2e-2)

    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert (history.scalars["gradient_norm/global"].values < 10).all()


def test_steps_that_loss_scaling_skips_are_not_logged(tmp_path, policy):
    policy("mixed_float16")
    x, y = data()
    history, model = check(tmp_path, lambda: network(optimizer=scaled(initial_scale=2.0**22)), x, y, rtol=2e-2)

    num_skipped = EPOCHS * NUM_BATCHES - int(model.optimizer.inner_optimizer.iterations.numpy())
    assert num_skipped >= 1
    assert len(history.steps) == EPOCHS * NUM_BATCHES - num_skipped
    assert (history.statistic("gradient_nonfinite") == 0).all()


@pytest.mark.combinations
def test_a_training_of_which_every_step_is_skipped_logs_nothing(tmp_path, policy):
    policy("mixed_float16")
    x, y = data()
    model = network(optimizer=scaled(initial_scale=2.0**50))
    fit(model, x, y, [gradlog.GradientLogger(tmp_path, every=1)])

    assert int(model.optimizer.inner_optimizer.iterations.numpy()) == 0
    history = gradlog.read(tmp_path)
    assert history.steps.tolist() == []
    assert history.scalars == history.histograms == {}


@pytest.mark.combinations
def test_a_step_skipped_between_two_logged_ones_does_not_shift_the_next(tmp_path, policy):
    """Growing the scale at every step skips about every second one; logged are multiples of `every` all the same."""
    policy("mixed_float16")
    x, y = networks.data(18 * BATCH_SIZE)
    history, model = check(
        tmp_path,
        lambda: network(optimizer=scaled(initial_scale=2.0**17, dynamic_growth_steps=1)),
        x,
        y,
        every=3,
        epochs=1,
        rtol=2e-2,
    )
    assert int(model.optimizer.inner_optimizer.iterations.numpy()) < 18
    assert (history.steps % 3 == 0).all()


@pytest.mark.combinations
def test_loss_scaling_with_gradient_accumulation(tmp_path, policy):
    policy("mixed_float16")
    x, y = data()
    inner = keras.optimizers.SGD
    check(
        tmp_path,
        lambda: network(
            optimizer=keras.optimizers.LossScaleOptimizer(inner(0.1, gradient_accumulation_steps=2), 2.0**22)
        ),
        x,
        y,
        epochs=3,
        rtol=2e-2,
    )


@pytest.mark.combinations
def test_mixed_bfloat16(tmp_path, policy):
    policy("mixed_bfloat16")
    x, y = data()
    _, model = check(tmp_path, network, x, y, rtol=2e-2)
    assert model.layers[0].compute_dtype == "bfloat16"


@FLOAT64
def test_float64(tmp_path, policy):
    policy("float64")
    x, y = data()
    _, model = check(tmp_path, network, x, y)
    assert model.trainable_variables[0].dtype == "float64"


# Models.


def dense(units, name, activation=None, **arguments):
    return layers.Dense(units, activation, name=name, **arguments)


def functional():
    inputs = keras.Input((networks.NUM_FEATURES,))
    hidden = dense(8, "hidden", "tanh")(inputs)
    return keras.Model(inputs, dense(3, "logits")(layers.Concatenate()([hidden, inputs])), name="net")


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="net")
        self.hidden, self.logits = dense(8, "hidden", "tanh"), dense(3, "logits")

    def call(self, x):
        return self.logits(self.hidden(x))


def nested():
    inner = keras.Sequential([keras.Input((8,)), dense(6, "a", "tanh"), dense(6, "b", "tanh")], name="inner")
    head = [dense(8, "stem", "tanh"), inner, dense(3, "logits")]
    return keras.Sequential([keras.Input((networks.NUM_FEATURES,)), *head], name="outer")


def lazily_built():
    return keras.Sequential([dense(8, "hidden", "tanh"), dense(3, "logits")], name="net")


class OfOneName(keras.Model):
    def __init__(self):
        super().__init__(name="net")
        self.first, self.second, self.third = dense(8, "dense", "tanh"), dense(8, "dense", "tanh"), dense(3, "dense")

    def call(self, x):
        return self.third(self.second(self.first(x)))


class OwnStep(own_steps.Plain, Subclassed):
    """Has a custom `train_step`, written as in Keras' guides."""


class OwnScaledStep(own_steps.Scaled, Subclassed):
    """Has a custom `train_step` that scales the loss, which mixed precision requires."""


class Unused(Subclassed):
    """Has weights that do not take part in the loss, so that their gradient is `None`."""

    def __init__(self):
        super().__init__()
        self.unused = self.add_weight(shape=(3,), name="unused")


def frozen_layer():
    model = functional()
    model.get_layer("hidden").trainable = False
    return model


def shared_and_regularized():
    """A layer that is called twice, with a penalty and a constraint, and an output with a penalty."""
    inputs = keras.Input((networks.NUM_FEATURES,))
    arguments = {"kernel_regularizer": "l2", "kernel_constraint": keras.constraints.MaxNorm(0.5)}
    shared = dense(networks.NUM_FEATURES, "shared", "tanh", **arguments)
    return keras.Model(inputs, dense(3, "logits", activity_regularizer="l1")(shared(shared(inputs))))


def sequential(*members, shape=(networks.NUM_FEATURES,)):
    return keras.Sequential([keras.Input(shape), *members], name="net")


def with_dropout():
    return sequential(dense(16, "hidden", "relu"), layers.Dropout(0.5, seed=1), dense(3, "logits"))


def kernel_and_bias(*names):
    return tuple(f"{name}/{variable}" for name in names for variable in ("kernel", "bias"))


# What makes the model, its variables' names, and `every`: where that is 2, the step without a record is traced as well.
MODELS = {
    "functional": (functional, kernel_and_bias("hidden", "logits"), 1),
    "shared_and_regularized": (shared_and_regularized, kernel_and_bias("shared", "logits"), 1),
    "lazily_built": (lazily_built, kernel_and_bias("hidden", "logits"), 2),
    "subclassed, layers_of_one_name": (OfOneName, kernel_and_bias("dense", "dense_2", "dense_3"), 2),
    "gradient_is_none": (Unused, ("unused", *kernel_and_bias("hidden", "logits")), 1),
    "frozen_layer": (frozen_layer, kernel_and_bias("logits"), 1),
    "dropout": (with_dropout, kernel_and_bias("hidden", "logits"), 2),
}
OWN_STEPS = {"plain": OwnStep}
if ENGINE == "jax":  # where the loss is a value of a function that gradlog does not see
    OWN_STEPS["scaled"] = OwnScaledStep
else:
    MODELS["own_scaled_step"] = OwnScaledStep, kernel_and_bias("hidden", "logits"), 2


def seeded(make):
    """Returns a function that makes the network anew, from the same seed."""

    def build():
        keras.utils.set_random_seed(0)
        return networks.compiled(make())

    return build


def test_the_names_of_a_nested_model(tmp_path):
    """Keras gives the outer layers the name of the model, too, and the inner ones that of theirs alone."""
    of_keras = kernel_and_bias("outer/stem", "inner/a", "inner/b", "outer/logits")
    assert tuple(variable.path for variable in seeded(nested)().trainable_variables) == of_keras

    check(tmp_path, seeded(nested), *data(), names=kernel_and_bias("stem", "inner/a", "inner/b", "logits"))


@pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning")
@pytest.mark.parametrize("name", MODELS)
def test_models(tmp_path, name):
    make, names, every = MODELS[name]
    check(tmp_path, seeded(make), *data(), names=names, every=every)


@pytest.mark.parametrize("kind", OWN_STEPS)
def test_a_custom_train_step_whose_loss_is_not_seen(tmp_path, kind):
    """Gradients are logged; the loss cannot be seen there, and what is written is what Keras shows for that batch."""
    x, y = data()
    reported = []
    journal = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: reported.append(dict(logs)))
    plain, observed = seeded(OWN_STEPS[kind])(), seeded(OWN_STEPS[kind])()
    fit(plain, x, y)
    fit(observed, x, y, [gradlog.GradientLogger(tmp_path, every=2), journal])
    check_same_training(plain, observed)

    history = gradlog.read(tmp_path)
    assert history.steps.tolist() == [0, 2, 4]
    for time, step in enumerate(list(replay(seeded(OWN_STEPS[kind])(), batches_of(x, y)))[::2]):
        expected = reference_table(step.gradients)["gradient_norm"]
        np.testing.assert_allclose(history.statistic("gradient_norm")[time], expected, rtol=1e-5)
    for name in reported[0]:
        expected = [float(logs[name]) for logs in reported[::2]]
        np.testing.assert_allclose(history.scalars[f"train/{name}"].values, expected, rtol=1e-6)


def test_several_inputs_and_outputs(tmp_path):
    """The loss is the weighted sum over the outputs, the metrics are each output's own."""

    def build():
        keras.utils.set_random_seed(0)
        inputs = {"left": keras.Input((networks.NUM_FEATURES,), name="left"), "right": keras.Input((4,), name="right")}
        joint = layers.Concatenate()([dense(6, "of_left", "tanh")(inputs["left"]), inputs["right"]])
        model = keras.Model(inputs, {"kind": dense(3, "kind")(joint), "size": dense(1, "size")(joint)})
        losses = {"kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "size": "mse"}
        model.compile(networks.momentum(), losses, loss_weights={"kind": 1.0, "size": 0.3}, metrics={"size": ["mae"]})
        return model

    left, labels = data()
    x, y = {"left": left, "right": left[:, 4:8] ** 2}, {"kind": labels, "size": left.sum(1, keepdims=True)}
    history, _ = check(tmp_path, build, x, y, names=kernel_and_bias("of_left", "kind", "size"))

    tags = {tag for tag in history.scalars if tag.startswith("train/")}
    assert tags == {"train/loss", "train/size_mae", "train/learning_rate"}
    sizes = build().predict({key: value[:BATCH_SIZE] for key, value in x.items()}, verbose=0)["size"]
    error = np.mean(np.abs(sizes - y["size"][:BATCH_SIZE]))
    assert history.scalars["train/size_mae"].values[0] == pytest.approx(error, rel=1e-5)


def sequences():
    x, y = data()
    return x.reshape(-1, 4, 3), y


def images():
    x, y = data()
    return np.stack([x.reshape(-1, 4, 3), x[:, ::-1].reshape(-1, 4, 3)], axis=-1), y


def words():
    x, y = data()
    return (np.abs(x) * 4).astype(np.int32) % 10, y


def attention():
    inputs = keras.Input((networks.NUM_FEATURES,), dtype="int32")
    large = keras.initializers.RandomNormal(stddev=1.0)  # or queries and keys get next to no gradient
    x = layers.Embedding(10, 4, large, name="embedding")(inputs)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4, name="attention")(x, x)])
    return keras.Model(inputs, dense(3, "logits")(layers.GlobalAveragePooling1D()(x)))


def recurrent():
    members = [layers.SimpleRNN(5, return_sequences=True, name="rnn")]
    members += [layers.LSTM(5, return_sequences=True, name="lstm"), layers.GRU(5, name="gru"), dense(3, "logits")]
    return sequential(*members, shape=(4, 3))


def convolutional():
    members = [layers.Conv2D(4, 2, use_bias=False, name="conv"), layers.BatchNormalization(name="norm"), layers.ReLU()]
    return sequential(*members, layers.Flatten(), dense(3, "logits"), shape=(4, 3, 2))


RECURRENT = [f"{layer}/{cell}_cell" for layer, cell in (("rnn", "simple_rnn"), ("lstm", "lstm"), ("gru", "gru"))]
ATTENTION = [f"attention/{part}" for part in ("query", "key", "value", "attention_output")]
LAYERS = {
    "recurrent": (
        recurrent,
        sequences,
        tuple(f"{cell}/{name}" for cell in RECURRENT for name in ("kernel", "recurrent_kernel", "bias")),
    ),
    "embedding_and_attention": (attention, words, ("embedding/embeddings", *kernel_and_bias(*ATTENTION))),
    "convolution": (convolutional, images, ("conv/kernel", "norm/gamma", "norm/beta")),
}


@pytest.mark.parametrize("name", [in_combinations(name) if name == "recurrent" else name for name in LAYERS])
def test_layers(tmp_path, name):
    make, make_data, names = LAYERS[name]
    # BatchNormalization's gamma: TensorFlow's graph optimizer compiles its gradient in another way where that has one
    # more reader, the logger
    training_rtol = 1e-5 if name == "convolution" and ENGINE == "tensorflow" else 0
    names = (*names, *kernel_and_bias("logits"))
    check(tmp_path, seeded(make), *make_data(), names=names, training_rtol=training_rtol, epochs=1)


@pytest.mark.combinations
def test_layers_unfrozen_between_two_fits(tmp_path):
    """A logger that goes on after a new `compile` logs the unfrozen layer, too, with a new optimizer's steps."""
    x, y = data()

    def train(model, callbacks):
        fit(model, x, y, callbacks)
        model.get_layer("hidden").trainable = True
        networks.compiled(model, optimizer=keras.optimizers.SGD(0.1))
        model.optimizer.iterations.assign(100)
        fit(model, x, y, callbacks)

    plain, observed, independent = (seeded(frozen_layer)() for _ in range(3))
    train(plain, [])
    train(observed, [gradlog.GradientLogger(tmp_path, every=2)])
    check_same_training(plain, observed)

    first = list(replay(independent, batches_of(x, y)))[::2]
    independent.get_layer("hidden").trainable = True
    networks.compiled(independent, optimizer=keras.optimizers.SGD(0.1))
    independent.optimizer.iterations.assign(100)
    second = list(replay(independent, batches_of(x, y)))[::2]

    history = gradlog.read(tmp_path)
    assert history.steps.tolist() == [step.step for step in (*first, *second)] == [0, 2, 4, 100, 102, 104]
    assert set(history.variables) == set(kernel_and_bias("hidden", "logits"))
    for time, step in enumerate((*first, *second)):
        names = kernel_and_bias("logits") if time < 3 else kernel_and_bias("hidden", "logits")
        for name, gradient in zip(names, step.gradients, strict=True):
            expected = reference.statistics(gradient)["gradient_mean_abs"]
            assert history.statistic("gradient_mean_abs", name)[time] == pytest.approx(expected, rel=1e-5)
    assert np.isnan(history.statistic("gradient_mean_abs", "hidden/kernel")[:3]).all()


# Arguments of `fit`.


@pytest.mark.combinations
def test_validation_data(tmp_path):
    x, y = data()

    def train(model, callbacks):
        fit(model, x, y, callbacks, validation_data=(x[:8], y[:8]))

    history, model = check_network(tmp_path, train, plain=without_logger(train, **EAGERLY), **EAGERLY)

    series = history.scalars["validation/loss"]
    assert series.steps.tolist() == [3, 6]
    assert series.values[-1] == pytest.approx(model.evaluate(x[:8], y[:8], verbose=0)[0], rel=1e-6)
    assert "validation/accuracy" in history.scalars
    assert not any(tag.startswith("test/") for tag in history.scalars)


def test_initial_epoch(tmp_path):
    """Steps are the optimizer's own, whatever number the first epoch has."""
    x, y = data()

    def train(model, callbacks):
        fit(model, x, y, callbacks, initial_epoch=5, epochs=7)

    history, _ = check_network(tmp_path, train, **EAGERLY)
    assert history.steps.tolist() == [0, 1, 2, 3, 4, 5]


def test_class_weights(tmp_path):
    """The loss is that of the weighted batch."""
    x, y = data()
    weights = {0: 1.0, 1: 3.0, 2: 0.5}

    model, independent = network(), network()
    fit(model, x, y, [gradlog.GradientLogger(tmp_path)], class_weight=weights)

    sample_weight = np.array([weights[label] for label in y[:BATCH_SIZE]], np.float32)

    def weighted(labels, predictions):
        losses = keras.losses.sparse_categorical_crossentropy(labels, predictions, from_logits=True)
        return keras.ops.mean(keras.ops.multiply(losses, sample_weight))

    first = x[:BATCH_SIZE], keras.ops.convert_to_tensor(y[:BATCH_SIZE])
    loss = float(keras.ops.convert_to_numpy(weighted(first[1], independent(first[0]))))
    history = gradlog.read(tmp_path)
    assert history.scalars["train/loss"].values[0] == pytest.approx(loss, rel=1e-5)
    expected = [np.mean(np.abs(g)) for g in autograd.gradients(independent, weighted, *first)]
    np.testing.assert_allclose(history.statistic("gradient_mean_abs")[0], expected, rtol=1e-5)


@ONE_STEP_A_CALL
def test_every_step_of_eight_in_one_call(tmp_path):
    """Twelve steps are a call of eight and one of four, eight are one call; each step is logged."""
    x, y = data()

    def train(model, callbacks):
        fit(model, x, y, callbacks, batch_size=2)
        fit(model, x[:16], y[:16], callbacks, batch_size=2, epochs=1)

    plain, observed = (network(steps_per_execution=8) for _ in range(2))
    train(plain, [])
    train(observed, [gradlog.GradientLogger(tmp_path, every=1)])
    check_same_training(plain, observed)

    batches = [*batches_of(x, y, 2), *batches_of(x[:16], y[:16], 2, epochs=1)]
    assert len(batches) == 2 * (8 + 4) + 8
    check_history(gradlog.read(tmp_path), list(replay(network(), batches)), DENSE)


@pytest.mark.parametrize("every", [1, 4])
def test_run_eagerly(tmp_path, every):
    x, y = data()
    check(tmp_path, lambda: network(run_eagerly=True), x, y, every=every)


@pytest.mark.skipif(ENGINE == "jax", reason="JAX traces each step, and cannot branch on a number")
def test_layers_that_take_turns_have_gradients_of_their_own_steps(tmp_path, monkeypatch):
    """Which variables have a gradient changes from step to step, while a slow thread reads the steps before."""
    reduced = whole.reduced
    monkeypatch.setattr(whole, "reduced", lambda *args: (sleep(0.1), reduced(*args))[1])
    x, y = data()
    x[::BATCH_SIZE, 0] = [-1, 1, -1]

    def build():
        keras.utils.set_random_seed(0)
        model = networks.ByTurns()
        model.build((None, networks.NUM_FEATURES))
        return networks.compiled(model, run_eagerly=True)

    names = [f"{layer}/{kind}" for layer in ("layer+", "layer-", "last") for kind in ("kernel", "bias")]
    check(tmp_path, build, x, y, names)


def test_words_of_whole_and_of_small_batches_run_eagerly(tmp_path):
    """As many rows of an embedding as it has come as they are; of a smaller batch come what they sum up to."""
    x, y = np.arange(2 * BATCH_SIZE + 3)[:, None] % BATCH_SIZE, data()[1][: 2 * BATCH_SIZE + 3]

    def build():
        keras.utils.set_random_seed(0)
        members = [
            layers.Embedding(BATCH_SIZE, 4, name="words"),
            layers.Flatten(),
            layers.Dense(networks.NUM_CLASSES, name="last"),
        ]
        return networks.compiled(keras.Sequential([keras.Input((1,), dtype="int32"), *members]), run_eagerly=True)

    check(tmp_path, build, x, y, ["words/embeddings", "last/kernel", "last/bias"])


# Data.


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return NUM_BATCHES

    def __getitem__(self, index):
        x, y = data()
        part = slice(index * BATCH_SIZE, (index + 1) * BATCH_SIZE)
        return x[part], y[part]


def generator():
    batches = Batches()
    while True:
        yield from (batches[index] for index in range(NUM_BATCHES))


SOURCES = {
    "arrays": lambda: dict(zip("xy", data(), strict=True)) | {"batch_size": BATCH_SIZE},
    "generator": lambda: {"x": generator(), "steps_per_epoch": NUM_BATCHES},
    # With two workers, Keras itself repeats no training on JAX and PyTorch.
    "py_dataset": lambda: {"x": Batches(workers=2 if ENGINE == "tensorflow" else 1, max_queue_size=2)},
}


if ENGINE == "tensorflow":
    SOURCES |= {
        "tf_data": lambda: {"x": tf.data.Dataset.from_tensor_slices(data()).batch(BATCH_SIZE)},
        "endless_tf_data": lambda: {
            "x": tf.data.Dataset.from_tensor_slices(data()).batch(BATCH_SIZE).repeat(),
            "steps_per_epoch": NUM_BATCHES,
        },
    }


@pytest.mark.parametrize("source", SOURCES)
def test_data(tmp_path, source):
    def train(model, callbacks):
        model.fit(**SOURCES[source](), epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks)

    check_network(tmp_path, train, every=2, **({} if source in ("arrays", "tf_data") else EAGERLY))


def test_a_batch_of_another_size_at_the_end(tmp_path):
    """The last batch has fewer examples, and a logger due there logs it."""
    x, y = networks.data(20)
    history, _ = check(tmp_path, network, x, y)
    assert history.steps.tolist() == [0, 1, 2, 3, 4, 5]


# Several fits, models, loggers.


def test_fits_with_without_and_again_with_the_logger(tmp_path):
    x, y = data()
    plain, observed = network(), network()
    logger = gradlog.GradientLogger(tmp_path, every=4)
    for callbacks in ([logger], [], [logger]):
        fit(plain, x, y)
        fit(observed, x, y, callbacks)
    check_same_training(plain, observed)

    check_history(gradlog.read(tmp_path), [independent_steps()[step] for step in (0, 4, 12, 16)], DENSE)


class Nested(keras.callbacks.Callback):
    """Trains another model in the middle of every batch."""

    def __init__(self, train):
        super().__init__()
        self._train = train

    def on_train_batch_begin(self, batch, logs=None):
        self._train()


def two_models():
    """Two models with a layer in common; on JAX, where variables are empty while `fit` runs, each has its own."""
    keras.utils.set_random_seed(0)
    hidden = dense(8, "shared", "tanh")
    hiddens = [hidden, dense(8, "shared", "tanh") if ENGINE == "jax" else hidden]
    heads = dense(3, "head1"), dense(3, "head2")
    return [networks.compiled(sequential(*both)) for both in zip(hiddens, heads, strict=True)]


@pytest.mark.combinations
def test_two_models_at_once(tmp_path):
    """One is trained between any two steps of the other, and they share a layer; each logger writes of its own."""
    x, y = data()

    def run(log_dir=None):
        one, other = two_models()
        loggers = [[], []]
        if log_dir:
            loggers = [[gradlog.GradientLogger(log_dir / name, every=2)] for name in ("one", "other")]
        inner = Nested(lambda: fit(other, x[:BATCH_SIZE], y[:BATCH_SIZE], loggers[1], epochs=1))
        fit(one, x, y, [*loggers[0], inner], epochs=1)
        return one, other

    for plain, observed in zip(run(), run(tmp_path), strict=True):
        check_same_training(plain, observed)

    one, other = two_models()
    steps = [[], []]
    for batch in batches_of(x, y, epochs=1):
        steps[1] += replay(other, batches_of(x[:BATCH_SIZE], y[:BATCH_SIZE], epochs=1))
        steps[0] += replay(one, [batch])
    check_history(gradlog.read(tmp_path / "one"), steps[0][::2], kernel_and_bias("shared", "head1"))
    check_history(gradlog.read(tmp_path / "other"), steps[1][::2], kernel_and_bias("shared", "head2"))


@pytest.mark.combinations
def test_one_logger_for_two_models_in_turn(tmp_path):
    """A logger given to another model logs that one's gradients."""
    x, y = data()
    logger = gradlog.GradientLogger(tmp_path, every=2)
    fit(seeded(functional)(), x, y, [logger])
    model, independent = network(), network()
    for one in (model, independent):
        one.optimizer.iterations.assign(10)
    fit(model, x, y, [logger])

    history = gradlog.read(tmp_path)
    assert history.steps.tolist() == [0, 2, 4, 10, 12, 14]
    for time, step in enumerate(list(replay(independent, batches_of(x, y)))[::2]):
        for name, gradient in zip(DENSE, step.gradients, strict=True):
            expected = reference.statistics(gradient)["gradient_mean_abs"]
            assert history.statistic("gradient_mean_abs", name)[3 + time] == pytest.approx(expected, rel=1e-5)


def test_two_loggers(tmp_path):
    """Of other variables and at other steps; where both are due, too, training stays as it is."""
    observed = network()
    loggers = [
        gradlog.GradientLogger(tmp_path / "a", every=2, variables="kernel", histograms=False),
        gradlog.GradientLogger(tmp_path / "b", every=3, updates=False),
    ]
    fit(observed, *data(), loggers)
    check_same_training(plainly_trained(), observed)

    steps = independent_steps()
    a, b = gradlog.read(tmp_path / "a"), gradlog.read(tmp_path / "b")
    assert (a.steps.tolist(), b.steps.tolist()) == ([0, 2, 4], [0, 3])
    assert (a.variables, b.variables) == (DENSE[::2], DENSE)
    for history, part in ((a, slice(0, None, 2)), (b, slice(None))):
        for time, step in enumerate(history.steps):
            expected = reference_table(steps[step].gradients[part])["gradient_mean_abs"]
            np.testing.assert_allclose(history.statistic("gradient_mean_abs")[time], expected, rtol=1e-5)


# Other callbacks.


@OF_TENSORFLOW
def test_beside_keras_tensorboard_in_the_same_directory(tmp_path):
    x, y = data()

    def train(model, callbacks):
        board = keras.callbacks.TensorBoard(tmp_path, histogram_freq=1, update_freq="batch")
        fit(model, x, y, [*callbacks, board], validation_data=(x, y))

    history, _ = check_network(tmp_path, train, plain=without_logger(train))
    assert "validation/loss" in history.scalars
    assert not any(tag.startswith(("epoch_", "batch_")) for tag in history.scalars)
    for part in ("train", "validation"):
        assert list((tmp_path / part).glob("events.out.tfevents.*"))


def test_model_checkpoint(tmp_path):
    """What is saved has the same members with and without a logger, knows nothing of gradlog, and loads."""
    x, y = data()
    for name, callbacks in (("plain", []), ("observed", [gradlog.GradientLogger(tmp_path / "log", every=1)])):
        model = network()
        for save_freq in ("epoch", 4):
            path = tmp_path / f"{name}_{save_freq}.keras"
            callbacks = [*callbacks, keras.callbacks.ModelCheckpoint(path, save_freq=save_freq)]
        fit(model, x, y, callbacks)

    for save_freq in ("epoch", 4):
        contents = [checkpoint_of(tmp_path / f"{name}_{save_freq}.keras") for name in ("plain", "observed")]
        assert contents[0].keys() == contents[1].keys()
        for key, array in contents[0].items():
            np.testing.assert_array_equal(array, contents[1][key], err_msg=key)
        with zipfile.ZipFile(tmp_path / f"observed_{save_freq}.keras") as archive:
            assert not any(b"gradlog" in archive.read(name) for name in archive.namelist())
    loaded = keras.models.load_model(tmp_path / "observed_epoch.keras")
    for one, other in zip(networks.state(model), networks.state(loaded), strict=True):
        np.testing.assert_array_equal(one, other)


def checkpoint_of(path):
    """All arrays of a saved model, by their path in the file."""
    arrays = {}
    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as stream, h5py.File(stream) as file:
        file.visititems(lambda name, node: arrays.update({name: node[()]} if isinstance(node, h5py.Dataset) else {}))
    return arrays


@OF_TENSORFLOW
def test_a_compiled_model_is_saved_whole_in_the_middle_of_a_logged_fit(tmp_path):
    """A `SavedModel` export at a batch's end does not see the logger either."""
    x, y = data()

    class Export(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                self.model.export(tmp_path / "export", verbose=False)

    model = network()
    fit(model, x, y, [gradlog.GradientLogger(tmp_path / "log", every=1), Export()], epochs=1)
    exported = tf.saved_model.load(str(tmp_path / "export"))
    assert exported.serve(tf.constant(x)).shape == (len(x), 3)
    assert gradlog.read(tmp_path / "log").steps.tolist() == [0, 1, 2]


class Stop(keras.callbacks.Callback):
    """Raises in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self._epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self._is_last = epoch == self._epoch

    def on_train_batch_end(self, batch, logs=None):
        if self._is_last and batch == 1:
            raise RuntimeError("stopped")


@functools.cache
def trained_for_three_epochs():
    model = network()
    fit(model, *data(), epochs=3)
    return model


@pytest.mark.parametrize("is_first", [True, False])
def test_backup_and_restore(tmp_path, recwarn, is_first):
    """A run that an exception stopped and a new process restores goes on writing where it stopped, unwarned."""
    x, y = data()

    def train(*more):
        model = network()
        logger = gradlog.GradientLogger(tmp_path / "log", every=1)
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        with contextlib.suppress(RuntimeError):
            fit(model, x, y, [logger, backup, *more] if is_first else [backup, logger, *more], epochs=3)
        return model, logger

    _, logger = train(Stop(epoch=1))
    logger._session._writer.close()  # as the end of the program does
    assert gradlog.read(tmp_path / "log").steps.tolist() == [0, 1, 2, 3, 4]
    observed, _ = train()

    for one, other in zip(networks.state(trained_for_three_epochs()), networks.state(observed), strict=True):
        np.testing.assert_array_equal(one, other)
    check_history(gradlog.read(tmp_path / "log"), independent_steps()[: 3 * NUM_BATCHES], DENSE)
    assert [str(warning.message) for warning in recwarn if "earlier run" in str(warning.message)] == []


def test_early_stopping(tmp_path):
    """Ends the training after two epochs and puts back the best weights; the file is whole."""
    x, y = data()

    def train(model, callbacks):
        stopping = keras.callbacks.EarlyStopping("loss", min_delta=100.0, restore_best_weights=True)
        fit(model, x, y, [*callbacks, stopping], epochs=9)

    history, _ = check_network(tmp_path, train, plain=without_logger(train, **EAGERLY), **EAGERLY)
    assert history.steps.tolist() == [0, 1, 2, 3, 4, 5]


def test_terminate_on_nan(tmp_path):
    """The step whose loss is NaN is logged, as not finite, and is the last."""
    x, y = data()
    x[BATCH_SIZE + 1, 0] = np.nan

    def train(model, callbacks):
        fit(model, x, y, [*callbacks, keras.callbacks.TerminateOnNaN()])

    plain, observed = network(**EAGERLY), network(**EAGERLY)
    train(plain, [])
    train(observed, [gradlog.GradientLogger(tmp_path, every=1)])
    check_same_training(plain, observed)

    history = gradlog.read(tmp_path)
    assert history.steps.tolist() == [0, 1]
    assert (history.statistic("gradient_nonfinite") > 0).any(1).tolist() == [False, True]
    assert np.isnan(history.scalars["train/loss"].values).tolist() == [False, True]
