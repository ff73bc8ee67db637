"""The experiment on repairs counts what each strategy spends and reaches, on a network of seconds."""

import json

import keras
import numpy as np
import pytest

if keras.backend.backend() != "tensorflow":
    pytest.skip("its networks are partly of TensorFlow alone", allow_module_level=True)

from experiments import repair, repair_figure, repair_networks, repair_rivals, repair_tables, runs
from gradlog.repair.case import case_of
from gradlog.repair.data import data_of

pytestmark = pytest.mark.usefixtures("without_graph_optimizer", "variables_first")
CONFIG = repair.Config(networks=("mnist/sigmoid",), trainings=4, seeds=2, epochs=4)


def sick(*_):
    """A table whose classes are the sign of a sum, and steps that are too small."""
    x = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    y = (x.sum(1) > 0).astype(np.int64)
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-7), loss, metrics=["accuracy"])
    return repair_networks.Sick(model, x[:200], y[:200], (x[200:], y[200:]), 8, 8)


class Source:
    source, notice = "a table", "made up"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Of the three strategies; random search and Hyperband are told to have found what they did not look for."""
    pairs = {"random_search": [(1, 0.2), (2, 1.0)], "hyperband": [(0.5, 0.5), (1.0, 0.6)]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repair_networks, "build", sick)
        for name, found in pairs.items():
            patch.setattr(repair_rivals, name, lambda *_, found=found: found)
        return repair.run(CONFIG, tmp_path_factory.mktemp("repair"), (Source, Source))


@pytest.mark.combinations
def test_what_is_healed_is_counted(results):
    (row,) = results["scenarios"]
    assert (row["verdict"], row["changes"]) == ("repaired", ["learning rate"])
    before, after = row["before"][0], row["after"][0]
    assert before < 0.7 < 0.8 < after
    assert row["spent"]["gradlog.repair"] == [(1.0, before), (2.0, after)]
    assert list(row["spent"]) == list(results["healed"]) == list(repair.STRATEGIES)
    target = row["chance"] + 0.9 * (1.0 - row["chance"])
    assert row["target"] == pytest.approx(target)
    ours = 2 if after >= target else None
    assert row["trainings_to_target"] == {"gradlog.repair": ours, "random search": 2, "Hyperband": None}
    assert results["healed"]["random search"] == {
        **{"networks": 1, "of": 1},
        **{"mean_trainings": 2, "trainings_for_each": 2},
    }
    assert results["healed"]["Hyperband"] == {
        **{"networks": 0, "of": 1},
        **{"mean_trainings": None, "trainings_for_each": None},
    }


def test_a_healed_network_costs_what_was_spent_on_those_that_were_not():
    rows = [
        {"trainings_to_target": {"random search": needed}, "spent": {"random search": [(1, 0.2), (spent, 0.9)]}}
        for needed, spent in ((2, 12), (None, 12), (4, 5), (None, 3))
    ]
    found = repair._num_healed(rows, "random search")
    assert found == {"networks": 2, "of": 4, "mean_trainings": 3, "trainings_for_each": (2 + 12 + 4 + 3) / 2}
    table = repair_tables.healed_rows({"healed": {"random search": found}}, "{:.1f}".format)
    assert table == [["healed", "2 of 4"], ["trainings in all, for each healed one", "10.5"]]


@pytest.mark.combinations
def test_random_search_spends_one_training_after_the_other():
    model, x, y, held_out, batch_size, _ = sick()
    case = case_of(model, data_of(x, y, held_out, batch_size))
    changes = repair_rivals.space(case, 8)
    names = [type(one).__name__ for one in changes]
    assert names[:2] == ["LearningRate", "Adam"]
    assert {"Normalization", "HiddenActivation", "Clipping", "WarmUp", "Initializer"} == {*names} - {*names[:2]}
    found = repair_rivals.random_search(case, changes, 2, 2, seed=3)
    assert [spent for spent, _ in found] == [1, 2]
    assert found == repair_rivals.random_search(case, changes, 2, 2, seed=3)


@pytest.mark.libraries
def test_hyperband_spends_as_much():
    model, x, y, held_out, batch_size, _ = sick()
    case = case_of(model, data_of(x, y, held_out, batch_size))
    found = repair_rivals.hyperband(case, repair_rivals.space(case, 4), 4, 3, seed=1)
    spent = [one for one, _ in found]
    assert spent == sorted(spent)
    assert 3 <= spent[-1] < 4.5
    assert all(0 <= score <= 1 for _, score in found)
    assert max(score for _, score in found) > 0.6


@pytest.mark.combinations
def test_it_becomes_json_tables_and_a_picture(results, tmp_path):
    assert json.loads(json.dumps(results))["experiment"] == "repair"
    screen = runs.console()
    with screen.capture() as capture:
        screen.print(repair.table(results))
        screen.print(repair.rivals_table(results))
    assert "mnist/sigmoid" in capture.get()
    path = repair_figure.draw(results, tmp_path, tmp_path / "repair.png")
    assert path.stat().st_size > 20_000


@pytest.mark.parametrize("name", repair_networks.NAMES)
def test_each_network_is_built(name):
    digits = type("Digits", (), {})()
    digits.x_train = np.random.default_rng(0).integers(0, 255, (400, 784)).astype(np.uint8)
    digits.y_train = np.arange(400) % 10
    from experiments import credit_data

    found = repair_networks.build(name, repair.Config(rows=200, held_out=100), digits, credit_data.load("embedded"))
    assert len(found.x) == len(found.y) > 50
    assert len(found.held_out[0]) == len(found.held_out[1]) > 20
    assert found.model(found.x[:2]).shape[0] == 2
    assert len(np.unique(found.y)) > 1
