"""The overhead experiment measures what it says; how fast it is is not for a test."""

import dataclasses
import itertools
import json

import keras
import networks
import pytest

import gradlog

if keras.backend.backend() != "tensorflow":
    pytest.skip("measures much that is of TensorFlow alone", allow_module_level=True)

from experiments import (
    overhead,
    overhead_fit,
    overhead_loop,
    overhead_networks,
    overhead_reading,
    overhead_rivals,
    overhead_tensor,
    runs,
)

pytestmark = pytest.mark.usefixtures("without_graph_optimizer")

CONFIG = overhead.Config(
    rounds=2,
    every=4,
    networks=("article",),
    turns=2,
    steps=3,
    tensor_size=5_000,
    tensor_turns=2,
    memory=False,
    disk_steps=5,
    reading_steps=4,
    reading_variables=2,
    reading_turns=2,
)


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("overhead")


def small():
    first = keras.Input((784,))
    hidden = keras.layers.Dense(4, "relu", name="layer1")(first)
    return first, keras.layers.Dense(overhead_networks.CLASSES, name="layer2")(hidden)


@pytest.fixture(scope="module")
def results(log_dir):
    """What is measured of a small network in the place of the article's, whose many programs take long to trace."""

    def build_model(seed):
        return overhead_networks.model(network, seed)

    network = dataclasses.replace(overhead_networks.NETWORKS["article"], build=small)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(overhead_networks.NETWORKS, "article", network)
        patch.setattr(overhead_networks, "model", networks.with_variables(overhead_networks.model))
        patch.setattr(overhead_loop, "build_model", build_model)
        return overhead.run(CONFIG, log_dir)


def _assert_quartiles(numbers):
    low, high = numbers["quartiles"]
    assert 0 < low <= numbers["median"] <= high


@pytest.mark.combinations
def test_it_times_both_sides_of_the_loop_by_turns(results):
    loop = results["loop"]
    assert loop["ours_ms_per_step"] > 0
    assert loop["ordinary_ms_per_step"] > 0
    _assert_quartiles(loop["times_as_fast"])


@pytest.mark.combinations
def test_it_times_every_variant_of_fit_beside_the_bare_one(results):
    network = results["fit"]["article"]
    assert (network["batch_size"], network["weights"], network["variables"]) == (30, 3190, 4)
    assert list(network["variants"]) == [*overhead_fit.DESCRIPTIONS, *overhead_rivals.DESCRIPTIONS]
    for name, numbers in network["variants"].items():
        assert numbers["steps"] == (1 if name == "bare" else 3)
        assert numbers["ms_per_step"] > 0
        _assert_quartiles(numbers["ratio"])
    bare, expected = network["variants"]["bare"], network["variants"]["gradlog_200"]["from_gradlog_1"]
    assert bare["ratio"] == {"median": 1, "quartiles": [1, 1]}
    assert expected == pytest.approx(1 + (network["variants"]["gradlog_1"]["ratio"]["median"] - 1) / 200)


def test_a_round_is_compared_with_the_bare_ones_before_and_after_it(monkeypatch):
    names = ["gradlog_1", "gradlog_10", "gradlog_200", "second_tape"]
    variants = {name: overhead_fit.Variant(name, [], 1) for name in ("bare", *names)}
    network = overhead_networks.NETWORKS["article"]
    speeds = {"bare": 1.0, "gradlog_1": 1.5, "gradlog_10": 1.1, "gradlog_200": 1.0, "second_tape": 3.0}

    slower = itertools.count(1)  # every round takes longer than the one before
    monkeypatch.setattr(overhead_fit, "round_seconds", lambda one, x, y, size: next(slower) * speeds[one.model])

    turns = [overhead_fit._turn(variants, names, network, ([0], [0])) for _ in range(2)]
    summary = overhead_fit._summary(variants, turns)

    assert {name: numbers["ratio"]["median"] for name, numbers in summary.items()} == pytest.approx(speeds)
    milliseconds = {name: numbers["ms_per_step"] for name, numbers in summary.items()}
    expected = {"bare": 9.5, "gradlog_1": 1.5 * 6.5, "gradlog_10": 1.1 * 8.5, "gradlog_200": 10.5, "second_tape": 37.5}
    assert milliseconds == pytest.approx({name: 1e3 * seconds for name, seconds in expected.items()})
    assert summary["second_tape"]["added_over_gradlog_1"]["median"] == pytest.approx(4)
    assert summary["gradlog_10"]["from_gradlog_1"] == pytest.approx(1.05)


