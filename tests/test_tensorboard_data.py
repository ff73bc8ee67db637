"""The tab's routes, asked of a real TensorBoard, with either of its loaders, about runs of the real writers."""

import json
import re
import threading
import urllib.parse
import urllib.request
from pathlib import Path

import event_files
import numpy as np
import pytest
import tensorboard_server as server
from small_logs import (
    ATTENDING,
    ATTENTION,
    BLOCKS,
    COLUMNS,
    MEAN_ABS,
    STEPS,
    VARIABLES,
    write_blocks,
    write_run,
    write_scalars,
)
from tensorboard import context, errors
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.compat.proto import summary_pb2, tensor_pb2, types_pb2

import gradlog
from gradlog.diagnosis.pages import page
from gradlog.history.history import History, Series, Snapshot
from gradlog.history.run import Layer, Run
from gradlog.tensorboard import attention, data, demo, metadata
from gradlog.tensorboard.plugin import GradientsLoader
from gradlog.tensorboard.runs import Runs
from gradlog.writers import EventWriter

LOADERS = ("--load_fast=false", "--load_fast=true")
DEEP = [f"layer{number}/kernel" for number in (1, 2, 3, 4)]
HEALTHY = np.full((12, 4), 1e-2)
SICK = HEALTHY * [1e-6, 1e-5, 1e-2, 1]
LONG = 700
MANY_LAYERS = ["stem", *(f"block/dense_{number}" for number in range(1, 11)), "head"]
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("logs")
    write_run(
        path / "small",
        histograms=True,
        nonfinite=np.array([[0, 0, 0, 0], [0, 0, 7, 0], [0, 0, 0, 0]]),
    )
    write_run(path / "sick", SICK, range(0, 120, 10), variables=DEEP)
    write_run(
        path / "deep" / "healthy",
        HEALTHY,
        range(0, 120, 10),
        variables=DEEP,
        scalars={"activation_dead/layer1": [0.25] * 12},
    )
    write_run(path / "long", np.full((LONG, 4), 1e-3), range(LONG))
    write_run(path / HOSTILE, SICK, range(0, 120, 10), variables=DEEP)
    write_run(path / "described", SICK, range(0, 120, 10), variables=DEEP)
    write_description(path / "described")
    write_scalars(path / "foreign", {"train/loss": 1.0})
    write_run(
        path / "many layers",
        np.full((2, 12), 1e-2),
        (0, 10),
        variables=[f"{layer}/kernel" for layer in MANY_LAYERS],
        scalars={f"activation_dead/{layer}": [0.5] * 2 for layer in [*reversed(MANY_LAYERS), "relu"]},
    )
    write_unfrozen(path / "unfrozen")
    write_blocks(path / "blocks")
    write_blocks(path / "newer", version=2)
    write_malformed(path / "malformed")
    return path


def write_unfrozen(path):
    """A run in which a variable is added at step 10."""
    writer = EventWriter(path)
    writer.write(Snapshot(0, ("b/kernel",), COLUMNS, np.array([[0.5, 0, 0.1]], np.float32)))
    table = np.array([[0.25, 0, 0.2], [0.75, 0, 0.3]], np.float32)
    writer.write(Snapshot(10, ("a/kernel", "b/kernel"), COLUMNS, table))
    writer.close()


def write_description(path):
    """What a run was made of: a softmax over one unit, which stands first, and sigmoids."""
    mistake = gradlog.Finding("GL501", "softmax over one unit", "alarm", ("head",), 0, None, 1, 2, "It is 1.", ())
    sigmoids = tuple(Layer(name.partition("/")[0], "Dense", 10, "sigmoid", (10, 10)) for name in DEEP)
    writer = EventWriter(path)
    writer.write_text(0, "gradlog/run", Run("net", sigmoids, mistakes=(mistake.to_dict(),)).to_json())
    writer.close()


