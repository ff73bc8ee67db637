"""Logs that gradlog did not write, by gradlog's names."""

import math

import event_files
import numpy as np
import pytest
from event_files import histogram, number
from marks import OF_TENSORFLOW
from test_reader import write

import gradlog
from gradlog.commands import cli

TAGS = {
    "gradient_norm": "grads/{variable}",
    "gradient": "gradients/{variable}",
    "weight": "weights/{variable}",
    "train/loss": "Loss/train",
}


def test_scalars_in_the_old_form_fill_the_columns(tmp_path):
    """As PyTorch writes them: an event a scalar, several at one step."""
    events = [
        event_files.event(step, number(tag, value + step))
        for step in (0, 10, 20)
        for tag, value in (("Loss/train", 0.5), ("grads/fc1.weight", 1.0), ("grads/fc1.bias", 2.0), ("other", 3.0))
    ]
    event_files.write(tmp_path / "events.out.tfevents.1", *events)

    run = gradlog.read(tmp_path, TAGS)

    assert (run.variables, run.columns) == (("fc1.weight", "fc1.bias"), ("gradient_norm",))
    assert run.steps.tolist() == [0, 10, 20]
    assert run.statistics[:, :, 0].tolist() == [[1, 2], [11, 12], [21, 22]]
    assert list(run.scalars) == ["train/loss", "gradient_norm/fc1.weight", "gradient_norm/fc1.bias", "other"]
    assert run.scalars["train/loss"].values.tolist() == [0.5, 10.5, 20.5]
    assert run.notes == (
        "No histogram is named like 'gradients/{variable}' (gradient). There are: none.",
        "No histogram is named like 'weights/{variable}' (weight). There are: none.",
    )


def test_a_histogram_in_the_old_form_ends_at_the_smallest_and_the_largest_number(tmp_path):
    """Its outermost edges are at the largest float64, and empty buckets beyond are left out, as TensorBoard does it."""
    largest = np.finfo(np.float64).max
    old = histogram("gradients/a", -0.5, 3.0, [-1, 0, 1, 2, largest], [0, 2, 0, 1, 3])
    event_files.write(tmp_path / "events.out.tfevents.1", event_files.event(4, old))

    series = gradlog.read(tmp_path).histograms["gradients/a"]

    assert series.steps.tolist() == [4]
    assert series.values[0].tolist() == [[-0.5, 0, 2], [0, 1, 0], [1, 2, 1], [2, 3, 3]]


def test_statistics_are_estimated_from_buckets_where_no_scalar_says_them(tmp_path):
    events = [
        event_files.event(
            step,
            histogram("gradients/a", 0, 4, [0, 2, 4], [6, 1, 3]),  # six zeros, one about 1, three about 3
            histogram("gradients/b", -3, 3, [3], [5]),  # evenly from -3 to 3
            histogram("weights/a", 1, 3, [3], [4]),  # four about 2
            number("grads/a", 7.0),
        )
        for step in (0, 1)
    ]
    event_files.write(tmp_path / "events.out.tfevents.1", *events)

    run = gradlog.read(tmp_path, TAGS)

    assert run.variables == ("a", "b")
    expected = {
        "gradient_norm": [7.0, math.sqrt(5 * 3.0)],  # the mean of x**2 from -3 to 3 is 3
        "gradient_mean_abs": [(1 * 1 + 3 * 3) / 10, 1.5],
        "gradient_zero_fraction": [0.6, np.nan],
        "weight_norm": [4.0, np.nan],
    }
    assert set(run.columns) == set(expected)
    for column, values in expected.items():
        np.testing.assert_allclose(run.statistic(column), [values, values], rtol=1e-6)
    assert list(run.histograms) == ["gradient/a", "gradient/b", "weight/a"]
    (note,) = (note for note in run.notes if "stimated" in note)
    assert all(name in note for name in ("gradient_norm", "gradient_mean_abs", "gradient_zero_fraction", "weight_norm"))


@OF_TENSORFLOW
def test_an_estimate_from_tensorflows_histogram_is_near_the_statistic(tmp_path):
    import tensorflow as tf

    gradient = np.random.default_rng(0).normal(0, 0.1, 10_000)
    with tf.summary.create_file_writer(str(tmp_path)).as_default(step=3):
        tf.summary.histogram("gradients/a", gradient, buckets=100)
        tf.summary.scalar("Loss/train", 0.25)

    run = gradlog.read(tmp_path, TAGS)

    assert run.steps.tolist() == [3]
    assert run.statistic("gradient_norm", "a")[0] == pytest.approx(np.linalg.norm(gradient), rel=0.01)
    assert run.statistic("gradient_mean_abs", "a")[0] == pytest.approx(np.abs(gradient).mean(), rel=0.01)
    assert run.scalars["train/loss"].values.tolist() == [0.25]


