"""The remedies: each changes one thing, what is measured of it by a second road, and the command line.

The experiment is TensorFlow's alone.
"""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from marks import in_combinations

import gradlog
from experiments import data, parallel, remedies, remedy_memory, remedy_networks, remedy_tables, remedy_training
from gradlog.history.history import Series

pytestmark = pytest.mark.usefixtures("without_graph_optimizer", "variables_first")

SECONDS = remedies.Config(layers=5, units=8, steps=6, batch_size=8, every=1, validate_every=3, seeds=2, data="embedded")


@pytest.fixture(scope="module")
def digits():
    return data.load_mnist("embedded")


def eagerly(model, optimizer, compiled=remedy_networks._compile):
    """Compiles a network to run step by step: a few steps are over before Keras would have traced one."""
    compiled(model, optimizer)
    model.run_eagerly = True


@pytest.fixture(scope="module")
def finished(tmp_path_factory, digits):
    """The directories and results of two studies: one of two seeds, one of several remedies.

    The target of the first is an accuracy that anything reaches, that of the second one that nothing does.
    """
    several = ("vanishing/pretraining", "exploding/clipnorm", "recurrent/lstm")
    seeds = dataclasses.replace(SECONDS, scenarios=("vanishing/sigmoid",), target=0.0)
    others = dataclasses.replace(SECONDS, scenarios=several, seeds=1, target=1.1)
    log_dirs = [tmp_path_factory.mktemp("remedies") for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remedy_networks, "_compile", eagerly)
        return [
            (log_dir, remedies.run(config, log_dir, digits))
            for log_dir, config in zip(log_dirs, (seeds, others), strict=True)
        ]


@pytest.mark.parametrize("scenario", remedies.SCENARIOS)
def test_every_network_can_be_built_and_computes(scenario):
    model = remedies.build_model(SECONDS, scenario)
    shape = (2, remedy_memory.TIME_STEPS, remedy_memory.COLUMNS) if scenario.startswith("recurrent/") else (2, 784)

    assert model.name == scenario.split("/")[1]
    assert np.isfinite(model(tf.ones(shape)).numpy()).all()
    assert model(tf.ones(shape)).shape == (2, 10)


def test_a_remedy_changes_one_thing():
    """All but SELU with LeCun's weights, which are made for each other, differ from their base in one field."""
    for family, members in remedy_networks.FAMILIES.items():
        (base, *others) = (dataclasses.asdict(network) for _, network in members.values())
        for name, other in zip(list(members)[1:], others, strict=True):
            changed = [field for field in base if base[field] != other[field]]
            assert len(changed) == (2 if name == "selu_lecun" else 1), (family, name)


@pytest.mark.parametrize(
    ("scenario", "layer", "attribute", "value"),
    [
        ("vanishing/prelu", "prelu3", "__class__", keras.layers.PReLU),
        ("vanishing/batch_norm", "norm3", "__class__", keras.layers.BatchNormalization),
        ("exploding/max_norm", "layer2", "kernel_constraint.max_value", 1.0),
        ("vanishing/he", "layer2", "kernel_initializer.__class__", keras.initializers.HeNormal),
        ("initialization/small_weights", "layer2", "kernel_initializer.stddev", 0.05),
        ("exploding/large_weights", "layer4", "kernel_initializer.stddev", 0.35),
        ("recurrent/gru", "recurrent", "__class__", keras.layers.GRU),
    ],
)
def test_the_layers_are_what_the_remedy_says(scenario, layer, attribute, value):
    found = remedies.build_model(SECONDS, scenario).get_layer(layer)
    for name in attribute.split("."):
        found = getattr(found, name)

    assert found == value


@pytest.mark.parametrize("clipping", ["clipnorm", "clipvalue", "global_clipnorm"])
def test_clipping_is_the_optimizers(clipping):
    optimizer = remedies.build_model(SECONDS, f"exploding/{clipping}").optimizer

    assert getattr(optimizer, clipping) == (0.5 if clipping == "clipvalue" else 1.0)
    assert sum(getattr(optimizer, name) is not None for name in ("clipnorm", "clipvalue", "global_clipnorm")) == 1


