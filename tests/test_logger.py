"""GradientLogger: the right numbers, at the right steps, under the right tags, in every mode."""

import functools

import keras
import networks
import numpy as np
import pytest
import reference
import tensorflow as tf
from marks import in_combinations
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

import gradlog
from gradlog.writers import MemoryWriter

MODES = {
    "graph": {},
    "xla": {"jit_compile": True},
    "eager": {"run_eagerly": True},
    "several_steps": {"steps_per_execution": 5},
    "several_steps_xla": {"steps_per_execution": 4, "jit_compile": True},
}
VARIABLES = [f"layer{layer}/{name}" for layer in (1, 2, 3) for name in ("kernel", "bias")]


def fit(model, callbacks, epochs=2, **arguments):
    batches = tf.data.Dataset.from_tensor_slices(networks.data()).batch(16)
    model.fit(batches, epochs=epochs, verbose=0, callbacks=callbacks, **arguments)


def logged(model, log_dir, train=fit, **arguments):
    """Trains with a logger and returns its history, as read back from the event file."""
    train(model, [gradlog.GradientLogger(log_dir, **arguments)])
    return gradlog.read(log_dir)


def train_in_loop(model, callbacks):
    gradlog.train(model, networks.dataset(), steps=12, callbacks=callbacks)


def independent_steps(model, num_steps):
    """Trains eagerly with a tape of its own; yields loss, weights before, gradients and weights after each step."""
    batches = iter(networks.dataset())
    for _ in range(num_steps):
        x, y = next(batches)
        with tf.GradientTape() as tape:
            loss = model.loss(y, model(x, training=True))
        weights = [v.numpy() for v in model.trainable_variables]
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        after = [v.numpy() for v in model.trainable_variables]
        yield float(loss), weights, [gradient.numpy() for gradient in gradients], after


def training(mode):
    """Returns the function that trains in a mode, and what `compile` is given for it."""
    arguments = {"loop": {}, "loop_xla": MODES["xla"], "loop_eager": MODES["eager"]}
    return (train_in_loop, arguments[mode]) if mode.startswith("loop") else (fit, MODES[mode])


@pytest.mark.parametrize("mode", ["graph", "eager", "several_steps", "loop", "loop_eager"])
def test_every_number_equals_an_independent_tape(tmp_path, mode):
    train, arguments = training(mode)

    check_numbers(logged(networks.dense_network(is_new=mode == "graph", **arguments), tmp_path, train, every=3))


@functools.cache
def plainly_trained_by_xla():
    """What a training under XLA without a logger ends with: the same, whatever starts its steps."""
    model, traces = counted_network(**MODES["xla"])
    fit(model, [])
    assert len(traces) == 2  # of two layers
    return networks.state(model)


def counted_network(**arguments):
    """Returns a network, and a list that gets one more entry wherever one of its two activations is traced."""
    traces = []

    def activation(x):
        traces.append("call")
        return keras.activations.tanh(x)

    model = networks.dense_network(activation=activation, **arguments)
    traces.clear()
    return model, traces


@pytest.mark.parametrize("mode", ["xla", *(in_combinations(one) for one in ("several_steps_xla", "loop_xla"))])
def test_under_xla_every_number_is_right_and_training_is_unchanged(tmp_path, mode):
    """Of a network whose gradients XLA computes in one way only, bit by bit; its programs are traced once each."""
    train, arguments = training(mode)
    observed, traces = counted_network(**arguments)

    check_numbers(logged(observed, tmp_path, train, every=3))

    if mode == "xla":
        assert len(traces) == 2 * 2  # the plain program and the recording one
    for one, other in zip(plainly_trained_by_xla(), networks.state(observed), strict=True):
        np.testing.assert_array_equal(one, other)


def check_numbers(history):
    """Statistics, norms, update ratio, loss and histograms of steps 0, 3, 6, 9 against a tape of the test's own."""
    assert history.steps.tolist() == [0, 3, 6, 9]
    assert history.variables == tuple(VARIABLES)
    for step, (loss, weights, gradients, after) in enumerate(independent_steps(networks.dense_network(), 12)):
        if step % 3:
            continue
        time = step // 3
        assert history.scalars["train/loss"].values[time] == pytest.approx(loss, rel=1e-5)
        norm = np.sqrt(sum(np.sum(g.astype(float) ** 2) for g in gradients))
        assert history.scalars["gradient_norm/global"].values[time] == pytest.approx(norm, rel=1e-5)
        for row, name in enumerate(VARIABLES):
            check_variable(history, time, name, weights[row], gradients[row], after[row])