def write_malformed(path):
    """A run whose table has other bytes than its shape says."""
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_content=b"123")
    tensor.tensor_shape.dim.add(size=1)
    metadata = summary_pb2.SummaryMetadata(data_class=summary_pb2.DATA_CLASS_TENSOR)
    metadata.plugin_data.plugin_name = "gradlog"
    metadata.plugin_data.content = b'{"variables": ["a/kernel"], "statistics": ["gradient_norm"]}'
    value = summary_pb2.Summary.Value(tag="gradlog/statistics", metadata=metadata, tensor=tensor)
    event_files.write(path / "events.out.tfevents.1.name", event_files.event(3, value))


@pytest.fixture(scope="module", params=LOADERS)
def ask(request, log_dir):
    """A function that asks a route and returns (status, answer), of a server that has read everything."""
    if request.param.endswith("true"):
        pytest.importorskip("tensorboard_data_server")
    address = f"{server.start(log_dir, request.param)}data/plugin/gradlog/"

    def answer(route, **parameters):
        status, content = server.get(f"{address}data/{route}?{urllib.parse.urlencode(parameters)}")
        return status, json.loads(content)

    server.wait_for(lambda: len(answer("runs")[1]["runs"]) == 11)
    answer.address = address
    return answer


def table(ask, run, statistic="gradient_mean_abs", **parameters):
    status, answer = ask("table", run=run, statistic=statistic, **parameters)
    assert status == 200, answer
    return answer


def test_runs_are_those_with_statistics_and_have_the_colors_that_tensorboard_gives(ask):
    of_tensorboard = json.loads(server.get(ask.address.replace("plugin/gradlog/", "runs"))[1])

    runs = ask("runs")[1]["runs"]

    assert {run["run"] for run in runs} == {*of_tensorboard} - {"foreign"}
    assert all(of_tensorboard[run["color"]] == run["run"] for run in runs)
    assert {run["run"]: run["last_step"] for run in runs}["small"] == STEPS[-1]


def test_table_has_the_numbers_that_were_written(ask):
    answer = table(ask, "small")

    assert answer["variables"] == list(VARIABLES)
    assert answer["steps"] == list(STEPS)
    assert np.allclose(np.array(answer["values"], float), MEAN_ABS, rtol=1e-5)
    assert answer["nonfinite"] == [[1, 2, 7]]  # the step in the middle, the second kernel, seven elements


def test_table_of_layers_has_what_was_written_of_activations(ask):
    answer = table(ask, "deep/healthy", "activation_dead")

    assert answer["variables"] == ["layer1"]
    assert answer["values"] == [[0.25]] * 12


def test_layers_of_activations_stand_in_the_order_of_the_network(ask):
    """Whatever the order in which TensorBoard lists tags, which its fast loader makes up anew at each start."""
    assert table(ask, "many layers", "activation_dead")["variables"] == [*MANY_LAYERS, "relu"]


def test_table_of_a_statistic_that_a_run_lacks_is_empty(ask):
    assert table(ask, "small", "weight_norm")["variables"] == []
    assert table(ask, "small", "activation_dead")["variables"] == []


def test_every_table_of_a_long_run_is_kept(ask):
    answer = table(ask, "long", max_steps=2000)

    assert answer["num_steps"] == LONG
    assert answer["steps"] == list(range(LONG))


def test_a_variable_that_came_later_is_found_by_its_scalars(ask):
    answer = table(ask, "unfrozen")
    values = dict(zip(answer["variables"], np.array(answer["values"], float).T.tolist(), strict=True))

    assert answer["steps"] == [0, 10]
    assert values["b/kernel"] == [0.5, 0.75]
    assert np.isnan(values["a/kernel"][0])
    assert values["a/kernel"][1] == 0.25


def test_histogram_counts_elements_by_octave(ask):
    status, answer = ask("histograms", run="small", kind="weight", variable="layer1/kernel")

    assert status == 200
    assert answer["steps"] == list(STEPS)
    assert answer["first"] == 0  # three ones and a minus two: [1, 2) and [2, 4)
    assert answer["counts"] == [[3, 1]] * 3
    assert answer["zeros"] == [0] * 3


