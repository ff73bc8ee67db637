"""The layout of Custom Scalars, as a real TensorBoard answers for it, with either of its loaders."""

import json
import urllib.parse

import numpy as np
import pytest
import tensorboard_server as server
from small_logs import MEAN_ABS, STEPS, write_run

import gradlog
from gradlog.events import custom_scalars

RUNS = ("a", "b")


@pytest.fixture(scope="module", params=["--load_fast=false", "--load_fast=true"])
def ask(request, tmp_path_factory):
    """A function that asks the routes of Custom Scalars, of a server that has read two runs."""
    if request.param.endswith("true"):
        pytest.importorskip("tensorboard_data_server")
    log_dir = tmp_path_factory.mktemp("logs")
    for number, run in enumerate(RUNS):
        write_run(log_dir / run, MEAN_ABS * (number + 1))
    address = f"{server.start(log_dir, request.param)}data/plugin/custom_scalars/"

    def answer(route, **parameters):
        return json.loads(server.get(f"{address}{route}?{urllib.parse.urlencode(parameters)}")[1])

    server.wait_for(lambda: all(answer("scalars", run=run, tag="train/loss")["tag_to_events"] for run in RUNS))
    return answer


def test_runs_share_one_layout(ask):
    (category,) = ask("layout")["category"]

    assert category["title"] == "gradlog"
    assert [chart["title"] for chart in category["chart"]] == list(custom_scalars.CHARTS)


@pytest.mark.parametrize("run", RUNS)
def test_the_first_chart_has_the_gradients_of_all_kernels(ask, run):
    chart = ask("layout")["category"][0]["chart"][0]

    (tag,) = chart["multiline"]["tag"]
    lines = ask("scalars", run=run, tag=tag)["tag_to_events"]

    assert sorted(lines) == ["gradient_mean_abs/layer1/kernel", "gradient_mean_abs/layer2/kernel"]
    read = np.array([[value for _, _, value in lines[name]] for name in sorted(lines)])
    assert np.allclose(read, MEAN_ABS[:, [0, 2]].T * (RUNS.index(run) + 1))
    assert [step for _, step, _ in lines["gradient_mean_abs/layer1/kernel"]] == list(STEPS)


def test_every_mean_abs_gradient_is_in_one_chart_alone(ask):
    charts = [chart["multiline"]["tag"] for chart in ask("layout")["category"][0]["chart"]]

    found = [sorted(ask("scalars", run="a", tag=tag)["tag_to_events"]) for (tag,) in charts]

    of_layers = ["layer1", "layer2"]
    assert found[0] == [f"gradient_mean_abs/{layer}/kernel" for layer in of_layers]
    assert found[1] == [f"gradient_mean_abs/{layer}/bias" for layer in of_layers]
    assert found[2] == [f"update_ratio/{layer}/kernel" for layer in of_layers]


def test_the_reader_leaves_the_layout_out(tmp_path):
    write_run(tmp_path / "a")

    history = gradlog.read(tmp_path / "a")

    assert not [tag for tag in (*history.texts, *history.scalars) if "custom" in tag]
    assert history.notes == ()