def check_variable(history, time, name, weight, gradient, after):
    for statistic, expected in reference.statistics(gradient).items():
        actual = history.statistic(statistic, name)[time]
        np.testing.assert_allclose(actual, expected, rtol=1e-5, err_msg=f"{statistic} of {name}")
    norm, moved = np.linalg.norm(weight.astype(float)), np.linalg.norm(after.astype(float) - weight)
    assert history.statistic("weight_norm", name)[time] == pytest.approx(norm, rel=1e-5)
    ratio = history.statistic("update_ratio", name)[time]
    # a weight moves by some 1e-3 of itself, so its float32 rounding alone is 1e-4 of the move
    assert ratio == pytest.approx(moved / norm, rel=1e-3) if norm else np.isnan(ratio)
    rows = history.histograms[f"weight/{name}"].values[time]
    check_rows(rows, weight)
    check_rows(history.histograms[f"gradient/{name}"].values[time], gradient)


def check_rows(rows, values):
    """The rows count every element; one that the independent road rounds over an edge may be in the next bucket."""
    expected = {tuple(row[:2]): row[2] for row in reference.histogram_rows(values)}
    actual = {tuple(row[:2]): row[2] for row in rows}
    assert sum(actual.values()) == values.size
    difference = sum(abs(actual.get(k, 0) - expected.get(k, 0)) for k in {*actual, *expected})
    assert difference <= 2 * max(1, values.size // 50)


def test_gradients_equal_finite_differences(tmp_path):
    """The mean-absolute gradient of a tiny float64 network against central differences of its loss."""
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(3, "tanh", dtype="float64"), keras.layers.Dense(1, dtype="float64")]
    model = keras.Sequential([keras.Input((2,), dtype="float64"), *layers])
    model.compile("sgd", keras.losses.MeanSquaredError(dtype="float64"))
    x, y = np.array([[0.5, -1.0], [2.0, 0.25]]), np.array([[1.0], [0.0]])
    expected = finite_differences(model, x, y)

    model.fit(x, y, verbose=0, callbacks=[gradlog.GradientLogger(tmp_path)])

    actual = gradlog.read(tmp_path).statistic("gradient_mean_abs")[0]

    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def finite_differences(model, x, y, step=1e-6):
    def loss():
        return float(np.mean((model(x).numpy() - y) ** 2))

    result = []
    for variable in model.trainable_variables:
        values, slopes = variable.numpy(), []
        for index in np.ndindex(values.shape):
            sides = []
            for sign in (1, -1):
                moved = values.copy()
                moved[index] += sign * step
                variable.assign(moved)
                sides.append(loss())
            slopes.append((sides[0] - sides[1]) / (2 * step))
        variable.assign(values)
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


def test_fit_and_loop_agree_for_the_same_seed(tmp_path):
    fitted = logged(networks.random_network(), tmp_path / "fit", every=2)
    looped = logged(networks.random_network(), tmp_path / "loop", train_in_loop, every=2)

    assert fitted.steps.tolist() == looped.steps.tolist()
    np.testing.assert_allclose(fitted.statistics, looped.statistics, rtol=1e-4, atol=1e-7)
    for tag in ("train/loss", "train/accuracy"):
        np.testing.assert_allclose(fitted.scalars[tag].values, looped.scalars[tag].values, rtol=1e-5)


