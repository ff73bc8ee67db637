"""The credit-card experiment: its networks, what it logs and reports, and its command line."""

import json

import keras
import networks
import numpy as np
import pytest

import gradlog
from experiments import credit_card, credit_data, report

pytestmark = pytest.mark.usefixtures("without_graph_optimizer", "variables_first")

SECONDS = credit_card.Config(epochs=2, batch_size=320, every=1, patience=2, data="embedded")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    log_dir = tmp_path_factory.mktemp("credit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(credit_card, "build_model", networks.run_eagerly(credit_card.build_model))
        return log_dir, credit_card.run(SECONDS, log_dir)


@pytest.mark.parametrize(
    ("scenario", "units", "activation", "optimizer"),
    [
        ("vanishing", [10] * 9 + [1], "sigmoid", keras.optimizers.Adam),
        ("vanishing_fixed", [128, 256, 128, 64, 1], "relu", keras.optimizers.Adam),
        ("exploding", [10] * 8 + [1], "tanh", keras.optimizers.SGD),
        ("exploding_fixed", [10] * 8 + [1], "tanh", keras.optimizers.Adam),
    ],
)
def test_the_networks_are_the_articles(scenario, units, activation, optimizer):
    model = credit_card.build_model(SECONDS, scenario, 18)

    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in dense] == units
    assert [layer.name for layer in dense] == [f"layer{number}" for number in range(1, len(units) + 1)]
    assert {layer.activation.__name__ for layer in dense[:-1]} == {activation}
    assert dense[-1].activation.__name__ == "sigmoid"
    assert isinstance(model.optimizer, optimizer)
    assert sum(isinstance(layer, keras.layers.Dropout) for layer in model.layers) == 4 * (scenario == "vanishing_fixed")
    if scenario == "exploding":
        assert float(model.optimizer.learning_rate.numpy()) == 1.0
        assert dense[3].kernel.numpy().std() == pytest.approx(1, abs=0.3)
    if scenario == "exploding_fixed":
        assert model.optimizer.clipnorm == 1.0
        assert dense[0].kernel_constraint.max_value == 2


def test_every_scenario_is_logged_by_fit(finished):
    log_dir, results = finished
    assert [row["scenario"] for row in results["scenarios"]] == list(credit_card.SCENARIOS)
    for row in results["scenarios"]:
        history = gradlog.read(log_dir / row["scenario"])
        assert history.steps.tolist() == list(range(len(history.steps)))
        assert not np.isnan(history.statistic("update_ratio", "layer1/kernel")).any()
        assert history.scalars["test/accuracy"].values[-1] == pytest.approx(row["test_accuracy"])
        assert ("validation/loss" in history.scalars) == row["scenario"].endswith("_fixed")
        assert "not the credit-card table" in history.texts["experiment"].values[0]
        first, last = (history.statistic("gradient_mean_abs", history.kernels()[index]) for index in (0, -1))
        assert row["ratio_over_run"] == pytest.approx(last.mean() / first.mean(), rel=1e-5)
        assert row["report"].keys() == {"0", "1"}


def test_sigmoid_vanishes_and_its_fix_does_not(finished):
    """Nine sigmoid layers: the first kernel gets less than a thousandth of the last one's gradient."""
    ratios = {row["scenario"]: row["ratio_at_start"] for row in finished[1]["scenarios"]}

    assert ratios["vanishing"] > 1000
    assert ratios["vanishing_fixed"] < 100


def test_results_are_json(finished):
    log_dir, results = finished
    written = json.loads((log_dir / "results.json").read_text())

    assert written["scenarios"] == results["scenarios"]
    assert written["notice"].startswith("This is scikit-learn's breast-cancer table")


def test_command_line(tmp_path, capsys):
    options = ["--epochs", "1", "--scenarios", "exploding", "--data", "embedded", "--split-first"]

    assert credit_card.main([*options, "--logdir", str(tmp_path / "runs")]) == 0

    printed = capsys.readouterr().out
    assert "not the credit-card table" in printed
    assert "held out before rows are repeated" in printed
    assert "precision" in printed
    assert (tmp_path / "runs" / "credit_card.png").stat().st_size > 10_000


def test_wrong_input_is_one_line_on_the_command_line(tmp_path, capsys):
    (tmp_path / credit_data.TABLE).write_text("Ind_ID,GENDER\n1,M\n")

    assert credit_card.main(["--csv-dir", str(tmp_path), "--logdir", str(tmp_path / "runs")]) == 2

    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "lacks the column Car_Owner" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("split_first", ["", "--split-first"])
def test_early_stopping_watches_no_copy_of_a_row_that_is_fitted(tmp_path, monkeypatch, split_first):
    seen = []

    def fit(self, x, y, validation_data, **arguments):
        seen.append((x, validation_data))
        raise KeyboardInterrupt  # what is fitted is seen before anything is

    monkeypatch.setattr(keras.Model, "fit", fit)
    options = ["--data", "embedded", "--logdir", str(tmp_path / "runs"), *filter(None, [split_first])]
    for scenario in ("vanishing", "vanishing_fixed"):
        assert credit_card.main([*options, "--scenarios", scenario]) == 130

    (everything, nothing), (fitted, watched) = seen
    assert nothing is None
    fitted_rows, watched_rows = (set(map(tuple, x.tolist())) for x in (fitted, watched[0]))
    assert len(fitted_rows) > len(watched_rows) > 50
    assert not fitted_rows & watched_rows
    assert len(fitted) + len(watched[0]) == len(everything)


def test_what_the_readme_says_of_the_two_orders_is_in_the_committed_results():
    text = " ".join(report.README.read_text().split())
    rows = [
        {row["scenario"]: row for row in report.results(name)["scenarios"]}
        for name in ("credit_card", "credit_card_split_first")
    ]
    fixed = ("vanishing_fixed", "exploding_fixed")
    of_article, of_first = ([row[name]["report"]["1"] for name in fixed] for row in rows)
    accuracies = [rows[1][name]["test_accuracy"] for name in fixed]

    assert (
        "the fixed networks find {:.0%} and {:.0%} of them.".format(
            *(numbers["recall"] for numbers in of_article)
        ).replace("%", " %")
        in text
    )
    found = "they find {:.0%} and {:.0%} of {:.0f},".format(*(n["recall"] for n in of_first), of_first[0]["support"])
    assert found.replace("%", " %") in text
    assert "only {:.0%} and {:.0%} are".format(*(n["precision"] for n in of_first)).replace("%", " %") in text
    assert "Their accuracy of {:.2f} and {:.2f} is".format(*accuracies) in text
    for name in fixed:
        assert "It stops after {} epochs ({})".format(*(row[name]["epochs"] for row in rows)) in text
