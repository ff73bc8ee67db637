"""The table of HParams, as a real TensorBoard answers for it, of the real experiments on a few steps."""

import json
import urllib.error
import urllib.request

import keras
import networks
import numpy as np
import pytest
import tensorboard_server as server
from small_logs import MEAN_ABS, write_run

import gradlog

if keras.backend.backend() != "tensorflow":
    pytest.skip("one of the experiments is of TensorFlow alone", allow_module_level=True)

from experiments import credit_card, credit_data, data, hyperparameters, mnist_activations, remedies

pytestmark = [pytest.mark.usefixtures("without_graph_optimizer", "variables_first"), pytest.mark.combinations]

KERNELS = ["layer1/kernel", "layer2/kernel"]


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("logs")
    digits = data.load_mnist("embedded")
    few = {"data": "embedded", "steps": 21, "every": 10}
    of_mnist = mnist_activations.Config(scenarios=("sigmoid",), **few)
    of_remedies = remedies.Config(scenarios=("exploding/lower_rate",), layers=4, seeds=2, validate_every=10, **few)
    of_cards = credit_card.Config(scenarios=("exploding",), epochs=1, batch_size=160, data="embedded")
    with pytest.MonkeyPatch.context() as patch:
        for experiment in (mnist_activations, remedies, credit_card):
            patch.setattr(experiment, "build_model", networks.run_eagerly(experiment.build_model))
        mnist_activations.run(of_mnist, path / "mnist", digits)
        remedies.run(of_remedies, path / "remedies", digits)
        credit_card.run(of_cards, path / "credit", credit_data.load("embedded"))
    return path


@pytest.fixture(scope="module", params=["--load_fast=false", "--load_fast=true"])
def rows(request, log_dir):
    """Rows of the table, by scenario: (hyperparameters, metrics by tag, number of runs)."""
    if request.param.endswith("true"):
        pytest.importorskip("tensorboard_data_server")
    address = f"{server.start(log_dir, request.param)}data/plugin/hparams/"

    def ask(route, **content):
        asked = urllib.request.Request(f"{address}{route}", json.dumps(content).encode(), method="POST")
        asked.add_header("Content-Type", "application/json")
        return json.loads(urllib.request.urlopen(asked, timeout=20).read())

    def groups():
        try:
            return ask("session_groups", startIndex=0, sliceSize=100, allowedStatuses=["STATUS_UNKNOWN"])[
                "sessionGroups"
            ]
        except (urllib.error.HTTPError, KeyError):  # as long as nothing is read
            return []

    found = server.wait_for(lambda: all_of_them if len(all_of_them := groups()) == 3 else None)
    return {
        group["hparams"]["scenario"]: (
            group["hparams"],
            {one["name"]["tag"]: one["value"] for one in group["metricValues"]},
            len(group["sessions"]),
        )
        for group in found
    }


def test_each_experiment_says_what_its_runs_are(rows):
    digits = "5,000 of MNIST's digits, 4,000 + 1,000 (fallback)"
    assert rows["sigmoid"][0] == {
        "scenario": "sigmoid",
        "activation": "sigmoid",
        "depth": 7,
        "initializer": "glorot_uniform",
        "learning_rate": 0.001,
        "data": digits,
    }
    assert rows["exploding"][0] == {
        "scenario": "exploding",
        "activation": "tanh",
        "depth": 10,
        "initializer": "random_normal 1.0",
        "learning_rate": 1.0,
        "data": "breast-cancer table, 569 people (fallback)",
    }
    assert rows["exploding/lower_rate"][0] == {
        "scenario": "exploding/lower_rate",
        "activation": "relu",
        "depth": 4,
        "initializer": "random_normal 0.35",
        "learning_rate": 0.01,
        "data": digits,
    }


def test_what_came_of_a_run_stands_beside(rows, log_dir):
    history = gradlog.read(log_dir / "mnist" / "sigmoid")
    first, last = (history.statistic("gradient_mean_abs", f"layer{number}/kernel") for number in (1, 6))

    metrics = rows["sigmoid"][1]

    assert metrics["test/accuracy"] == pytest.approx(history.scalars["test/accuracy"].values[-1])
    assert metrics["experiment/worst_ratio"] == pytest.approx((last / first).max(), rel=1e-5)


def test_seeds_are_one_row_with_their_mean(rows, log_dir):
    histories = [gradlog.read(log_dir / "remedies" / "exploding" / "lower_rate" / f"seed{seed}") for seed in (1, 2)]

    _, metrics, number = rows["exploding/lower_rate"]

    assert number == 2
    accuracies = [history.scalars["test/accuracy"].values[-1] for history in histories]
    assert metrics["test/accuracy"] == pytest.approx(np.mean(accuracies))


def test_worst_ratio_by_hand(tmp_path):
    write_run(tmp_path, MEAN_ABS)
    rising, falling = gradlog.read(tmp_path), KERNELS[::-1]

    assert hyperparameters.worst_ratio(rising, KERNELS) == pytest.approx(1e-2 / 1e-6)  # the last step's first is zero
    assert hyperparameters.worst_ratio(rising, falling) == pytest.approx(1e-2 / 1e-6)


def test_worst_ratio_of_gradients_that_are_all_zero_is_none(tmp_path):
    write_run(tmp_path, MEAN_ABS * 0)

    assert hyperparameters.worst_ratio(gradlog.read(tmp_path), KERNELS) is None


@pytest.mark.parametrize(
    ("initializer", "name"),
    [
        (keras.initializers.GlorotUniform(), "glorot_uniform"),
        (keras.initializers.RandomNormal(0.0, 0.5), "random_normal 0.5"),
        (keras.initializers.HeNormal(), "he_normal"),
    ],
)
def test_initializers_are_called_what_keras_calls_them(initializer, name):
    assert hyperparameters.initializer_name(initializer) == name