def test_histogram_that_was_not_logged_is_empty(ask):
    assert ask("histograms", run="sick", kind="weight", variable="layer1/kernel")[1]["steps"] == []


@pytest.mark.parametrize("run", ["sick", "deep/healthy", "small", "described", HOSTILE])
def test_findings_are_those_of_the_reader(ask, log_dir, run):
    found = [json.loads(json.dumps(each.to_dict())) for each in gradlog.diagnose(gradlog.read(log_dir / run))]
    expected = [each | {"place": each["place"] or ", ".join(each["where"]) or "whole run"} for each in found]

    answer = ask("findings", run=run)[1]["findings"]

    added = {"steps", "has_numbers", "has_page", "rank", "statistic"}
    assert [{key: value for key, value in each.items() if key not in added} for each in answer] == expected


def test_a_finding_says_what_the_page_shows_of_it(ask):
    finding = ask("findings", run="sick")[1]["findings"][0]

    added = {key: finding[key] for key in ("code", "steps", "place", "has_numbers", "has_page", "rank", "statistic")}
    assert added == {
        "code": "GL101",
        "steps": "steps 0 to 40",
        "place": "layer1, layer2",
        "has_numbers": True,
        "has_page": True,
        "rank": 0,
        "statistic": "gradient_mean_abs",
    }


def test_what_a_run_was_made_of_is_read(ask):
    first, second, *_ = ask("findings", run="described")[1]["findings"]

    assert (first["code"], first["explains"], first["has_numbers"]) == ("GL501", ["GL101"], False)
    assert (second["code"], second["cause"], second["rank"]) == ("GL101", "GL501", 0)


def test_a_rule_has_a_page(ask):
    status, content = server.get(f"{ask.address}rule?code=GL101")

    assert (status, content.decode()) == (200, page("GL101").markdown())
    assert server.get(f"{ask.address}rule?code=../setup.cfg")[0] == 404


def test_every_rule_about_layers_has_a_statistic_that_the_page_offers():
    codes = {rule.code for rule in gradlog.rules.RULES}

    assert set(metadata.STATISTIC_OF_FINDING) == codes - {"GL401", "GL402", "GL403", "GL404"}
    assert set(metadata.STATISTIC_OF_FINDING.values()) <= set(metadata.STATISTICS)


def test_the_page_is_told_what_it_can_show(ask):
    answer = ask("runs")[1]

    layers = [name for name, each in answer["statistics"].items() if each["is_of_layers"]]
    of_blocks = ["stream_rms", "stream_cosine", "stream_rank", "attention_entropy", "attention_logit"]
    assert layers == ["activation_dead", "activation_saturated", *of_blocks]
    fractions = [name for name, each in answer["statistics"].items() if each["is_fraction"]]
    of_blocks = ["stream_cosine", "stream_rank", "attention_entropy"]
    assert fractions == ["gradient_zero_fraction", *layers[:2], "epsilon_fraction", "unused_rows", *of_blocks]
    assert "second_moment_ratio" in answer["statistics"]
    assert list(answer["parts"]) == ["kernels", "biases", "all"]
    assert [each["label"] for each in answer["histograms"].values()] == ["gradients", "weights", "activations"]


def test_a_table_says_which_variables_are_kernels_and_biases(ask):
    answer = table(ask, "small")

    assert answer["parts"] == {"kernels": [0, 2], "biases": [1, 3]}
    assert answer["short_names"] == {name: name.partition("/")[0] for name in VARIABLES}
    of_layers = table(ask, "deep/healthy", "activation_dead")
    assert of_layers["parts"] == {}
    assert of_layers["short_names"]["layer4/kernel"] == "layer4"


