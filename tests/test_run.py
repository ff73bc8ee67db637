"""What a run was made of: read from the model, written as JSON and as a table, and read back."""

import dataclasses
import json

import keras
import networks
import numpy as np
import pytest
from marks import ENGINE, NOT_ON_JAX, ONE_STEP_A_CALL
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import gradlog
from gradlog.history.run import Layer, Output, Run, arguments
from gradlog.session.describe import described

pytestmark = pytest.mark.usefixtures("without_graph_optimizer")
MANY_STEPS = pytest.param({"steps_per_execution": 3}, marks=ONE_STEP_A_CALL)


@networks.with_variables
def two_layers(rate=0.1, **compiling):
    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(
                16,
                "sigmoid",
                kernel_initializer=keras.initializers.RandomNormal(0, 0.01),
                kernel_regularizer=keras.regularizers.L2(1e-4),
                name="layer1",
            ),
            keras.layers.Dropout(0.1, name="dropout"),
            keras.layers.Dense(3, "softmax", name="output"),
        ]
    )
    optimizer = keras.optimizers.SGD(rate, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], **compiling)
    return model


def data(rows=50):
    generator = np.random.default_rng(0)
    return generator.normal(size=(rows, 8)).astype("float32"), generator.integers(0, 3, rows)


LAYERS = (
    Layer(
        "layer1",
        "Dense",
        16,
        "sigmoid",
        (8, 16),
        {"class": "RandomNormal", "mean": 0, "stddev": 0.01},
        {"kernel": {"class": "L2", "l2": 1e-4}},
    ),
    Layer("dropout", "Dropout", inputs=("layer1",)),
    Layer("output", "Dense", 3, "softmax", (16, 3), {"class": "GlorotUniform"}, inputs=("dropout",)),
)


@pytest.mark.parametrize("compiling", [{}, MANY_STEPS, {"jit_compile": True}, {"run_eagerly": True}])
def test_a_run_says_what_it_was_made_of(tmp_path, compiling):
    rows = 40 if "jit_compile" in compiling else 50  # XLA would compile anew for a last batch of another size
    model, (x, y) = two_layers(**compiling), data(rows)

    logger = gradlog.GradientLogger(tmp_path, every=1)
    model.fit(x, y, batch_size=20, epochs=2, shuffle=False, verbose=0, callbacks=[logger])

    run = gradlog.read(tmp_path).run
    assert run.layers == LAYERS
    majority = np.bincount(y[:20]).max() / 20
    assert run.outputs == (Output("output", 3, "softmax", "sparse_categorical_crossentropy", majority=majority),)
    assert run.optimizer == {"class": "SGD", "learning_rate": pytest.approx(0.1), "momentum": 0.9}
    assert (run.metrics, run.batch_size, run.precision, run.engine) == (("accuracy",), 20, "float32", ENGINE)
    assert run.steps_per_execution == compiling.get("steps_per_execution", 1)
    assert run.jit_compile == compiling.get("jit_compile", ENGINE == "jax" and "run_eagerly" not in compiling)
    assert run.versions["gradlog"] == gradlog.__version__
    assert run.versions["keras"] == keras.__version__


def test_tensorboard_reads_json_and_a_table(tmp_path):
    model, (x, y) = two_layers(), data()
    model.fit(x, y, verbose=0, callbacks=[gradlog.GradientLogger(tmp_path)])

    accumulator = EventAccumulator(str(tmp_path)).Reload()
    text, table = (
        accumulator.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in ("gradlog/run", "gradlog/run_table")
    )

    assert json.loads(text)["layers"][0]["initializer"] == {"class": "RandomNormal", "mean": 0, "stddev": 0.01}
    assert all(line.startswith("    ") for line in text.splitlines())  # Markdown shows it as it stands
    assert "| optimizer | SGD(learning&#95;rate=0.1, momentum=0.9) |" in table
    assert "| layer1 | Dense | 16 | sigmoid | RandomNormal(mean=0, stddev=0.01) | kernel: L2(l2=0.0001) |  |" in table