@pytest.mark.combinations
def test_each_variant_logs_what_it_says(results, log_dir):
    rounds = overhead_fit.WARM_UP_TURNS + CONFIG.turns
    steps = rounds * (CONFIG.steps + overhead_fit.UNTIMED_STEPS)
    runs_by_name = gradlog.read(log_dir / "fit" / "article")

    logged = {name: runs_by_name[name].steps.tolist() for name in overhead_fit.EVERY}
    assert logged == {name: list(range(0, steps, every)) for name, every in overhead_fit.EVERY.items()}
    assert len(runs_by_name["gradlog_1"].histograms) == 8
    assert not runs_by_name["gradlog_scalars_1"].histograms
    in_step = runs_by_name["tf_summary_in_step"]
    assert [len(series.steps) for series in in_step.histograms.values()] == [steps] * 8
    for name in ("second_tape", "second_tape_eager"):
        assert [len(series.steps) for series in runs_by_name[name].histograms.values()] == [steps] * 4
        assert [len(series.steps) for series in runs_by_name[name].scalars.values()] == [steps] * 4
    weights = runs_by_name["keras_tensorboard/train"].histograms
    assert len(weights) == 4


@pytest.mark.parametrize("name", overhead_networks.NETWORKS)
def test_each_network_has_the_size_that_it_should(name):
    network = overhead_networks.NETWORKS[name]
    inputs, outputs = network.build()
    assert outputs.shape == (None, overhead_networks.CLASSES)
    assert network.long_steps >= 200
    assert network.long_steps >= network.steps > network.slow_steps
    assert network.steps % 10 == 0  # each round holds as many logged steps of `gradlog_10`
    expected = {"mlp_8x1024": (1024,), "residual": (32, 32, 3)}.get(name, (784,))
    assert inputs.shape[1:] == expected


@pytest.mark.combinations
def test_it_measures_one_tensor_and_the_file(results):
    tensor, disk = results["tensor"], results["disk"]
    assert list(tensor["functions"]) == list(overhead_tensor.DESCRIPTIONS)
    for numbers in tensor["functions"].values():
        assert numbers["ms"] > 0
        assert numbers["peak_bytes"] is None
        _assert_quartiles(numbers["times_mean_abs"])
    _assert_quartiles(tensor["tf_summary_over_ours"])
    assert 0 < disk["scalars_only"] < disk["with_histograms"] < 100_000


@pytest.mark.combinations
def test_it_reads_a_run_in_two_ways(results, log_dir):
    reading = results["reading"]
    assert (reading["steps"], reading["variables"]) == (4, 2)
    for numbers in reading["readers"].values():
        assert numbers["peak_bytes"] is None
        _assert_quartiles(numbers["seconds"])
    _assert_quartiles(reading["times_as_fast"])


@pytest.mark.combinations
def test_the_run_that_is_read_is_one_as_gradlog_writes_it(results, log_dir):
    files = list((log_dir / "reading").iterdir())
    run = gradlog.read(log_dir / "reading")

    assert [path.stat().st_size for path in files] == [results["reading"]["file_bytes"]]
    assert (run.steps.tolist(), run.variables) == ([0, 200, 400, 600], ("layer1/kernel", "layer1/bias"))
    assert [rows[:, 2].sum() for series in run.histograms.values() for rows in series.values] == [2000] * 16


@pytest.mark.parametrize("name", overhead_reading.DESCRIPTIONS)
def test_it_measures_memory_of_reading(name, tmp_path):
    for log_dir in (tmp_path, tmp_path / "small"):
        overhead_reading.write_run(log_dir, 2, 2, 0)
    assert overhead_reading.peak_bytes(name, tmp_path) >= 0


@pytest.mark.parametrize("name", overhead_tensor.DESCRIPTIONS)
def test_it_measures_memory(name):
    assert overhead_tensor.peak_bytes(name, 5_000) >= 0


@pytest.mark.combinations
def test_results_become_json_and_tables(results):
    assert json.loads(json.dumps(results))["experiment"] == "overhead"
    screen = runs.console()
    with screen.capture() as capture:
        for table in overhead._tables(results):
            screen.print(table)
    for title in ("Loop", "Fit · article, 3,190 weights", "Tensor · 5,000 float32", "Disk", "Reading · 4 steps"):
        assert title in capture.get()
