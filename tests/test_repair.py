"""`gradlog.repair`: diagnosed, cured, and shown; what is healthy, or cannot be healed, is said so.

These are trainings of seconds, on real digits.
"""

import json
import random

import keras
import numpy as np
import pytest
from marks import ENGINE, OF_TENSORFLOW, OTHER_WEIGHTS
from sklearn.datasets import load_digits

import gradlog
from gradlog.commands import cli
from gradlog.repair import budget as budgets
from gradlog.repair import repair as repairing
from gradlog.repair.changes.learning_rate import LearningRate
from gradlog.repair.changes.shuffled_rows import ShuffledRows
from gradlog.repair.repair import HEALTHY, NOT_HEALED, NOT_PROVEN, REPAIRED, STOPPED

pytestmark = pytest.mark.usefixtures("without_graph_optimizer", "variables_first")
EPOCHS, BATCH = 10, 16


def digits(number=500):
    x, y = load_digits(return_X_y=True)
    return (x[:number] / 16).astype(np.float32), y[:number].astype(np.int64)


def network(optimizer, activation="relu"):
    hidden = [keras.layers.Dense(32, activation, name=f"layer{number}") for number in (1, 2)]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10, name="end")], name="digits")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def repair(model, data=None, **arguments):
    x, y = digits() if data is None else data
    return gradlog.repair(model, x, y, **{"epochs": EPOCHS, "batch_size": BATCH, "verbose": 0} | arguments)


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("repair")


@pytest.fixture(scope="module")
def sick():
    keras.utils.set_random_seed(1)
    return network(keras.optimizers.Adam(1e-7))


@pytest.fixture(scope="module")
def cured(sick, log_dir):
    """A repair of steps that are too small, and what it left behind."""
    before = [one.copy() for one in sick.get_weights()], sick.optimizer.get_config()
    states = random.getstate(), np.random.get_state()[1].tolist()
    found = repair(sick, trainings=6, seeds=2, log_dir=log_dir / "runs")
    after = sick.get_weights(), sick.optimizer.get_config()
    return found, before, after, states, (random.getstate(), np.random.get_state()[1].tolist())


@OTHER_WEIGHTS
def test_the_finding_leads_to_the_change_and_the_proof(cured):
    found = cured[0]
    assert (found.verdict, found.changes) == (REPAIRED, (LearningRate(0.001),))
    assert found.code == ("optimizer=keras.optimizers.Adam(learning_rate=0.001)  # learning_rate was 1e-07",)
    assert [one.code for one in found.findings if not one.cause and not one.is_note] == ["GL301", "GL515"]
    assert not [one for one in found.findings_after if not one.is_note]
    assert max(found.proof.before) < 0.3 < 0.7 < min(found.proof.after)
    assert (found.proof.seeds, found.proof.p_value) == ((0, 1), 0.25)
    assert found.score_name == "accuracy"
    names = [(one.name, one.seed) for one in found.tried]
    assert names == [("original", 0), ("learning rate 0.001", 0), ("original", 1), ("learning rate 0.001", 1)]
    assert found.spent == pytest.approx(sum(one.cost for one in found.tried)) == 4


@OTHER_WEIGHTS
def test_the_scores_are_those_of_the_model_that_was_trained(cured, log_dir):
    """What the event files say of the same training."""
    found = cured[0]
    runs = gradlog.read(log_dir / "runs")
    assert sorted(runs) == ["00_original", "00_original/2", "01_learning_rate_0_001", "01_learning_rate_0_001/2"]
    assert [one.log_dir.removeprefix(str(log_dir / "runs") + "/") for one in found.tried] == [
        "00_original", "01_learning_rate_0_001", "00_original/2", "01_learning_rate_0_001/2",
    ]  # fmt: skip
    for one in found.tried:
        history = runs[one.log_dir.removeprefix(str(log_dir / "runs") + "/")]
        assert history.steps[0] == 0
        assert abs(history.scalars["train/accuracy"].values[-5:].mean() - one.outcome.score) < 0.25
    assert runs["00_original"].histograms


def test_the_changed_model_has_fresh_weights_and_is_compiled(cured):
    model = cured[0].model
    assert type(model) is keras.Sequential
    assert [layer.name for layer in model.layers] == ["layer1", "layer2", "end"]
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)
    assert int(model.optimizer.iterations) == 0
    x, y = digits()
    assert set(model.evaluate(x, y, verbose=0, return_dict=True)) == {"loss", "accuracy"}
    model.fit(x, y, epochs=8, batch_size=BATCH, verbose=0)
    assert model.evaluate(x, y, verbose=0, return_dict=True)["accuracy"] > 0.8


