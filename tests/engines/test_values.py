"""On every engine, what is logged is what its own automatic differentiation and NumPy say, step by step."""

import autograd
import keras
import networks
import numpy as np
import pytest
import reference

import gradlog

pytestmark = pytest.mark.engines
NUM_STEPS, BATCH = 6, 16
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
EAGER, COMPILED = {"run_eagerly": True}, {}
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.1),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "schedule": lambda: keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.5)),
    "ema": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=2),
    "clipnorm": lambda: keras.optimizers.SGD(0.1, clipnorm=0.01),
    "clipvalue": lambda: keras.optimizers.SGD(0.1, clipvalue=0.001),
    "global_clipnorm": lambda: keras.optimizers.SGD(0.1, global_clipnorm=0.02),
    "loss_scale_factor": lambda: keras.optimizers.SGD(0.1, loss_scale_factor=1024.0),
    "loss_scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1, global_clipnorm=0.02)),
}


def batches():
    x, y = networks.data(NUM_STEPS * BATCH)
    return [(x[start : start + BATCH], y[start : start + BATCH]) for start in range(0, len(x), BATCH)]


def network(optimizer, activation="tanh", regularizer=None, dtype="float32", **compiling):
    keras.utils.set_random_seed(3)
    with_dtype = {"dtype": dtype}
    model = keras.Sequential(
        [
            keras.Input((networks.NUM_FEATURES,)),
            keras.layers.Dense(9, activation, kernel_regularizer=regularizer, name="layer1", **with_dtype),
            keras.layers.BatchNormalization(name="norm", **with_dtype),
            keras.layers.Dense(7, activation, name="layer2", **with_dtype),
            keras.layers.Dense(networks.NUM_CLASSES, dtype="float32", name="layer3"),
        ]
    )
    model.compile(optimizer, LOSS, metrics=["accuracy"], **compiling)
    return model


def weights(model):
    return [np.asarray(keras.ops.convert_to_numpy(one.value), np.float64) for one in model.trainable_variables]


def witnessed(model):
    """Trains batch by batch; yields the gradients, and the weights before and after each."""
    for x, y in batches():
        before, found = weights(model), autograd.gradients(model, LOSS, x, y)
        model.train_on_batch(x, y)
        yield found, before, weights(model)


def logged(tmp_path, model, every=1, callbacks=(), **options):
    x, y = networks.data(NUM_STEPS * BATCH)
    logger = gradlog.GradientLogger(tmp_path, every=every, **options)
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[logger, *callbacks])
    assert logger.error is None
    return gradlog.read(tmp_path)


def assert_equal(history, index, gradient_of, before, after, rtol=1e-5):
    """Every statistic of every variable of one logged step equals the reference."""
    for row, variable in enumerate(history.variables):
        expected = reference.statistics(gradient_of[row]) | reference.weight_statistics(before[row], after[row])
        for name, value in expected.items():
            if name in ("loss_gradient_mean_abs", "loss_gradient_norm"):
                continue
            found = history.statistics[index, row, history.columns.index(name)]
            np.testing.assert_allclose(found, value, rtol=rtol, atol=1e-7, err_msg=f"{name} of {variable}")


@pytest.mark.parametrize(
    ("name", "compiling"),
    [
        *((name, COMPILED) for name in OPTIMIZERS),
        *((name, EAGER) for name in ("adam", "global_clipnorm", "loss_scale")),
    ],
)
def test_every_number_of_every_step(tmp_path, name, compiling):
    history = logged(tmp_path, network(OPTIMIZERS[name](), **compiling))

    assert history.steps.tolist() == list(range(NUM_STEPS))
    for index, (found, before, after) in enumerate(witnessed(network(OPTIMIZERS[name](), **compiling))):
        assert_equal(history, index, found, before, after)
        joint = np.sqrt(sum(np.sum(one**2) for one in found))
        np.testing.assert_allclose(history.scalars["gradient_norm/global"].values[index], joint, rtol=1e-5)
        if "gradient_norm/global_clipped" in history.scalars:
            logged_norm = history.scalars["gradient_norm/global_clipped"].values[index]
            np.testing.assert_allclose(logged_norm, clipped_norm(name, found), rtol=1e-5)
    assert ("gradient_norm/global_clipped" in history.scalars) == ("clip" in name or name == "loss_scale")


def clipped_norm(name, gradients):
    if name == "clipnorm":
        gradients = [one * min(1, 0.01 / np.linalg.norm(one)) for one in gradients]
    elif name == "clipvalue":
        gradients = [np.clip(one, -0.001, 0.001) for one in gradients]
    joint = np.sqrt(sum(np.sum(one**2) for one in gradients))
    return min(joint, 0.02) if name in ("global_clipnorm", "loss_scale") else joint