@pytest.mark.parametrize("mode", ["graph", "eager", "several_steps", "loop"])
def test_training_is_unchanged_by_the_logger(tmp_path, mode):
    """Bit by bit: weights, batch statistics, random state, optimizer; with dropout and batch normalization."""
    train, arguments = training(mode)
    plain, observed = (networks.random_network(is_new=mode == "graph", **arguments) for _ in range(2))

    train(plain, [])
    train(observed, [gradlog.GradientLogger(tmp_path, every=4)])

    for one, other in zip(networks.state(plain), networks.state(observed), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.combinations
def test_training_under_xla_is_unchanged_but_for_rounding(tmp_path):
    """By two ULP at most after one step; where they are many, XLA's fusions differ by what they round.

    It fuses the gradient of the normalization's gamma in another way where that has one more reader.
    """
    plain, observed = (networks.random_network(jit_compile=True) for _ in range(2))
    logger = gradlog.GradientLogger(tmp_path, every=4)
    plain.fit(networks.dataset().take(1), verbose=0)
    observed.fit(networks.dataset().take(1), verbose=0, callbacks=[logger])

    for one, other in zip(networks.state(plain), networks.state(observed), strict=True):
        if one.dtype == np.float32:
            np.testing.assert_array_max_ulp(one, other, 2)
        else:
            np.testing.assert_array_equal(one, other)

    fit(plain, [])
    fit(observed, [logger])
    for one, other in zip(networks.state(plain), networks.state(observed), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("mode", ["graph", "several_steps", "loop"])
def test_each_program_is_traced_once(tmp_path, mode):
    """The step is traced once for the plain program and once for the recording one, however many steps run."""
    traces = []

    class Counting(keras.Sequential):
        def call(self, *args, **kwargs):
            traces.append("call")
            return super().call(*args, **kwargs)

    layers = [keras.layers.Dense(4, name="layer1"), keras.layers.Dense(3, name="layer2")]
    model = networks.compiled(Counting([keras.Input((12,)), *layers]), **MODES.get(mode, {}))
    train = train_in_loop if mode == "loop" else fit
    if mode == "loop":
        gradlog.train(model, networks.dataset(), steps=1)  # builds metrics and loss, with a trace of its own

    def count(callbacks):
        traces.clear()
        model.train_function = None
        model.optimizer.iterations.assign(0)
        train(model, callbacks)
        return len(traces)

    assert count([]) == 1
    # where a call runs several steps, its recording program holds the plain step too
    assert count([gradlog.GradientLogger(tmp_path, every=100)]) == (3 if mode == "several_steps" else 2)


def test_a_second_fit_reuses_the_programs_and_goes_on_counting(tmp_path):
    model = networks.dense_network()
    logger = gradlog.GradientLogger(tmp_path, every=5)

    fit(model, [logger])
    recording = logger._session._recording
    fit(model, [])
    fit(model, [logger])

    assert logger._session._recording is recording
    history = gradlog.read(tmp_path)
    assert history.steps.tolist() == [0, 5, 10, 25, 30, 35]


def test_nothing_stays_behind(tmp_path):
    """After the training, model and optimizer hold just what they held before, also where it ended in an error."""
    model = networks.dense_network()
    fit(model, [])
    before = set(model.__dict__), set(model.optimizer.__dict__), model.train_function

    class Failing(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                raise KeyboardInterrupt

    fit(model, [gradlog.GradientLogger(tmp_path / "a", every=1)])
    logger = gradlog.GradientLogger(tmp_path / "b", every=1)
    with pytest.raises(KeyboardInterrupt):
        fit(model, [logger, Failing()])
    logger._session._writer.close()  # as the end of the program does

    assert (set(model.__dict__), set(model.optimizer.__dict__), model.train_function) == before
    assert gradlog.read(tmp_path / "b").steps.tolist() == [24, 25, 26, 27]


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
    kernel.assign(tf.tensor_scatter_nd_update(kernel.value, [[0, 0]], [np.nan]))
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


def test_a_run_over_an_earlier_one_goes_into_a_numbered_directory_and_a_continued_one_does_not(tmp_path, recwarn):
    model = networks.dense_network(run_eagerly=True)
    logger = gradlog.GradientLogger(tmp_path)
    fit(model, [logger])
    fit(model, [logger])
    fit(model, [gradlog.GradientLogger(tmp_path)])  # goes on at step 24
    assert [str(w.message) for w in recwarn if "earlier run" in str(w.message)] == []

    with pytest.warns(UserWarning, match=r"holds an earlier run.*step 0 again.*/2'"):
        fit(networks.dense_network(run_eagerly=True), [gradlog.GradientLogger(tmp_path, every=5)])
    with pytest.warns(UserWarning, match=r"holds an earlier run.*/3'"):
        fit(anew := networks.dense_network(run_eagerly=True), [gradlog.GradientLogger(tmp_path, every=4)])
    fit(anew, [gradlog.GradientLogger(tmp_path, every=4)])  # resumes the last run

    assert gradlog.read(tmp_path).steps.tolist() == [0]
    assert gradlog.read(tmp_path / "2").steps.tolist() == [0, 5, 10]
    assert gradlog.read(tmp_path / "3").steps.tolist() == [0, 4, 8, 12, 16, 20]


def test_a_step_without_a_keras_optimizer_is_warned_of_and_trains_on(tmp_path):
    class Plain(keras.Sequential):
        def train_step(self, batch):
            x, y = batch
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x, y, self(x, training=True))
            for variable, gradient in zip(self.weights, tape.gradient(loss, self.trainable_variables), strict=True):
                variable.assign_sub(0.1 * gradient)
            return {"loss": loss}

    model = Plain([keras.Input((12,)), keras.layers.Dense(3, name="layer1")])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = networks.state(model)

    with pytest.warns(UserWarning, match=r"no gradients of this training.*logger\.attach\(") as caught:
        fit(model, [gradlog.GradientLogger(tmp_path, every=1)])

    assert len([w for w in caught if "no gradients" in str(w.message)]) == 1
    assert not np.array_equal(before[0], networks.state(model)[0])


def test_an_evaluation_inside_of_a_training_is_a_test_and_the_validation_stays(tmp_path):
    model, logger = networks.dense_network(), gradlog.GradientLogger(tmp_path, every=4)
    batches = networks.dataset().take(4)

    def evaluate(epoch, logs=None):
        model.evaluate(batches, verbose=0, callbacks=[logger])

    own = keras.callbacks.LambdaCallback(on_epoch_begin=evaluate)
    model.fit(batches, epochs=3, validation_data=batches, verbose=0, callbacks=[logger, own])
    model.evaluate(batches, verbose=0, callbacks=[logger])

    scalars = gradlog.read(tmp_path).scalars
    assert scalars["validation/loss"].steps.tolist() == [4, 8, 12]
    assert scalars["test/loss"].steps.tolist() == [0, 4, 8, 12]


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


def test_a_model_that_is_built_late_without_trainable_variables_is_said_so(tmp_path):
    model = keras.Sequential([keras.layers.Dense(3, trainable=False)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model._maybe_symbolic_build = lambda **arguments: None

    with pytest.warns(UserWarning, match="no gradients of this training: the model has no trainable variables"):
        fit(model, [gradlog.GradientLogger(tmp_path, every=1)])


def test_an_eager_step_makes_no_function_of_its_own(tmp_path, monkeypatch):
    """A bias that is all zero is summed again in float64, which is a function of its own in a graph alone."""
    model, made = networks.dense_network(run_eagerly=True), []
    original = tf.function

    def counted(*args, **kwargs):
        made.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(tf, "function", counted)
    fit(model, [gradlog.GradientLogger(tmp_path, every=1)])

    assert (gradlog.read(tmp_path).statistic("weight_norm", "layer1/bias")[0] == 0).all()
    assert made == []


def test_a_model_need_not_inherit_from_keras_model(tmp_path):
    """As Keras' own tests have it: a trainer that is a layer."""

    trainer = keras.Model.__mro__[1]

    class DenseTrainer(trainer, keras.layers.Dense):
        def __init__(self):
            keras.layers.Dense.__init__(self, 3, name="layer1")
            trainer.__init__(self)

    def build():
        keras.utils.set_random_seed(0)
        model = DenseTrainer()
        model.build((None, 12))
        return networks.compiled(model, "sgd")

    plain, observed = build(), build()
    fit(plain, [])
    fit(observed, [gradlog.GradientLogger(tmp_path, every=4)])

    assert not isinstance(observed, keras.Model)
    for one, other in zip(networks.state(plain), networks.state(observed), strict=True):
        np.testing.assert_array_equal(one, other)
    assert gradlog.read(tmp_path).steps.tolist() == [0, 4, 8]