def test_a_highway_layer_is_the_papers_equation():
    """y = H(x) T(x) + x (1 - T(x)), Srivastava et al. 2015, equation 3, in NumPy."""
    model = remedies.build_model(SECONDS, "vanishing/highway")
    x = np.random.default_rng(1).normal(size=(3, 784)).astype(np.float32)

    def dense(name, inputs):
        kernel, bias = (value.astype(np.float64) for value in model.get_layer(name).get_weights())
        return inputs @ kernel + bias

    expected = 1 / (1 + np.exp(-dense("layer1", x)))
    for number in (2, 3):
        h, t = (1 / (1 + np.exp(-dense(f"{name}{number}", expected))) for name in ("layer", "gate"))
        expected = h * t + expected * (1 - t)

    np.testing.assert_allclose(model(x), dense("layer4", expected), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model.get_layer("gate2").bias, -2)


def test_fewer_layers_are_fewer_at_any_depth():
    network = remedy_networks.FAMILIES["vanishing"]["fewer_layers"][1]
    hidden = [
        remedy_networks.num_hidden(dataclasses.replace(SECONDS, layers=layers), network) for layers in (4, 12, 30)
    ]

    assert hidden == [1, 3, 10]


def test_a_sequence_is_two_digits_and_the_label_of_the_first():
    x = np.zeros((4, 28, 28), np.float32)
    x[0, 2:4, 4:6] = 1  # one pixel of four by four, in row 1 and column 2 of the small picture
    x[1, 0, 0] = 1  # a quarter of one

    pairs, labels = remedy_memory.sequences(tf.constant(x.reshape(4, 784)), tf.constant([7, 3, 5, 1]))

    assert pairs.shape == (2, 28, 14)
    assert labels.numpy().tolist() == [7, 5]
    assert np.argwhere(pairs.numpy()).tolist() == [[0, 1, 2], [0, 14, 0]]
    assert (pairs[0, 1, 2], pairs[0, 14, 0]) == (1, 0.25)


@pytest.mark.parametrize("name", list(remedy_memory.RECURRENT))
def test_the_stepped_cell_is_the_layer(name):
    """The gradient of the last state is that of the layer's own output, by the chain rule."""
    memory = remedy_memory.RECURRENT[name][1]
    keras.utils.set_random_seed(1)
    model = remedy_memory.build_model(SECONDS, memory, name)
    x, y = tf.random.normal((1, remedy_memory.TIME_STEPS, remedy_memory.COLUMNS)), tf.constant([3])

    gradients = remedy_memory.state_gradients(model, x, y)

    assert list(gradients) == (["hidden", "cell"] if memory.cell == "lstm" else ["hidden"])
    with tf.GradientTape() as tape:
        output = model.get_layer("recurrent")(x)
        tape.watch(output)
        logits = model.get_layer("output")(output)
        loss = keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True)
    assert gradients["hidden"][-1] == pytest.approx(float(tf.norm(tape.gradient(loss, output))), rel=1e-4)


def test_the_gradient_of_a_state_is_a_finite_difference():
    """SimpleRNN in NumPy, float64: the loss with one hidden state moved, over the distance."""
    keras.utils.set_random_seed(2)
    model = remedy_memory.build_model(SECONDS, remedy_memory.RECURRENT["simple_rnn"][1], "rnn")
    x = np.random.default_rng(1).normal(size=(1, remedy_memory.TIME_STEPS, remedy_memory.COLUMNS))
    kernel, recurrent, bias = (value.astype(float) for value in model.get_layer("recurrent").get_weights())
    out_kernel, out_bias = (value.astype(float) for value in model.get_layer("output").get_weights())

    def loss(moved_at, move):
        state = np.zeros(SECONDS.units)
        for time in range(remedy_memory.TIME_STEPS):
            state = np.tanh(x[0, time] @ kernel + state @ recurrent + bias)
            state = state + move if time == moved_at else state
        logits = state @ out_kernel + out_bias
        return np.log(np.exp(logits).sum()) - logits[3]

    found = remedy_memory.state_gradients(model, tf.constant(x, tf.float32), tf.constant([3]))["hidden"]

    for time in (0, 13, 27):
        moves = np.eye(SECONDS.units) * 1e-6
        gradient = [(loss(time, move) - loss(time, -move)) / 2e-6 for move in moves]
        assert found[time] == pytest.approx(np.linalg.norm(gradient), rel=1e-3)


