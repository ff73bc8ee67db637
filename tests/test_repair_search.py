"""The search: where single changes do not heal, all that is unusual changes at once; what is not missed goes again."""

from dataclasses import dataclass

import keras
import numpy as np
import pytest
from marks import WEIGHTS_OF_TENSORFLOW
from sklearn import metrics
from sklearn.datasets import load_digits

import gradlog
from gradlog.repair import search as search_module
from gradlog.repair.budget import Budget
from gradlog.repair.candidate import Candidate
from gradlog.repair.case import case_of
from gradlog.repair.changes.activation import HiddenActivation
from gradlog.repair.changes.learning_rate import LearningRate
from gradlog.repair.changes.normalization import Normalization
from gradlog.repair.changes.optimizer import Adam
from gradlog.repair.data import data_of
from gradlog.repair.repair import HEALTHY, REPAIRED
from gradlog.repair.search import Search
from gradlog.repair.trial import Trial

pytestmark = pytest.mark.usefixtures("without_graph_optimizer", "variables_first")
EPOCHS = 10


def digits():
    x, y = load_digits(return_X_y=True)
    return (x[:600] / 16).astype(np.float32), y[:600].astype(np.int64)


def network(*hidden, optimizer=None, **arguments):
    keras.utils.set_random_seed(1)
    end = keras.layers.Dense(10, "softmax", name="end", **arguments)
    model = keras.Sequential([keras.Input((64,)), *hidden, end])
    model.compile(optimizer or keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    return model


def dense(number, activation="relu", units=32, **arguments):
    return keras.layers.Dense(units, activation, name=f"layer{number}", **arguments)


def repair(model, **arguments):
    return gradlog.repair(model, *digits(), **{"epochs": EPOCHS, "batch_size": 16, "verbose": 0} | arguments)


def names(changes):
    return [one.name for one in changes]


def sick(optimizer, units=32):
    """Initial weights and dropout: neither heals without the other, and not with any optimizer or number of units."""
    start = keras.initializers.RandomNormal(stddev=3.0)
    first, second = dense(1, kernel_initializer=start), dense(2, units=units, kernel_initializer=start)
    hidden = [first, keras.layers.Dropout(0.97), second, keras.layers.Dropout(0.97)]
    return network(*hidden, optimizer=optimizer, kernel_initializer=start)


@WEIGHTS_OF_TENSORFLOW
@pytest.mark.combinations
def test_what_is_unusual_is_changed_together_where_nothing_else_heals():
    found = repair(sick(keras.optimizers.SGD(1e-5)), trainings=6, seeds=2)
    assert (found.verdict, names(found.changes)) == (REPAIRED, ["Adam", "dropout", "initializer"])
    assert found.spent <= 6
    assert max(found.proof.before) < 0.2 < 0.7 < min(found.proof.after)
    assert [len(one.changes) for one in found.tried if one.seed == 0] == [0, 1, 1, 2, 1, 3]
    assert max(one.outcome.score for one in found.tried if len(one.changes) in (1, 2)) < 0.3


@WEIGHTS_OF_TENSORFLOW
@pytest.mark.combinations
def test_what_is_not_missed_is_left_out():
    """The optimizer is unusual as well, but does no harm."""
    found = repair(sick(keras.optimizers.SGD(0.03, momentum=0.9), units=1), trainings=12, seeds=2)
    whole = next(one for one in found.tried if len(one.changes) == 4)
    assert names(whole.changes) == ["Adam", "dropout", "units", "initializer"]
    assert (found.verdict, names(found.changes)) == (REPAIRED, ["dropout", "units", "initializer"])
    assert min(found.proof.after) > whole.outcome.score - 0.05
    others = [one for one in found.tried if len(one.changes) == 3 and one.changes != found.changes]
    assert len(others) == 3
    assert max(one.outcome.score for one in others) < whole.outcome.score - 0.5


@WEIGHTS_OF_TENSORFLOW
def test_a_loss_that_is_not_finite_ends_a_training_and_costs_what_was_trained():
    model = network(dense(1), optimizer=keras.optimizers.SGD(1e38))
    found = repair(model, trainings=4, seeds=2)
    first = found.tried[0]
    assert first.cost == first.outcome.epochs / EPOCHS <= 3 / (EPOCHS * 30)  # a step or two of 30 an epoch
    assert found.spent == pytest.approx(sum(one.cost for one in found.tried))
    assert found.verdict == REPAIRED


@WEIGHTS_OF_TENSORFLOW
def test_what_is_unusual_is_tried_although_no_rule_finds_it(capsys):
    found = repair(network(dense(1, units=1), dense(2)), trainings=4, seeds=2)
    assert not [one for one in found.findings if not one.is_note]
    assert (found.verdict, names(found.changes)) == (REPAIRED, ["units"])
    assert "Nothing was found, but these settings are unusual: units." in str(found)
    assert "Invalid loss" not in capsys.readouterr().out


def test_what_is_unusual_but_learned_nearly_everything_stays():
    start = keras.initializers.RandomNormal(stddev=0.8)
    found = repair(network(dense(1, units=64, kernel_initializer=start)), trainings=4, seeds=2, epochs=14)
    assert (found.verdict, found.spent) == (HEALTHY, 1)


@WEIGHTS_OF_TENSORFLOW
@pytest.mark.combinations
def test_several_steps_a_call_cost_as_many_steps():
    model = network(dense(1), optimizer=keras.optimizers.Adam(1e-7))
    model.compile(keras.optimizers.Adam(1e-7), model.loss, steps_per_execution=7)
    found = repair(model, trainings=4, seeds=2)
    assert [one.cost for one in found.tried if one.seed == 1] == [1, 1]
    assert (found.verdict, found.spent) == (REPAIRED, pytest.approx(sum(one.cost for one in found.tried)))


def test_the_score_of_several_outputs_leaves_the_penalty_out(tmp_path):
    """A weaker penalty alone must not raise the score, which is compared with scikit-learn's losses."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((64,))
    penalty = keras.regularizers.L2(0.06)
    x = keras.layers.Dense(32, "relu", kernel_regularizer=penalty, name="shared")(inputs)
    ends = [keras.layers.Dense(10, "softmax", name="digit")(x), keras.layers.Dense(64, name="image")(x)]
    model = keras.Model(inputs, ends)
    model.compile(keras.optimizers.Adam(0.003), ["sparse_categorical_crossentropy", "mse"])
    x, y = digits()
    held_out = x[500:], [y[500:], x[500:]]
    data = data_of(x[:500], [y[:500], x[:500]], held_out, 16)
    case = case_of(model, data)
    trial = Trial(case.training, data, case.task, 1, tmp_path, case.start, histograms=False)
    score = trial.train(0, 1).score

    classes, images = (keras.ops.convert_to_numpy(one) for one in trial._model(held_out[0]))
    expected = metrics.log_loss(y[500:], classes, labels=range(10)) + metrics.mean_squared_error(x[500:], images)
    assert -score == pytest.approx(expected, rel=1e-4)
    assert float(penalty(trial._model.get_layer("shared").kernel)) > 0.05


def test_what_was_found_stands_beside_a_failure():
    x, y = digits()
    found = gradlog.repair(network(dense(1)), x, y + 1, epochs=8, batch_size=16, trainings=4, seeds=2, verbose=0)
    lines = str(found).splitlines()
    assert "Found:" in lines
    assert any(line.startswith("  GL504 ") for line in lines)
    if keras.backend.backend() == "tensorflow":  # elsewhere, rows of a class without a unit are passed over, or NaN
        assert lines[2].startswith("The training fails: ")
        assert (found.verdict, names(found.changes)) == (REPAIRED, ["class numbers"])


def test_changes_that_come_to_the_same_training_are_tried_once():
    case = case_of(network(dense(1, "tanh")), data_of(*digits(), None, 16))
    original = Candidate((), case.training)

    def is_same(one, other):
        return original.with_changes(one, original).is_one_of([original.with_changes(other, original).key])

    relu, leaky, slower = HiddenActivation("relu"), HiddenActivation("leaky_relu"), LearningRate(0.001)
    assert is_same([slower], [Adam(0.001)])  # the optimizer is Adam
    assert is_same([relu, slower], [slower, relu])
    assert is_same([relu, slower], [relu, Adam(0.001)])
    assert not is_same([relu, slower], [leaky, Adam(0.001)])
    assert not is_same([relu, slower], [relu, Adam(0.003)])
    assert not is_same([relu], [relu, Normalization("BatchNormalization")])
    assert is_same([Adam(0.003)], [])
    assert not is_same([relu], [])


def test_a_training_that_begins_anew_costs_what_it_trains_again(tmp_path):
    case = case_of(network(dense(1)), data_of(*digits(), None, 16))
    budget = Budget(12, None)
    search = Search(case, EPOCHS, budget, 2, tmp_path, is_kept=False)
    original = search.original
    first = search.run(original, 0, 2)
    assert (budget.spent, search.tried[(), 0].cost) == (0.2, 0.2)
    search.run(original, 0, 4)
    assert (budget.spent, search.tried[(), 0].cost) == pytest.approx((0.4, 0.4))
    original.trial.forget()
    again = search.run(original, 0, 2)
    assert (budget.spent, search.tried[(), 0].cost) == pytest.approx((0.6, 0.6))
    assert again.score == first.score
    search.run(original, 1, 1)
    assert budget.spent == pytest.approx(0.7)
    assert search.tried[(), 1].cost == pytest.approx(0.1)


@dataclass(frozen=True)
class Late:
    """A learning rate of 0 until a step, and of 0.01 from then on."""

    step: int
    name = "late"

    def applied(self, training):
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay([self.step], [0.0, 0.01])
        return training.with_settings(learning_rate=keras.optimizers.schedules.serialize(schedule))

    def code(self, training):
        return f"learning_rate=late({self.step})"


def searched(monkeypatch, tmp_path, changes, trainings, usual=()):
    """A search that has only these changes to try; a part of a training ends after 90 of 300 steps."""
    case = case_of(network(dense(1), optimizer=keras.optimizers.Adam(5e-4)), data_of(*digits(), None, 16))
    monkeypatch.setattr(search_module, "proposed", lambda observed: changes)
    monkeypatch.setattr(search_module, "together", lambda observed: list(usual))
    search = Search(case, EPOCHS, Budget(trainings, None), 2, tmp_path, is_kept=False)
    search.train_original()
    search.improve()
    return search, {one.name: one for one in search.tried.values()}


def test_what_is_slow_at_first_is_trained_to_its_end(monkeypatch, tmp_path):
    changes = [LearningRate(1e38), Late(10000), Late(150), Late(149)]
    search, tried = searched(monkeypatch, tmp_path, changes, trainings=12)
    assert search.best.changes == (Late(150),)
    assert tried.pop("learning rate 1e+38").cost < 0.02  # its loss is not finite
    assert {name: round(one.cost, 6) for name, one in tried.items()} == {
        **{"original": 1.0, "late 10000": 1.3},  # begun anew, and trained to its end
        **{"late 150": 1.3, "late 149": 0.3},  # the first one that heals ends it
    }
    assert tried["late 150"].spent > tried["late 10000"].spent > tried["late 149"].spent
    assert search.best.outcome(3).score == tried["late 149"].outcome.score < search.original.outcome(3).score - 0.1
    assert search.best.outcome(EPOCHS).score > search.original.outcome(EPOCHS).score + 0.1


def test_what_is_slow_at_first_stays_dropped_where_the_trainings_do_not_last(monkeypatch, tmp_path):
    search, tried = searched(monkeypatch, tmp_path, [Late(150)], trainings=4)
    assert search.best is search.original  # 1.3 are spent, 2 are kept for a proof
    assert [one.cost for one in tried.values()] == pytest.approx([1.0, 0.3])


def test_of_what_is_slow_at_first_all_that_is_usual_comes_first(monkeypatch, tmp_path):
    """And what is not missed in it is seen after a whole training only."""
    dead = [Late(step) for step in (10001, 10002, 10003, 10004)]
    search, tried = searched(monkeypatch, tmp_path, dead, 7, usual=[Late(150), HiddenActivation("tanh")])
    costs = {name: round(one.cost, 6) for name, one in tried.items()}
    assert (costs.pop("original"), costs.pop("late 150 + activation tanh"), costs.pop("late 150")) == (1.0, 1.3, 1.0)
    assert max(costs.values()) == 0.3
    assert search.best.changes == (Late(150),)