def test_the_batch_is_that_of_all_steps_and_of_a_resumed_training(tmp_path):
    model, (x, y) = two_layers(), data()
    for _ in range(2):
        model.fit(x, y, batch_size=20, verbose=0, callbacks=[gradlog.GradientLogger(tmp_path / "fit", every=1)])
    assert gradlog.read(tmp_path / "fit").run.batch_size == 20
    assert len(gradlog.read(tmp_path / "fit").texts["gradlog/run"].values) == 2


@NOT_ON_JAX
def test_a_loop_without_a_step_is_not_described(tmp_path):
    with gradlog.GradientLogger(tmp_path).attach(two_layers()):
        pass
    assert gradlog.read(tmp_path).run is None


def test_a_schedule_loss_scaling_and_branches_are_described():
    inputs = keras.Input((4,))
    one, other = (keras.layers.Dense(4, "relu", name=name)(inputs) for name in ("one", "other"))
    joined = keras.layers.Add(name="sum")([one, other])
    model = keras.Model(inputs, keras.layers.Dense(1, name="head")(joined))
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(schedule)), keras.losses.Huber())

    run = described(model)

    assert {layer.name: layer.inputs for layer in run.layers} == {
        "one": (),
        "other": (),
        "sum": ("one", "other"),
        "head": ("sum",),
    }
    assert run.optimizer["schedule"].startswith("ExponentialDecay(initial_learning_rate=0.5, decay_steps=10")
    assert (run.optimizer["class"], run.optimizer["learning_rate"]) == ("Adam", 0.5)
    assert run.optimizer["loss_scale"] == "dynamic"
    assert run.outputs == (Output("head", 1, "linear", "huber"),)


def test_names_of_layers_are_those_of_the_variables():
    model = networks.dense_network()
    run = described(model)

    names = [variable.path.rpartition("/")[0].rpartition("/")[2] for variable in model.trainable_variables]
    assert {layer.name for layer in run.layers if layer.kernel} == set(names)
    assert run.layer(f"{names[0]}/kernel").name == names[0]
    assert run.layer("nothing/kernel") is None


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", '{"layers": 3, "outputs": []}', '{"layers": [], "outputs": [], "model": 5}', "[" * 9999],
)
def test_what_is_no_run_is_refused_and_does_not_stop_a_reader(text):
    with pytest.raises(ValueError, match="Expected the JSON of a run"):
        Run.from_json(text)
    texts = {"gradlog/run": gradlog.history.history.Series(np.array([0]), [text])}
    assert gradlog.History(texts=texts).run is None


def test_a_later_version_may_add_to_it():
    run = Run("net", LAYERS, optimizer={"class": "SGD"})
    values = dataclasses.asdict(run) | {"new": 1}
    values["layers"][0]["new"] = 2

    assert Run.from_json(json.dumps(values)) == run


def test_a_table_shows_any_name():
    run = Run("net", (Layer("a|b*<i>", "Dense\n"),))

    assert "| a&#124;b&#42;&#60;i&#62; | Dense |" in run.markdown()
    assert arguments({}) == ""


def test_classes_of_the_user_need_no_configuration(tmp_path):
    class Schedule(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.25

    class Decay(keras.regularizers.Regularizer):
        def __call__(self, x):
            return 0.0 * keras.ops.sum(x)

    model, (x, y) = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, kernel_regularizer=Decay())]), data()
    model.compile(keras.optimizers.SGD(Schedule()), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    logger = gradlog.GradientLogger(tmp_path)
    model.fit(x, y, verbose=0, callbacks=[logger])

    run = gradlog.read(tmp_path).run
    assert logger.error is None
    assert run.optimizer == {"class": "SGD", "learning_rate": 0.25}
    assert run.layers[0].regularizers == {"kernel": {"class": "Decay"}}


def test_a_learning_rate_that_is_a_function_and_losses_that_are_nested_are_described():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="end")])

    def rate():
        return 0.25

    model.compile(keras.optimizers.SGD(rate), [[keras.losses.MeanSquaredError(), "mae"]])
    run = described(model)
    assert (run.optimizer["class"], run.optimizer["learning_rate"]) == ("SGD", 0.25)
    assert [(one.units, one.loss) for one in run.outputs] == [(2, None)]