def test_the_model_and_the_random_states_stay_as_they_were(cured, sick):
    _, before, after, states, states_after = cured
    for one, other in zip(before[0], after[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert before[1] == after[1]
    assert int(sick.optimizer.iterations) == 0
    assert states == states_after


@pytest.mark.combinations
def test_equal_seeds_give_an_equal_report(sick, cured, log_dir):
    again = repair(sick, trainings=6, seeds=2, log_dir=log_dir / "again").to_dict()
    first = cured[0].to_dict()
    for report in (first, again):
        report.pop("seconds")
        for one in report["tried"]:
            one["log_dir"] = one["log_dir"].replace("/again/", "/runs/")
    assert again == first
    assert json.loads(json.dumps(again)) == again


@OTHER_WEIGHTS
def test_the_report_says_it_all(cured):
    lines = str(cured[0]).splitlines()
    assert lines[0].startswith("gradlog.repair · repaired · 4 trainings, ")
    text = "\n".join(lines)
    assert "Found:\n  GL301 warning · update ratio out of range · since step 0\n  GL515 warning · steps" in text
    assert "Change:\n  optimizer=keras.optimizers.Adam(learning_rate=0.001)  # learning_rate was 1e-07\n" in text
    assert "2 of 2 pairs improve (exact paired permutation test, one-sided: p = 0.25, the smallest that 2 pairs" in text
    assert "after: none" in text
    before, after = cured[0].proof.before[0], cured[0].proof.after[0]
    assert f"  0                      {before:.3f}                   {after:.3f}\n" in text


def test_a_healthy_training_is_left_as_it_is_and_the_progress_bar_counts_epochs(capsys):
    model = network(keras.optimizers.Adam(0.003))
    found = repair(model, verbose=1)
    assert (found.verdict, found.changes, found.proof, found.spent) == (HEALTHY, (), None, 1)
    assert [one.name for one in found.tried] == ["original"]
    for one, other in zip(found.model.layers, model.layers, strict=True):
        assert one.get_config() == other.get_config()
    assert float(found.model.optimizer.learning_rate) == pytest.approx(0.003)
    assert "nothing to repair" in str(found)
    assert f"{EPOCHS}/{EPOCHS}" in capsys.readouterr().out.replace("\x1b[1m", "").replace("\x1b[0m", "")


@pytest.mark.combinations
def test_labels_that_carry_nothing_cannot_be_learned():
    x, _ = digits(300)
    y = np.random.default_rng(0).integers(0, 10, 300)
    found = repair(network(keras.optimizers.Adam(1e-7)), (x, y), trainings=5, seeds=2, epochs=2)
    assert (found.verdict, found.changes) in ((NOT_HEALED, ()), (NOT_PROVEN, ()))
    assert len(found.tried) > 2
    assert found.spent <= 5
    assert float(found.model.optimizer.learning_rate) == pytest.approx(1e-7)


@pytest.mark.combinations
def test_what_fails_is_a_row(monkeypatch):
    """The first change makes a training that fails."""

    def failing(change, training):
        return training.changed(loss="categorical_crossentropy")  # which expects one-hot labels

    first = LearningRate(0.001)
    monkeypatch.setattr(LearningRate, "applied", lambda one, training: failing(one, training) if one == first
                        else training.with_settings(learning_rate=one.rate))  # fmt: skip
    found = repair(network(keras.optimizers.Adam(1e-7)), trainings=6, seeds=2)
    row = next(one for one in found.tried if one.changes == (first,))
    assert "shape" in row.outcome.failure
    assert "failed" in str(found)
    assert found.verdict == REPAIRED
    assert first not in found.changes


class Subclassed(keras.Model):
    def __init__(self, units=32, **arguments):
        super().__init__(**arguments)
        self.hidden, self.end = keras.layers.Dense(units, "sigmoid"), keras.layers.Dense(10)

    def call(self, x):
        return self.end(self.hidden(x))

    def get_config(self):
        return {"units": 32}


@pytest.mark.combinations
def test_a_subclassed_model_gets_what_leaves_its_layers_as_they_are():
    model = Subclassed()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-7), loss)
    found = repair(model, trainings=6, seeds=2)
    assert (found.verdict, [one.name for one in found.changes]) == (REPAIRED, ["learning rate"])
    assert type(found.model) is Subclassed
    assert not model.built
    layers = "The layers of a subclassed model, Subclassed, cannot be changed. Not tried: normalization, activation."
    unusual = "Nothing was found, but these settings are unusual: learning rate."
    is_silent = all(one.is_note for one in found.findings)
    assert is_silent or ENGINE != "tensorflow"  # elsewhere Keras draws other weights, with which there are findings
    assert found.note == (f"{layers} {unusual}" if is_silent else layers)
    assert found.note in str(found)


def test_ctrl_c_gives_what_is_known_so_far(monkeypatch):
    calls = []

    def interrupt(self):
        calls.append(1)
        if len(calls) == EPOCHS + 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(repairing._Progress, "advance", interrupt)
    found = repair(network(keras.optimizers.Adam(1e-7)), trainings=6, seeds=2)
    assert (found.verdict, found.changes, found.proof) == (STOPPED, (), None)
    assert [one.name for one in found.tried] == ["original"]
    assert "GL515" in [one.code for one in found.findings if not one.cause and not one.is_note]
    assert "stopped" in str(found)