@pytest.mark.parametrize("scaled", [False, True])
def test_accumulated_gradients_are_the_mean_of_their_batches(tmp_path, scaled):
    def optimizer():
        inner = keras.optimizers.SGD(0.1, gradient_accumulation_steps=3)
        return keras.optimizers.LossScaleOptimizer(inner) if scaled else inner

    history = logged(tmp_path, network(optimizer()))

    steps = list(witnessed(network(optimizer())))
    assert history.steps.tolist() == [0, 1]
    for index, group in enumerate((steps[:3], steps[3:])):
        mean = [np.mean(parts, axis=0) for parts in zip(*[found for found, _, _ in group], strict=True)]
        assert_equal(history, index, mean, group[-1][1], group[-1][2])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_logged_unscaled(tmp_path, policy):
    history = logged(tmp_path, network("adam", dtype=policy))

    for index, (found, before, after) in enumerate(witnessed(network("adam", dtype=policy))):
        for row, gradient in enumerate(found):
            expected = reference.statistics(gradient)["gradient_norm"]
            position = history.columns.index("gradient_norm")
            np.testing.assert_allclose(history.statistics[index, row, position], expected, rtol=2e-2, atol=1e-5)
        np.testing.assert_allclose(
            history.statistics[index, 0, history.columns.index("weight_norm")], np.linalg.norm(before[0]), rtol=1e-5
        )
        assert len(after) == len(before)


def test_histograms_count_every_element(tmp_path):
    history = logged(tmp_path, network("sgd"), every=2)

    steps = list(witnessed(network("sgd")))
    for index, step in enumerate(history.steps):
        found, before, _ = steps[step]
        for row, variable in enumerate(history.variables):
            for tag, values in (("gradient", found[row]), ("weight", before[row])):
                counted = history.histograms[f"{tag}/{variable}"].values[index]
                assert reference.num_elsewhere(counted, values) == 0


def test_a_regularizer_is_taken_off_the_gradient(tmp_path):
    model = network("sgd", regularizer=keras.regularizers.L2(0.3))
    history = logged(tmp_path, model)

    steps = witnessed(network("sgd", regularizer=keras.regularizers.L2(0.3)))
    row = history.variables.index("layer1/kernel")
    for index, (found, before, after) in enumerate(steps):
        assert_equal(history, index, found, before, after)
        expected = reference.loss_statistics(found[row], 0.6 * before[row])
        for name, value in expected.items():
            position = history.columns.index(name)
            np.testing.assert_allclose(history.statistics[index, row, position], value, rtol=1e-4)
        penalty = 0.3 * np.sum(before[row] ** 2)
        np.testing.assert_allclose(history.scalars["train/penalty"].values[index], penalty, rtol=1e-5)


class Penalized(keras.layers.Layer):
    """Adds to the loss what its input is on average, squared."""

    def call(self, inputs):
        self.add_loss(0.2 * keras.ops.mean(keras.ops.square(inputs)))
        return inputs


@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_the_penalty_is_all_that_layers_add_to_the_loss(tmp_path, steps_per_execution):
    """Regularizers of weights and of outputs, and `add_loss`; two loggers are told the same."""
    if steps_per_execution > 1 and keras.backend.backend() == "torch":
        pytest.skip("Keras on PyTorch runs one step a call")
    keras.utils.set_random_seed(3)
    layer1 = keras.layers.Dense(
        8, "tanh", kernel_regularizer=keras.regularizers.L2(0.3), activity_regularizer=keras.regularizers.L2(0.1)
    )
    model = keras.Sequential([keras.Input((networks.NUM_FEATURES,)), layer1, Penalized(), keras.layers.Dense(3)])
    model.compile(keras.optimizers.SGD(0.0), LOSS, steps_per_execution=steps_per_execution)
    hidden = keras.Model(model.inputs, layer1.output)
    second = gradlog.GradientLogger(tmp_path / "second", every=2)
    history = logged(tmp_path / "first", model, callbacks=[second])

    kernel = 0.3 * np.sum(weights(model)[0] ** 2)
    for index, (x, y) in enumerate(batches()):
        outputs = np.asarray(keras.ops.convert_to_numpy(hidden(x)), np.float64)
        penalty = kernel + 0.1 * np.sum(outputs**2) / BATCH + 0.2 * np.mean(outputs**2)
        np.testing.assert_allclose(history.scalars["train/penalty"].values[index], penalty, rtol=1e-5)
        loss = float(keras.ops.convert_to_numpy(LOSS(y, model(x)))) + penalty
        np.testing.assert_allclose(history.scalars["train/loss"].values[index], loss, rtol=1e-5)
    others = gradlog.read(tmp_path / "second").scalars["train/penalty"]
    assert others.steps.tolist() == [0, 2, 4]
    np.testing.assert_array_equal(others.values, history.scalars["train/penalty"].values[::2])


def test_loss_and_metrics_are_those_of_the_batch(tmp_path):
    model = network(keras.optimizers.SGD(0.0))
    history = logged(tmp_path, model, every=2)

    for index, step in enumerate(history.steps):
        x, y = batches()[step]
        reached = keras.ops.convert_to_numpy(network(keras.optimizers.SGD(0.0))(x, training=True))
        exponents = reached - reached.max(1, keepdims=True)
        likelihoods = exponents - np.log(np.exp(exponents).sum(1, keepdims=True))
        loss = -likelihoods[np.arange(BATCH), y].mean()
        np.testing.assert_allclose(history.scalars["train/loss"].values[index], loss, rtol=1e-5)
        accuracy = np.mean(reached.argmax(1) == y)
        np.testing.assert_allclose(history.scalars["train/accuracy"].values[index], accuracy, rtol=1e-6)
    assert history.run.engine == keras.backend.backend()
    assert history.run.batch_size == BATCH