def test_a_table_says_where_its_variables_stand_in_blocks(ask):
    tree = table(ask, "blocks")["tree"]

    assert tree["blocks"] == [{"key": f"block_{n}", "short": str(n), "title": f"block {n}"} for n in range(4)]
    assert tree["places"] == [*np.repeat(range(4), 8).tolist(), None, None]
    assert tree["inner"] == [*"abcdefgh" * 4, "head", "head/bias"]
    assert tree["is_long"]
    nothing = {"blocks": [], "places": [], "inner": [], "is_long": False}
    assert table(ask, "small")["tree"] == nothing


def test_attention_has_the_numbers_that_were_written(ask):
    for column, value in enumerate(("entropy", "logit", "sink")):
        status, answer = ask("attention", run="blocks", value=value)

        assert status == 200
        assert (answer["layers"], answer["steps"], answer["num_steps"]) == (list(ATTENDING), [0, 10], 2)
        assert answer["labels"] == ["block 1", "block 3"]
        np.testing.assert_allclose(np.array(answer["values"], float), ATTENTION[..., column], rtol=1e-5)
        assert answer["values"][0][1][2] is None
    assert list(ask("runs")[1]["attention"]) == ["entropy", "logit", "sink"]
    has_attention = {run["run"]: run["has_attention"] for run in ask("runs")[1]["runs"]}
    assert {run for run, has in has_attention.items() if has} == {"blocks", "newer"}


def test_attention_of_a_large_network_is_thinned():
    metadata = json.dumps({"version": 1, "layers": [f"a{n}" for n in range(48)], "values": ["entropy"]}).encode()
    tensors = {step: np.full((48, 64, 1), step, np.float32) for step in range(0, 300, 3)}

    answer = attention.table(metadata, tensors, BLOCKS, "entropy", 200)

    assert answer["steps"] == sorted(answer["steps"])
    assert (answer["steps"][0], answer["steps"][-1], answer["num_steps"]) == (0, 297, 100)
    assert [values[3][5] for values in answer["values"]] == answer["steps"]
    assert len(json.dumps(answer)) < 3e6


@pytest.mark.parametrize(
    "metadata", [b"", b"[]", b'{"version": 1, "layers": [1], "values": ["entropy"]}', b'{"version": 1}']
)
def test_metadata_of_attention_that_mean_nothing_are_said(metadata):
    with pytest.raises(errors.InvalidArgumentError, match="The attention cannot be read"):
        attention.table(metadata, {}, BLOCKS, "entropy", 10)


def test_tensors_that_are_not_what_their_metadata_say_are_left_out():
    metadata = b'{"version": 1, "layers": ["a", "b"], "values": ["entropy"]}'
    tensors = {0: np.zeros((3, 2, 1), np.float32), 1: np.zeros(4, np.float32), 2: np.zeros((2, 2, 1), np.int32)}

    assert attention.table(metadata, tensors, (), "entropy", 10)["steps"] == []
    assert attention.table(metadata, tensors | {3: np.ones((2, 2, 1))}, (), "entropy", 10)["values"] == [[[1, 1]] * 2]


def test_a_histogram_is_found_by_the_name_of_the_layer(ask):
    by_layer = ask("histograms", run="small", kind="weight", variable="layer1")

    assert by_layer == ask("histograms", run="small", kind="weight", variable="layer1/kernel")
    assert by_layer[1]["steps"] == list(STEPS)


def test_the_sick_run_has_a_vanishing_gradient(ask):
    assert "GL101" in [each["code"] for each in ask("findings", run="sick")[1]["findings"]]


