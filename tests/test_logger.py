"""GradientLogger: the right numbers, at the right steps, under the right tags."""

import keras
import networks
import numpy as np
import pytest
from logged_steps import VARIABLES, check_numbers, fit, logged
from marks import ENGINE, ONE_STEP_A_CALL
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

import gradlog
from gradlog.writers import MemoryWriter

MODES = {"graph": {}, "eager": {"run_eagerly": True}, "several_steps": {"steps_per_execution": 5}}


@pytest.mark.parametrize("mode", ["graph", "eager", pytest.param("several_steps", marks=ONE_STEP_A_CALL)])
def test_every_number_equals_independent_gradients(tmp_path, mode):
    check_numbers(logged(networks.dense_network(is_new=mode == "graph", **MODES[mode]), tmp_path, every=3))


def test_gradients_equal_finite_differences(tmp_path):
    """The mean-absolute gradient of a tiny network against central differences of its loss in NumPy, float64."""
    keras.utils.set_random_seed(3)
    dtype = "float32" if ENGINE == "jax" else "float64"  # JAX has no float64 by default
    layers = [keras.layers.Dense(3, "tanh", dtype=dtype), keras.layers.Dense(1, dtype=dtype)]
    model = keras.Sequential([keras.Input((2,), dtype=dtype), *layers])
    model.compile("sgd", keras.losses.MeanSquaredError(dtype=dtype))
    x, y = np.array([[0.5, -1.0], [2.0, 0.25]]), np.array([[1.0], [0.0]])
    weights = [np.array(variable, np.float64) for variable in model.trainable_variables]

    model.fit(x, y, verbose=0, callbacks=[gradlog.GradientLogger(tmp_path)])

    history = gradlog.read(tmp_path)
    assert history.scalars["train/loss"].values[0] == pytest.approx(squared_error(weights, x, y), rel=1e-6)
    expected = finite_differences(weights, x, y)
    np.testing.assert_allclose(history.statistic("gradient_mean_abs")[0], expected, rtol=1e-5)


def squared_error(weights, x, y):
    kernel, bias, kernel_of_output, bias_of_output = weights
    return float(np.mean((np.tanh(x @ kernel + bias) @ kernel_of_output + bias_of_output - y) ** 2))


def finite_differences(weights, x, y, step=1e-6):
    result = []
    for place, values in enumerate(weights):
        slopes = []
        for index in np.ndindex(values.shape):
            sides = []
            for sign in (1, -1):
                moved = values.copy()
                moved[index] += sign * step
                sides.append(squared_error([*weights[:place], moved, *weights[place + 1 :]], x, y))
            slopes.append((sides[0] - sides[1]) / (2 * step))
        result.append(np.mean(np.abs(slopes)))
    return result


def test_tags_steps_and_values_as_tensorboard_reads_them(tmp_path):
    """The exact list of tags, each with its steps, through TensorBoard's own reader; values equal our reader's."""
    x, y = networks.data()
    model = networks.dense_network()
    logger = gradlog.GradientLogger(tmp_path, every=5)
    fit(model, [logger], validation_data=(x, y))
    model.evaluate(x, y, verbose=0, callbacks=[logger])

    accumulator = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    accumulator.Reload()

    per_variable = ["gradient_mean_abs", "gradient_norm", "weight_norm", "update_ratio", "gradient", "weight"]
    steps = {f"{kind}/{name}": [0, 5, 10] for kind in per_variable for name in VARIABLES}
    for layer in (1, 2, 3):  # biases start at zero, and a change relative to zero is no number
        steps[f"update_ratio/layer{layer}/bias"] = [5, 10]
    steps |= {
        tag: [0, 5, 10] for tag in ("train/loss", "train/accuracy", "train/learning_rate", "gradient_norm/global")
    }
    steps |= {f"{kind}/{name}": [6, 12] for kind in ["validation"] for name in ("loss", "accuracy")}
    steps |= {f"test/{name}": [12] for name in ("loss", "accuracy")}
    steps["gradlog/statistics"] = [0, 5, 10]
    steps |= {tag: [0] for tag in ("custom_scalars__config__", "gradlog/run", "gradlog/run_table")}
    actual = {tag: [event.step for event in accumulator.Tensors(tag)] for tag in accumulator.Tags()["tensors"]}
    assert actual == steps

    history = gradlog.read(tmp_path)
    for tag, series in (history.scalars | history.histograms).items():
        for value, event in zip(series.values, accumulator.Tensors(tag), strict=True):
            np.testing.assert_array_equal(value, tensor_util.make_ndarray(event.tensor_proto))
    table = tensor_util.make_ndarray(accumulator.Tensors("gradlog/statistics")[2].tensor_proto)
    np.testing.assert_array_equal(history.statistics[2], table)
    for kind in ("gradient_mean_abs", "gradient_norm", "weight_norm", "update_ratio"):
        for name in VARIABLES:
            written = [tensor_util.make_ndarray(event.tensor_proto) for event in accumulator.Tensors(f"{kind}/{name}")]
            column = history.statistic(kind, name)
            np.testing.assert_array_equal(written, column[~np.isnan(column)])


