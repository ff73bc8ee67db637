"""A hostile log directory: the tab answers with sentences about what is ill, and shows what is not."""

import json
import urllib.parse

import hostile_logs as hostile
import pytest
import tensorboard_server as server

import gradlog


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("hostile")
    hostile.write(path)
    return path


@pytest.fixture(scope="module", params=["--load_fast=false", "--load_fast=true"])
def address(request, log_dir):
    """The address of a server that has read everything."""
    if request.param.endswith("true"):
        pytest.importorskip("tensorboard_data_server")
    address = server.start(log_dir, request.param)
    server.wait_for(lambda: len(ask(address, "runs")[1]["runs"]) >= len(hostile.TABLES) + 1)
    return address


def ask(address, route, **parameters):
    status, content = server.get(f"{address}data/plugin/gradlog/data/{route}?{urllib.parse.urlencode(parameters)}")
    return status, json.loads(content)


def test_the_list_has_every_run_with_a_table(address):
    status, answer = ask(address, "runs")

    listed = {run["run"] for run in answer["runs"]}
    assert status == 200
    assert listed >= {*hostile.TABLES, hostile.MARKUP}
    assert "of others" not in listed  # its table is another plugin's
    assert all(isinstance(run["wall_time"], float) for run in answer["runs"])


@pytest.mark.parametrize("route", ["table", "findings"])
@pytest.mark.parametrize("run", hostile.TABLES)
def test_what_is_ill_is_answered_with_a_sentence(address, run, route):
    _, sentence = hostile.TABLES[run]

    status, answer = ask(address, route, run=run, statistic="gradient_mean_abs")

    assert status == (400 if sentence else 200), answer
    assert sentence in answer.get("error", "")
    assert len(json.dumps(answer)) < 1000


def test_a_histogram_that_is_none_is_answered_with_a_sentence(address):
    status, answer = ask(address, "histograms", run=hostile.MARKUP, kind="gradient", variable=hostile.NAMES[1])

    assert status == 400
    assert "is not a histogram" in answer["error"]


def test_names_that_mean_something_to_a_browser_are_names(address):
    _, answer = ask(address, "table", run=hostile.MARKUP, statistic="gradient_mean_abs")
    _, told = ask(address, "findings", run=hostile.MARKUP)

    assert answer["variables"] == hostile.NAMES
    assert told["findings"][0]["code"] == "GL101"
    assert told["findings"][0]["where"][0] == hostile.MARKUP


@pytest.mark.parametrize("path", ["data/plugins_listing", "data/runs", "data/plugin/scalars/tags"])
def test_tensorboard_goes_on(address, path):
    assert server.get(f"{address}{path}")[0] == 200


@pytest.mark.parametrize("run", hostile.TABLES)
def test_the_reader_leaves_out_what_is_ill(log_dir, run):
    """The same files, without TensorBoard."""
    history = gradlog.read(log_dir / run)

    is_well = run == "half a character"
    assert len(history.steps) == is_well
    assert bool(history.notes) != is_well