def test_what_gradlog_wrote_itself_stays_and_is_added_to(tmp_path):
    write(tmp_path, [0, 1])
    before, run = gradlog.read(tmp_path), gradlog.read(tmp_path, {"loss_again": "train/{variable}"})

    assert (run.variables, run.columns) == ((*before.variables, "loss"), (*before.columns, "loss_again"))
    np.testing.assert_array_equal(run.statistics[:, :2, :2], before.statistics)
    assert run.statistic("loss_again", "loss").tolist() == [1.5, 2.5]


def test_the_norm_of_all_gradients_is_no_variable(tmp_path):
    values = [number("grads/a", 1.0), number("grads/global", 2.0)]
    event_files.write(tmp_path / "events.out.tfevents.1", event_files.event(0, *values))

    run = gradlog.read(tmp_path, {"gradient_norm": "grads/{variable}"})

    assert run.variables == ("a",)
    assert run.scalars["gradient_norm/global"].values.tolist() == [2.0]


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"gradient_norm": "grads"}, r"where the variable stands. Expected {variable} in it.*Received: .*'grads'"),
        ({"gradient_norm": "grads/{layer}"}, r"no other braces.*Received: .*{layer}"),
        ({"gradient_norm": "{variable}/{variable}"}, r"{variable} once.*Received: .*{variable}/{variable}"),
        ({"train/loss": "loss/{variable}"}, r"one of many tags. Expected the tag of one scalar.*Received: .*loss"),
        ({"gradient_norm": ""}, r"is empty. Expected both.*Received: .*''"),
    ],
)
def test_a_pattern_that_means_nothing_is_refused(tmp_path, tags, message):
    with pytest.raises(ValueError, match=message):
        gradlog.read(tmp_path, tags)


@pytest.mark.parametrize("tags", [["grads/{variable}"], {"gradient_norm": 3}])
def test_tags_that_are_no_dictionary_of_strings_are_refused(tmp_path, tags):
    with pytest.raises(TypeError, match=r"Expected a dictionary.*Received: tags="):
        gradlog.read(tmp_path, tags)


def test_what_pytorch_writes_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    from torch.utils.tensorboard import SummaryWriter

    gradient = torch.arange(-50, 51) / 100
    with SummaryWriter(str(tmp_path)) as writer:
        for step in (0, 5):
            writer.add_scalar("Loss/train", 1.0 / (step + 1), step)
            writer.add_histogram("gradients/a", gradient, step)

    run = gradlog.read(tmp_path, TAGS)

    assert run.scalars["train/loss"].values.tolist() == np.float32([1, 1 / 6]).tolist()
    assert [rows[:, 2].sum() for rows in run.histograms["gradient/a"].values] == [101, 101]
    norm = np.linalg.norm(gradient.numpy())
    np.testing.assert_allclose(run.statistic("gradient_norm", "a"), [norm, norm], rtol=0.05)


def vanishing_network(log_dir):
    """Writes what somebody might log of a deep network in PyTorch: the loss, and a mean of |g| of each parameter."""
    events = []
    for step in range(0, 200, 10):
        values = {f"mean/net.{layer}.weight": 8.0 ** (layer - 6) for layer in range(6)}
        values |= {f"mean/net.{layer}.bias": 8.0 ** (layer - 5) for layer in range(6)}
        events += [event_files.event(step, number(tag, value)) for tag, value in {**values, "Loss": 2.3}.items()]
    event_files.write(log_dir / "events.out.tfevents.1", *events)


def test_a_foreign_run_can_be_diagnosed(tmp_path, capsys):
    vanishing_network(tmp_path)
    tags = {"gradient_mean_abs": "mean/{variable}", "train/loss": "Loss"}

    findings = gradlog.diagnose(gradlog.read(tmp_path, tags=tags))

    assert [(finding.code, finding.where) for finding in findings] == [
        ("GL101", ("net.0", "net.1", "net.2")),
        ("GL401", ()),
    ]
    options = [f"--tag={name}={pattern}" for name, pattern in tags.items()]
    assert cli.main(["diagnose", str(tmp_path), *options]) == 1
    assert "GL101 alarm · vanishing gradient · net.0, net.1, net.2 · since step 0" in capsys.readouterr().out


def test_without_its_tags_a_foreign_run_is_named_as_such(tmp_path, capsys):
    vanishing_network(tmp_path)

    assert cli.main(["diagnose", str(tmp_path)]) == 2

    assert "no run has gradlog's statistics" in capsys.readouterr().err


@pytest.mark.parametrize("tag", ["no equals sign", "gradient_norm=a/{b}", "gradient_norm=no placeholder"])
def test_a_pattern_with_a_mistake_is_one_line_on_the_command_line(tmp_path, tag, capsys):
    vanishing_network(tmp_path)

    try:
        code = cli.main(["diagnose", str(tmp_path), "--tag", tag])
    except SystemExit as stopped:
        code = stopped.code

    printed = capsys.readouterr()
    assert code == 2
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