@pytest.mark.parametrize(
    ("route", "parameters", "status", "sentence"),
    [
        ("table", {"statistic": "gradient_norm"}, 400, "Missing parameter: 'run'"),
        ("table", {"run": "small"}, 400, "Missing parameter: 'statistic'"),
        ("table", {"run": "small", "statistic": "nothing"}, 400, "Unknown statistic"),
        ("table", {"run": "small", "statistic": "gradient_norm", "max_steps": "-1"}, 400, "from 1 to 2000"),
        ("table", {"run": "small", "statistic": "gradient_norm", "max_steps": "1e3"}, 400, "from 1 to 2000"),
        ("table", {"run": "small", "statistic": "gradient_norm", "max_steps": "9" * 5000}, 400, "from 1 to 2000"),
        ("table", {"run": "small", "statistic": "gradient_norm", "max_steps": "0000012345"}, 400, "from 1 to 2000"),
        ("table", {"run": "../small", "statistic": "gradient_norm"}, 404, "No run"),
        ("table", {"run": "foreign", "statistic": "gradient_norm"}, 404, "No run"),
        ("attention", {"run": "blocks"}, 400, "Missing parameter: 'value'"),
        ("attention", {"run": "blocks", "value": "nothing"}, 400, "Unknown value of attention"),
        ("attention", {"run": "small", "value": "entropy"}, 404, "attention of run 'small' was not logged"),
        ("attention", {"run": "newer", "value": "entropy"}, 400, "it is of format 2, this gradlog reads 1"),
        ("histograms", {"run": "small", "kind": "nothing", "variable": "a"}, 400, "Unknown kind of histogram"),
        ("findings", {"run": ""}, 404, "No run"),
        ("table", {"run": "malformed", "statistic": "gradient_norm"}, 400, "run 'malformed' cannot be read"),
    ],
)
def test_senseless_parameters_are_answered_with_a_sentence(ask, route, parameters, status, sentence):
    code, answer = ask(route, **parameters)

    assert code == status
    assert sentence in answer["error"]


def test_files_are_served_by_name_and_nothing_else_is(ask):
    with urllib.request.urlopen(f"{ask.address}index.js") as response:
        assert response.headers["Content-Type"].startswith("text/javascript")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    for path in ("nothing.js", "../plugin.py", "%2e%2e/plugin.py", "vendor/README.md"):
        assert server.get(f"{ask.address}{path}")[0] == 404


def test_the_number_of_samples_is_raised_unless_the_user_says_one():
    def fixed(samples):
        flags = type("Flags", (), {"samples_per_plugin": samples})()
        GradientsLoader().fix_flags(flags)
        return flags.samples_per_plugin

    assert fixed({}) == {"gradlog": 1000}
    assert fixed({"scalars": 5}) == {"gradlog": 1000, "scalars": 5}
    assert fixed({"gradlog": 7}) == {"gradlog": 7}


def test_a_thinned_table_keeps_the_ends_and_what_stands_out():
    random = np.random.default_rng(0)
    values = np.exp(random.normal(size=(3000, 20)) * 0.1)
    values[1234, 7], values[2345, 3] = 1e6, 1e-6
    counts = np.zeros_like(values)
    counts[777, 5] = 2
    history = history_of(values, counts)

    answer = data.table(history, "gradient_mean_abs", 100)

    assert len(answer["steps"]) <= 100
    assert {0, 777, 1234, 2345, 2999} <= set(answer["steps"])
    assert answer["num_steps"] == 3000
    assert answer["nonfinite"] == [[answer["steps"].index(777), 5, 2]]


def test_one_response_stays_below_three_megabytes():
    values = np.random.default_rng(0).lognormal(size=(400, 4000)) * 1e-20
    answer = data.table(history_of(values, np.full(values.shape, 1e6)), "gradient_mean_abs", 2000)

    assert len(json.dumps(answer, separators=(",", ":"))) < 3e6


def test_a_long_run_without_the_statistic_is_empty():
    history = history_of(np.ones((700, 3)), np.zeros((700, 3)))

    answer = data.table(history, "weight_norm", 400)

    assert (answer["variables"], len(answer["steps"]), answer["num_steps"]) == ([], 400, 700)


def test_infinite_statistics_are_marked_and_missing_ones_are_none():
    history = history_of(np.array([[np.inf, np.nan, 1.0]]), np.zeros((1, 3)))

    answer = data.table(history, "gradient_mean_abs", 10)

    assert answer["values"] == [[None, None, 1.0]]
    assert answer["nonfinite"] == [[0, 0, 0]]