def test_open_gates_keep_what_they_hold():
    """A gate that starts at 1 - 1/T: sigmoid of its bias, in the part of the bias that is that gate's."""
    kept = 1 - 1 / remedy_memory.TIME_STEPS
    lstm, gru = (
        remedies.build_model(SECONDS, f"recurrent/{name}_open").get_layer("recurrent").get_weights()[2]
        for name in ("lstm", "gru")
    )

    np.testing.assert_allclose(1 / (1 + np.exp(-lstm.reshape(4, 8))), [[0.5] * 8, [kept] * 8, [0.5] * 8, [0.5] * 8])
    np.testing.assert_allclose(1 / (1 + np.exp(-gru[0].reshape(3, 8))), [[kept] * 8, [0.5] * 8, [0.5] * 8])
    assert not gru[1].any()


@pytest.mark.combinations
def test_greedy_training_moves_one_layer_at_a_time(digits, monkeypatch):
    monkeypatch.setattr(remedy_networks, "_compile", eagerly)
    keras.utils.set_random_seed(1)
    model = remedies.build_model(SECONDS, "vanishing/pretraining")
    before = [layer.get_weights()[0] for layer in model.layers if layer.name.startswith("layer")]
    steps = []
    parallel._begin(lambda: steps.append(1), None)

    remedy_networks.pretrain(SECONDS, model, data.batches(digits, 8, 1), [parallel.StepCounter()])

    after = [layer.get_weights()[0] for layer in model.layers if layer.name.startswith("layer")]
    assert [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)] == [True, True, True, False]
    assert len(steps) == 3 * remedy_networks.pretraining_steps(SECONDS)
    assert len(model.trainable_variables) == 8
    assert model.optimizer.iterations == 0


@pytest.mark.parametrize(("study", "seeds"), [(0, [1, 2]), (1, [1])])
def test_the_numbers_are_those_of_the_logs(finished, study, seeds):
    log_dir, results = finished[study]
    for row in results["scenarios"]:
        assert [seed["seed"] for seed in row["seeds"]] == seeds
        for seed in row["seeds"]:
            history = gradlog.read(log_dir / row["scenario"] / f"seed{seed['seed']}")
            first, last = history.kernels()[0], history.kernels()[-1]
            assert history.steps.tolist() == [0, 1, 2, 3, 4, 5]
            assert history.scalars["validation/accuracy"].steps.tolist() == [3, 6]
            assert seed["test_accuracy"] == pytest.approx(history.scalars["test/accuracy"].values[-1], rel=1e-4)
            assert seed["norm_at_start"] == pytest.approx(history.scalars["gradient_norm/global"].values[0], rel=1e-4)
            update = history.statistic("update_ratio", first)
            assert seed["first_update_ratio"] == pytest.approx(np.median(update), rel=1e-4)
            first, last = (history.statistic("gradient_mean_abs", name) for name in (first, last))
            if "state_gradients" not in seed:
                assert seed["ratio_at_start"] == pytest.approx(last[0] / first[0], rel=1e-4)
                assert seed["ratio_over_run"] == pytest.approx(np.mean(last) / np.mean(first), rel=1e-4)
            else:
                hidden = seed["state_gradients"]["start"]["hidden"]
                assert seed["ratio_at_start"] == pytest.approx(hidden[-1] / hidden[0], rel=1e-4)
    assert json.loads((log_dir / "results.json").read_text())["scenarios"] == results["scenarios"]


def test_sigmoid_vanishes_in_each_seed(finished):
    """Four sigmoid layers: the first kernel's gradient is less than a hundredth of the last one's."""
    rows = {row["scenario"]: row["seeds"] for _, results in finished for row in results["scenarios"]}

    assert len(rows["vanishing/sigmoid"]) == 2
    assert all(seed["ratio_at_start"] > 100 for seed in rows["vanishing/sigmoid"])
    assert all(seed["ratio_at_start"] < 100 for seed in rows["exploding/clipnorm"])