def test_loss_and_accuracy_are_those_of_the_logged_batch(tmp_path):
    """Keras reports the mean since the epoch began; what is logged belongs to the batch of the logged gradient."""
    x, y = networks.data()
    model = networks.dense_network(optimizer=keras.optimizers.SGD(0.0))
    expected = [model.evaluate(x[i : i + 16], y[i : i + 16], verbose=0) for i in range(0, 96, 16)]

    history = logged(model, tmp_path, lambda m, c: fit(m, c, epochs=1), every=1)

    np.testing.assert_allclose(history.scalars["train/loss"].values, [loss for loss, _ in expected], rtol=1e-5)
    np.testing.assert_allclose(history.scalars["train/accuracy"].values, [acc for _, acc in expected], rtol=1e-6)


@pytest.fixture(scope="module")
def every_step(tmp_path_factory):
    """The history of `dense_network`, of all its steps and variables."""
    return logged(networks.dense_network(), tmp_path_factory.mktemp("every_step"), every=1)


def test_two_loggers_each_write_their_own(tmp_path, every_step):
    model = networks.dense_network()
    fit(model, [gradlog.GradientLogger(tmp_path / "a", every=2), gradlog.GradientLogger(tmp_path / "b", every=3)])

    a, b = gradlog.read(tmp_path / "a"), gradlog.read(tmp_path / "b")
    assert a.steps.tolist() == [0, 2, 4, 6, 8, 10]
    assert b.steps.tolist() == [0, 3, 6, 9]
    np.testing.assert_allclose(b.statistics, every_step.statistics[::3], rtol=1e-6)
    np.testing.assert_array_equal(a.statistics[[0, 3]], b.statistics[[0, 2]])


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ("kernel", ["layer1/kernel", "layer2/kernel", "layer3/kernel"]),
        (["layer1/", "^layer3/bias$"], ["layer1/kernel", "layer1/bias", "layer3/bias"]),
        (lambda variable: len(variable.shape) == 1, ["layer1/bias", "layer2/bias", "layer3/bias"]),
    ],
)
def test_variables_are_chosen(tmp_path, every_step, variables, expected):
    chosen = logged(networks.dense_network(), tmp_path, every=6, variables=variables)

    assert list(chosen.variables) == expected
    assert chosen.steps.tolist() == [0, 6]
    for name in expected:
        np.testing.assert_array_equal(
            chosen.statistic("gradient_norm", name), every_step.statistic("gradient_norm", name)[::6]
        )
    tag = "gradient_norm/global"  # of all gradients, whichever are chosen
    np.testing.assert_allclose(chosen.scalars[tag].values, every_step.scalars[tag].values[::6], rtol=1e-6)


def test_histograms_and_updates_can_be_left_out(tmp_path):
    history = logged(networks.dense_network(), tmp_path, histograms=False, updates=False)

    assert history.histograms == {}
    assert "update_ratio" not in history.columns
    assert "weight_norm" in history.columns


def test_nonfinite_gradients_are_counted_and_do_not_hide_the_others(tmp_path):
    model = networks.dense_network()
    kernel = model.layers[1].kernel
    values = np.array(kernel)
    values[0, 0] = np.nan
    kernel.assign(values)
    x, y = networks.data(16)

    model.fit(x, y, batch_size=16, verbose=0, callbacks=[gradlog.GradientLogger(tmp_path)])

    history = gradlog.read(tmp_path)
    counts = history.statistic("gradient_nonfinite")[0]
    (event,) = EventAccumulator(str(tmp_path)).Reload().Tensors("nonfinite/layer1/kernel")
    assert tensor_util.make_ndarray(event.tensor_proto) == counts[0] == 12 * 8
    assert np.isnan(history.statistic("gradient_mean_abs", "layer1/kernel")[0])
    assert "gradient/layer1/kernel" not in history.histograms
    rows = history.histograms["weight/layer2/kernel"].values[0]
    assert rows[:, 2].sum() == 63  # 64 weights, of which one is NaN


def test_further_writers_get_what_the_event_file_gets(tmp_path):
    memory = MemoryWriter()
    fit(networks.dense_network(), [gradlog.GradientLogger(tmp_path, every=4, writers=[memory])])

    kept, read = memory.history(), gradlog.read(tmp_path)
    np.testing.assert_array_equal(kept.statistics, read.statistics)
    assert kept.scalars.keys() == read.scalars.keys()
    for tag, series in read.histograms.items():
        for one, other in zip(series.values, kept.histograms[tag].values, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_clipping_optimizer_has_its_norm_before_and_after(tmp_path):
    optimizer = keras.optimizers.SGD(0.1, global_clipnorm=0.05)
    history = logged(networks.dense_network(optimizer=optimizer), tmp_path, every=6)

    assert (history.scalars["gradient_norm/global"].values > 0.05).all()
    np.testing.assert_allclose(history.scalars["gradient_norm/global_clipped"].values, 0.05, rtol=1e-5)


@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_variables_stand_in_the_order_in_which_layers_are_called(tmp_path, mode):
    class HeadFirst(keras.Model):
        def __init__(self):
            super().__init__()
            self.head = keras.layers.Dense(3, name="head")
            self.body = [keras.layers.Dense(4, "relu", name=f"body{number}") for number in (2, 1)]

        def call(self, x):
            for layer in reversed(self.body):
                x = layer(x)
            return self.head(x)

    logged(networks.compiled(HeadFirst(), **MODES.get(mode, {})), tmp_path, every=6)

    assert gradlog.read(tmp_path).kernels() == ["body1/kernel", "body2/kernel", "head/kernel"]
