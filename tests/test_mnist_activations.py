"""The MNIST experiment: the phenomenon on genuine digits, the files it leaves, and its command line."""

import dataclasses
import json

import keras
import networks
import numpy as np
import pytest

import gradlog
from experiments import data, mnist_activations, runs
from gradlog.backends.engine import engine

pytestmark = pytest.mark.usefixtures("without_graph_optimizer", "variables_first")

SECONDS = mnist_activations.Config(steps=5, every=2, data="embedded")
KERNELS = [f"layer{number}/kernel" for number in range(1, 7)]


@pytest.fixture(scope="module")
def digits():
    return data.load_mnist("embedded")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, digits):
    log_dir = tmp_path_factory.mktemp("mnist")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist_activations, "build_model", networks.run_eagerly(mnist_activations.build_model))
        return log_dir, mnist_activations.run(SECONDS, log_dir, digits)


def test_the_gradient_vanishes_with_sigmoid_alone(finished):
    """At step 0, last over first kernel: above 300 with sigmoid, below 30 with ReLU and leaky ReLU."""
    _, results = finished
    ratios = {row["scenario"]: row["ratio_at_start"] for row in results["scenarios"]}

    assert list(ratios) == ["sigmoid", "relu", "leaky_relu"]
    assert ratios["sigmoid"] > 300
    assert ratios["relu"] < 30
    assert ratios["leaky_relu"] < 30


def test_every_scenario_is_logged_whole(finished):
    log_dir, _ = finished
    for scenario in SECONDS.scenarios:
        history = gradlog.read(log_dir / scenario)
        assert history.steps.tolist() == [0, 2, 4]
        assert history.kernels() == KERNELS
        for variable in history.variables:
            for kind in ("gradient", "weight"):
                assert history.histograms[f"{kind}/{variable}"].steps.tolist() == [0, 2, 4]
        for tag in ("train/loss", "train/accuracy"):
            assert history.scalars[tag].steps.tolist() == [0, 2, 4]
        assert history.scalars["test/accuracy"].steps.tolist() == [5]
        assert "not the whole of MNIST" in history.texts["experiment"].values[0]


def test_the_weights_are_those_of_the_initializer(finished):
    """At step 0 the first kernel is Glorot's uniform distribution, up to sqrt(6 / (784 + 10)); not the gradient."""
    history = gradlog.read(finished[0] / "relu")
    limit = np.sqrt(6 / 794)

    rows = history.histograms["weight/layer1/kernel"].values[0]

    assert rows[:, 2].sum() == 7840
    assert rows[0, 0] < -0.98 * limit < rows[0, 1]
    assert rows[-1, 0] < 0.98 * limit < rows[-1, 1]


def test_results_are_read_back_from_the_log(finished):
    log_dir, results = finished
    written = json.loads((log_dir / "results.json").read_text())

    assert written["scenarios"] == results["scenarios"]
    assert written["notice"] == results["notice"]
    for row in results["scenarios"]:
        history = gradlog.read(log_dir / row["scenario"])
        first, last = (history.statistic("gradient_mean_abs", k) for k in (KERNELS[0], KERNELS[-1]))
        assert row["first_kernel_at_start"] == pytest.approx(first[0])
        assert row["ratio_at_start"] == pytest.approx(last[0] / first[0], rel=1e-5)
        assert row["ratio_over_run"] == pytest.approx(last.mean() / first.mean(), rel=1e-5)
        assert row["test_accuracy"] == pytest.approx(history.scalars["test/accuracy"].values[-1])


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(tmp_path, digits, monkeypatch):
    monkeypatch.setattr(mnist_activations, "build_model", networks.run_eagerly(mnist_activations.build_model))
    config = mnist_activations.Config(layers=3, scenarios=("relu",), steps=3, every=2, seed=3)
    one, same = (mnist_activations.run(config, tmp_path / name, digits)["scenarios"] for name in "ab")
    other = mnist_activations.run(dataclasses.replace(config, seed=4), tmp_path / "c", digits)["scenarios"]

    assert one == same
    assert one != other


def command(tmp_path, *arguments):
    return mnist_activations.main(
        ["--logdir", str(tmp_path / "logs"), "--data", "embedded", "--steps", "3", "--every", "2", *arguments]
    )


def test_the_command_prints_the_table_and_leaves_the_files(tmp_path, capsys, recwarn):
    assert command(tmp_path, "--scenarios", "tanh", "--layers", "4", "--units", "7") == 0

    printed = capsys.readouterr().out
    assert [str(warning.message) for warning in recwarn if "earlier run" in str(warning.message)] == []
    assert "tanh" in printed
    assert "not the whole of MNIST" in printed
    (version,) = engine().version().values()
    name = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}[keras.backend.backend()]
    assert f"· on {name} {version}" in " ".join(printed.split())  # in the table's title
    assert json.loads((tmp_path / "logs" / "results.json").read_text())["engine"] == keras.backend.backend()
    assert f"tensorboard --logdir {tmp_path / 'logs'}" in printed.replace("\n", "")
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {"tanh", "results.json", "mnist_activations.png"}
    assert gradlog.read(tmp_path / "logs" / "tanh").kernels() == KERNELS[:3]


def test_a_second_run_mixes_nothing_and_deletes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(mnist_activations, "build_model", networks.run_eagerly(mnist_activations.build_model))
    command(tmp_path, "--scenarios", "relu", "--layers", "2")
    before = {path: path.read_bytes() for path in (tmp_path / "logs").rglob("*") if path.is_file()}

    command(tmp_path, "--scenarios", "relu", "--layers", "2")

    assert {path: path.read_bytes() for path in before} == before
    assert list(gradlog.read(tmp_path / "logs-2")) == ["relu"]
    assert "holds runs already, which are kept" in capsys.readouterr().out
    assert runs.fresh_log_dir(tmp_path / "logs") == tmp_path / "logs-3"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--every", "0"], "argument --every: 0 is too small, expected 1 or more"),
        (["--layers", "1"], "argument --layers: 1 is too small, expected 2 or more"),
        (["--steps", "many"], "argument --steps: invalid integer value: 'many'"),
        (["--scenarios", "step_function"], "Keras knows no activation named 'step_function'"),
        (["--initializer", "magic"], "Keras knows no initializer named 'magic'"),
        (["--data", "cifar"], "invalid choice: 'cifar'"),
    ],
)
def test_bad_options_are_one_clear_line(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        command(tmp_path, *arguments)

    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "logs").exists()


def test_what_cannot_be_done_is_one_clear_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **kwargs: (_ for _ in ()).throw(OSError))
    assert mnist_activations.main(["--data", "tfds", "--data-dir", str(tmp_path), "--logdir", str(tmp_path / "l")]) == 2
    assert capsys.readouterr().err.startswith("error: MNIST ")

    (tmp_path / "file").write_text("")
    options = ["--data", "embedded", "--logdir", str(tmp_path / "file")]
    assert mnist_activations.main([*options, "--steps", "1", "--scenarios", "relu"]) == 2
    assert "error: The log directory cannot be written" in capsys.readouterr().err


def test_help_shows_defaults_and_examples(capsys):
    with pytest.raises(SystemExit):
        mnist_activations.main(["--help"])

    shown = " ".join(capsys.readouterr().out.split())
    for text in ("(default: 2500)", "(default: 30)", "(default: glorot_uniform)", "--scenarios tanh gelu"):
        assert text in shown