def test_a_nan_is_marked_where_gradient_or_weights_are_ill_and_not_where_nothing_was_measured():
    # columns: non-finite elements, weight norm, update ratio
    ill_gradient, ill_weights, not_measured, missing = [3, 2, np.nan], [0, np.nan, np.nan], [0, 2, np.nan], [np.nan] * 3
    table = np.array([[ill_gradient, ill_weights, not_measured, missing]], np.float32)
    variables, columns = tuple("abcd"), ("gradient_nonfinite", "weight_norm", "update_ratio")
    history = History(variables, columns, np.array([0]), table)

    assert data.table(history, "update_ratio", 10)["nonfinite"] == [[0, 0, 0], [0, 1, 0]]
    assert data.table(history, "weight_norm", 10)["nonfinite"] == [[0, 1, 0]]


def test_the_page_makes_no_markup_of_text_and_asks_nobody_else():
    modules = list((Path(gradlog.__file__).parent / "tensorboard" / "static").glob("*.js"))
    forbidden = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|eval\(|new Function|https?://")

    for path in modules:
        assert not forbidden.search(path.read_text()), path.name
    assert len(modules) > 10


def test_the_page_knows_no_names_of_its_own():
    """Codes, statistics, and which variables are kernels or biases come from Python."""
    modules = list((Path(gradlog.__file__).parent / "tensorboard" / "static").glob("*.js"))
    names = re.compile(r"kernel|bias|GL\d|gradient_|activation_|weight_norm|update_ratio|'(alarm|weight|activation)'")

    found = {path.name: names.findall(path.read_text()) for path in modules if names.search(path.read_text())}
    assert found == {}


def history_of(values, counts):
    statistics = np.stack([values, counts], axis=2).astype(np.float32)
    variables = tuple(f"layer{number}/kernel" for number in range(values.shape[1]))
    return History(variables, ("gradient_mean_abs", "gradient_nonfinite"), np.arange(len(values)), statistics)


def test_histogram_by_octave_of_rows_by_hand():
    rows = np.array([[-5.0, -4.0, 2], [-1e-38, 1e-38, 9], [0.25, 0.3125, 1], [0.4375, 0.5, 4]])

    answer = data.histograms(Series(np.array([3]), [rows]), 10)

    assert answer["first"] == -2  # [1/4, 1/2)
    assert answer["counts"] == [[5, 0, 0, 0, 2]]
    assert answer["zeros"] == [9]


def test_the_demo_writes_runs_that_have_what_they_are_called(tmp_path, capsys):
    assert demo.main([str(tmp_path)]) == 0
    found = {name: {each.code for each in gradlog.diagnose(run)} for name, run in gradlog.read(tmp_path).items()}

    assert found["healthy"] == set()
    assert "GL101" in found["vanishing"]
    assert {"GL102", "GL103"} <= found["exploding"]
    assert found["dead"] == {"GL201"}
    assert demo.main([str(tmp_path)]) == 2
    assert "choose another directory" in capsys.readouterr().err


def test_a_run_of_which_tensorboard_has_read_half_is_waited_for(tmp_path):
    """TensorBoard's own reader knows a tag before it has a value of it; asked meanwhile, it raises."""
    write_run(tmp_path / "run")
    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRun(str(tmp_path / "run"), "run")
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(tmp_path))
    tensors = multiplexer.GetAccumulator("run").tensors_by_tag
    values = tensors.pop("gradlog/statistics")
    with pytest.raises(KeyError):
        provider.list_tensors(context.RequestContext(), experiment_id="", plugin_name=metadata.PLUGIN_NAME)

    threading.Timer(0.1, tensors.__setitem__, ("gradlog/statistics", values)).start()
    listed = Runs(provider).list(context.RequestContext(), "")
    assert [(run["run"], run["last_step"]) for run in listed] == [("run", STEPS[-1])]