@pytest.mark.parametrize(("study", "steps"), [(0, 3), (1, None)])
def test_steps_to_the_target(finished, study, steps):
    """An accuracy that anything reaches is reached at the first look, one that nothing reaches never."""
    rows = [seed for row in finished[study][1]["scenarios"] for seed in row["seeds"]]

    assert [seed["steps_to_target"] for seed in rows] == [steps] * len(rows)


def test_a_training_that_breaks_is_told_and_not_averaged():
    """Gradients that are not finite: what comes before them counts, and JSON gets no NaN."""
    steps = [0, 1, 2]
    gradients = np.array([[1.0, 4.0], [3.0, 8.0], [np.nan, np.inf]])
    table = np.stack([gradients, gradients * 0.5], axis=2)
    history = gradlog.History(
        variables=("layer1/kernel", "layer2/kernel"),
        columns=("gradient_mean_abs", "update_ratio"),
        steps=np.array(steps),
        statistics=table,
        scalars={"gradient_norm/global": Series(np.array(steps), [5.0, 6.0, np.nan])},
    )

    numbers = remedy_training._summary(history, {})

    assert numbers["gradient_over_run"] == [2.0, 6.0]
    assert numbers["ratio_over_run"] == 3.0
    assert (numbers["logged_steps"], numbers["steps_not_finite"]) == (3, 1)
    assert numbers["first_update_ratio"] == 1.0


def test_the_table_says_how_many_seeds_got_there():
    seed = {"test_accuracy": 0.5, "ratio_at_start": 2.0, "ratio_over_run": None, "first_update_ratio": 0.001}
    seed["findings"] = ["GL101 vanishing gradient, layer1: 8.4e-04"]
    seeds = [
        {**seed, "norm_at_start": 1.0, "steps_to_target": 300},
        {**seed, "test_accuracy": 0.8, "norm_at_start": 3.0, "steps_to_target": None, "findings": []},
        {**seed, "test_accuracy": 0.9, "norm_at_start": 2.0, "steps_to_target": 500},
    ]

    rows = remedy_tables.rows({"scenarios": [{"scenario": "vanishing/tanh", "seeds": seeds}]})

    assert rows == [
        ["vanishing/tanh", "0.80 (0.50 to 0.90)", "2 (2 to 2)", "-", "1.0e-03", "2.0e+00", "400, 2 of 3", "GL101 2x"]
    ]


@pytest.mark.combinations
def test_command_line_in_two_processes(tmp_path, capsys):
    options = ["--only", "skip", "exploding/glorot", "--seeds", "1", "--layers", "3", "--units", "4", "--steps", "4"]
    options += ["--every", "1", "--processes", "2", "--data", "embedded", "--logdir", str(tmp_path / "runs")]

    assert remedies.main(options) == 0

    printed = capsys.readouterr().out
    assert "2 of 2 trainings" in printed
    assert "8/8" in printed
    assert "not the whole of MNIST" in printed
    results = json.loads((tmp_path / "runs" / "results.json").read_text())
    assert [row["scenario"] for row in results["scenarios"]] == ["vanishing/skip", "exploding/glorot"]
    assert (tmp_path / "runs" / "remedies.png").stat().st_size > 10_000


def _fail(shared, job):
    raise OSError(f"no room for {shared} {job}")


@pytest.mark.parametrize("processes", [1, in_combinations(2)])
def test_what_goes_wrong_in_a_training_is_said(processes):
    with pytest.raises(OSError, match="no room for data job"):
        parallel.carry_out(_fail, ["job"], "data", steps=1, processes=processes)


def test_list_names_everything(capsys):
    assert remedies.main(["--list"]) == 0

    printed = capsys.readouterr().out
    for scenario in remedies.SCENARIOS:
        assert scenario in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "relu", "magic"], "unknown remedy 'magic'; known are vanishing, initialization"),
        (["--layers", "2"], "2 is too small, expected 3 or more"),
    ],
)
def test_wrong_options_are_one_line(options, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        remedies.main(options)

    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