def test_a_model_that_does_not_know_its_input_yet():
    hidden = [keras.layers.Dense(32, "relu"), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential(hidden)
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    found = repair(model)
    assert (found.verdict, found.spent, model.built) == (HEALTHY, 1, False)
    assert found.model.predict(digits()[0], verbose=0).shape == (500, 10)


@OF_TENSORFLOW
@pytest.mark.combinations
def test_rows_in_order_of_their_class_are_shuffled():
    import tensorflow as tf

    x, y = digits(400)
    order = np.argsort(y, kind="stable")
    dataset = tf.data.Dataset.from_tensor_slices((x[order], y[order])).batch(BATCH)
    found = gradlog.repair(network("adam"), dataset, epochs=4, trainings=5, seeds=2, verbose=0)
    assert (found.verdict, found.changes) == (REPAIRED, (ShuffledRows(),))


@pytest.mark.combinations
def test_a_model_that_has_learned_starts_from_its_weights():
    """Steps of 1e-5 are too small from the start, and right for what has learned."""
    x, y = digits()
    model = network(keras.optimizers.Adam(0.003))
    model.fit(x, y, epochs=8, batch_size=BATCH, verbose=0)
    model.compile(keras.optimizers.Adam(1e-5), model.loss)
    assert repair(model).verdict == HEALTHY


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"epochs": 0}, ValueError, "epochs"),
        ({"trainings": 3}, ValueError, "trainings"),
        ({"seeds": 1}, ValueError, "seeds"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"model": "net"}, TypeError, "Expected a Keras model. Received: 'net'"),
        ({"model": keras.Sequential([keras.layers.Dense(1)])}, ValueError, "Expected a compiled model"),
        ({"y": np.zeros(3)}, ValueError, "as many inputs as targets"),
        ({"x": "digits.npz"}, TypeError, "with a row for each example. Received: .*'digits.npz'"),
    ],
)
def test_what_cannot_be_repaired(arguments, error, text):
    x, y = digits()
    values = {"model": network("adam"), "x": x, "y": y, "epochs": 1, "verbose": 0} | arguments
    with pytest.raises(error, match=text):
        gradlog.repair(values.pop("model"), values.pop("x"), values.pop("y"), **values)


def test_time_that_is_up_ends_the_search():
    budget = budgets.Budget(trainings=12, seconds=100.0, spent=2)
    budget.began -= 60
    assert budget.allows(1)
    assert not budget.allows(1, reserve=4)  # two trainings took a minute
    assert not budget.allows(11)


def test_the_function_stays_beside_the_package_of_its_name():
    import gradlog.repair.budget

    assert callable(gradlog.repair)
    assert gradlog.repair.budget is not budgets if hasattr(gradlog.repair, "budget") else True


# The command.


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    path = tmp_path_factory.mktemp("files")
    x, y = digits(300)
    network(keras.optimizers.Adam(1e-7)).save(path / "sick.keras")
    np.savez(path / "data.npz", x=x[:250], y=y[:250], x_val=x[250:], y_val=y[250:])
    return path


def test_the_command_saves_the_repaired_model(files, capsys):
    arguments = ["repair", str(files / "sick.keras"), str(files / "data.npz"), "-o", str(files / "out.keras")]
    few = ["--epochs", "8", "--batch-size", "16", "--trainings", "4", "--seeds", "2", "--json"]
    assert cli.main([*arguments, *few]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["verdict"], report["file"]) == (REPAIRED, str(files / "out.keras"))
    assert report["changes"] == [{"name": "learning rate", "rate": 0.001}]
    model = keras.models.load_model(files / "out.keras")
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("model", "data", "output", "text"),
    [
        ("none.keras", "data.npz", "o.keras", "does not exist"),
        ("sick.keras", "none.npz", "o.keras", "none.npz' does not exist; expected a .npz file of arrays x and y"),
        ("sick.keras", "text.npz", "o.keras", "is not a .npz file of arrays; write one with numpy.savez"),
        ("sick.keras", "z.npz", "o.keras", "expected arrays x and y in"),
        ("text.keras", "data.npz", "o.keras", "Keras cannot load"),
        ("plain.keras", "data.npz", "o.keras", "is not compiled; save it after model.compile"),
        ("sick.keras", "data.npz", "o.txt", "expected a file that ends in .keras"),
        ("sick.keras", "data.npz", "none/o.keras", "does not exist"),
        ("sick.keras", "short.npz", "o.keras", "cannot be repaired: Expected as many inputs as targets"),
    ],
)
def test_the_command_says_in_a_line_what_is_wrong(files, capsys, model, data, output, text):
    (files / "text.npz").write_text("text")
    (files / "text.keras").write_text("text")
    np.savez(files / "z.npz", z=np.zeros(3))
    np.savez(files / "short.npz", x=np.zeros((30, 64)), y=np.zeros(20))
    if not (files / "plain.keras").exists():
        keras.Sequential([keras.Input((64,)), keras.layers.Dense(1)]).save(files / "plain.keras")
    assert cli.main(["repair", *(str(files / name) for name in (model, data)), "-o", str(files / output)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert text in said.err
    assert "Traceback" not in said.err
