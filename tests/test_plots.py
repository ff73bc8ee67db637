"""Plots: what the artists of a figure hold is what was logged."""

import json

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from small_logs import MEAN_ABS, STEPS, write_run, write_scalars

import gradlog
from gradlog.commands import cli, layers, panels, plot

KERNELS = MEAN_ABS[:, [0, 2]]


def figure(log_dir):
    runs = gradlog.read(log_dir)
    return plot.figure(runs if isinstance(runs, dict) else {"run": runs})


def axes_of(picture):
    """The axes of the gradient by depth, and rows of those below, without the colour bar's."""
    above, *below = picture.axes
    below = [axis for axis in below if axis.get_label() != "<colorbar>"]
    columns = len({round(axis.get_subplotspec().colspan.start, 3) for axis in below})
    return above, [below[start : start + columns] for start in range(0, len(below), columns)]


def test_gradient_by_depth_is_the_first_step_and_the_mean_of_the_run(tmp_path):
    write_run(tmp_path / "a", MEAN_ABS[:2], STEPS[:2])
    write_run(tmp_path / "b", MEAN_ABS[1:2], STEPS[:1])

    above, _ = axes_of(figure(tmp_path))

    lines = above.get_lines()
    expected = [KERNELS[0], KERNELS[:2].mean(0), KERNELS[1], KERNELS[1]]
    for line, values in zip(lines, expected, strict=True):
        np.testing.assert_allclose(line.get_ydata(), values, rtol=1e-6)
        assert line.get_xdata().tolist() == [0, 1]
    assert [line.get_linestyle() for line in lines] == ["-", "--", "-", "--"]
    assert lines[0].get_color() == lines[1].get_color() != lines[2].get_color()
    assert [text.get_text() for text in above.get_legend().get_texts()] == ["a", "b"]
    assert [text.get_text() for text in above.get_xticklabels()] == ["layer1", "layer2"]
    assert above.get_yscale() == "log"


def test_a_mean_is_over_the_steps_with_a_finite_gradient():
    values = np.array([[1, np.nan, np.nan], [3, 5, np.nan], [np.inf, 7, np.nan]])

    np.testing.assert_array_equal(panels.mean_over_steps(values), [2, 6, np.nan])


def test_zero_and_nonfinite_have_marks_where_a_logarithm_has_no_place(tmp_path):
    write_run(tmp_path, [[0, 1, 1e-3, 1]], [0], nonfinite=[[0, 0, 2, 0]])

    above, _ = axes_of(figure(tmp_path))

    marks = {line.get_marker(): line.get_xdata().tolist() for line in above.get_lines() if line.get_marker() != "o"}
    assert marks == {"v": [0], "X": [1]}
    assert above.get_title("left").endswith(", zero (triangle), non-finite (cross)")


def test_runs_of_unlike_depth_stand_between_their_first_and_last_layer(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", np.ones((1, 3)), [0], variables=["x/kernel", "y/kernel", "z/kernel"])

    above, _ = axes_of(figure(tmp_path))

    assert [line.get_xdata().tolist() for line in above.get_lines() if line.get_linestyle() == "-"] == [
        [0, 1],
        [0, 0.5, 1],
    ]
    assert [text.get_text() for text in above.get_xticklabels()] == ["first layer", "last layer"]


def test_layers_of_other_names_are_numbered(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", np.ones((1, 2)), [0], variables=["x/kernel", "y/kernel"])

    above, _ = axes_of(figure(tmp_path))

    assert [text.get_text() for text in above.get_xticklabels()] == ["1", "2"]


def test_heat_maps_share_one_logarithmic_scale(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", MEAN_ABS[1:] * 10, STEPS[1:])

    _, rows = axes_of(figure(tmp_path))

    first, second = rows[0][0].collections[0], rows[1][0].collections[0]
    np.testing.assert_allclose(first.get_array().filled(0).reshape(2, 3), KERNELS.T, rtol=1e-6)
    np.testing.assert_allclose(second.get_array().filled(0).reshape(2, 2), 10 * KERNELS[1:].T, rtol=1e-6)
    assert first.norm is second.norm
    assert (first.norm.vmin, first.norm.vmax) == pytest.approx((1e-6, 0.5))
    assert [row[0].get_title("left") for row in rows] == ["a", "b"]


def test_cells_lie_around_their_steps(tmp_path):
    write_run(tmp_path, np.ones((3, 4)), [0, 10, 30])

    _, rows = axes_of(figure(tmp_path))

    heat_map = rows[0][0]
    assert heat_map.collections[0].get_coordinates()[0, :, 0].tolist() == [-5, 5, 20, 40]
    assert heat_map.get_ylim() == (1.5, -0.5)  # the first layer is on top
    assert [text.get_text() for text in heat_map.get_yticklabels()] == ["layer1", "layer2"]
    assert min(heat_map.get_xticks()) == 0
    assert max(heat_map.get_xticks()) <= 30


def test_zero_is_grey_nonfinite_red_and_no_gradient_white(tmp_path):
    values = [[0, 1, 1e-3, 1], [1e-3, 1, np.nan, 1], [np.nan, 1, 1e-3, 1]]
    write_run(tmp_path, values, nonfinite=[[0, 0, 0, 0], [0, 0, 9, 0], [0, 0, 3, 0]])

    _, rows = axes_of(figure(tmp_path))

    colored, zero, nonfinite = ((~mesh.get_array().mask).reshape(2, 3) for mesh in rows[0][0].collections)
    assert colored.tolist() == [[False, True, False], [True, False, False]]
    assert zero.tolist() == [[True, False, False], [False, False, False]]
    assert nonfinite.tolist() == [[False, False, False], [False, True, True]]
    colors = [mesh.cmap(0.5) for mesh in rows[0][0].collections[1:]]
    assert colors == [to_rgba(panels.ZERO), to_rgba(panels.NONFINITE)]


def test_where_all_is_zero_there_is_no_scale(tmp_path):
    write_run(tmp_path, np.zeros((2, 4)), [0, 1])

    picture = figure(tmp_path)

    assert not [axis for axis in picture.axes if axis.get_label() == "<colorbar>"]
    picture.savefig(tmp_path / "a.png")


def test_update_ratios_have_a_line_a_layer_and_the_guide(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", MEAN_ABS[:1], [0])

    _, rows = axes_of(figure(tmp_path))

    *lines, guide = rows[0][1].get_lines()
    ratios = np.linspace(1e-4, 1e-2, 4)[[0, 2]]
    for line, ratio in zip(lines, ratios, strict=True):
        assert line.get_xdata().tolist() == list(STEPS)
        np.testing.assert_allclose(line.get_ydata(), [ratio] * 3, rtol=1e-6)
    assert set(guide.get_ydata()) == {1e-3}
    assert rows[0][1].get_ylim() == rows[1][1].get_ylim()


def test_activations_have_a_panel_where_they_were_logged(tmp_path):
    dead, saturated = [0.0, 0.25, 0.5], [1.0, 0.5, 0.0]
    write_run(tmp_path / "a", scalars={"activation_dead/layer1": dead, "activation_saturated/layer2": saturated})
    write_run(tmp_path / "b")

    _, rows = axes_of(figure(tmp_path))

    lines = [(line.get_ydata().tolist(), line.get_linestyle()) for line in rows[0][2].get_lines()]
    assert lines == [(dead, "-"), (saturated, "--")]
    assert not rows[1][2].get_visible()


def test_without_kernels_all_variables_are_layers(tmp_path):
    write_run(tmp_path, variables=["a/gamma", "a/beta", "b/gamma", "b/beta"])

    above, _ = axes_of(figure(tmp_path))

    np.testing.assert_allclose(above.get_lines()[0].get_ydata(), MEAN_ABS[0], rtol=1e-6)


def test_very_deep_networks_have_some_of_their_names(tmp_path):
    names = [f"block{number}/kernel" for number in range(150)]
    write_run(tmp_path, np.full((2, 150), 1e-3), [0, 1], variables=names)

    above, rows = axes_of(figure(tmp_path))

    for texts in (above.get_xticklabels(), rows[0][0].get_yticklabels()):
        labels = [text.get_text() for text in texts]
        assert len(labels) <= 16
        assert (labels[0], labels[-1]) == ("block0", "block149")


@pytest.mark.parametrize("number", [1, 2, 16, 17, 30, 31, 150])
def test_names_that_are_shown_are_evenly_spread(number):
    places = panels._some(number, 16)

    assert (places[0], places[-1]) == (0, number - 1)
    assert len(places) <= 16
    gaps = np.diff(places)
    assert len(gaps) == 0 or gaps.min() > gaps.max() / 2 - 1
    assert number > 16 or len(places) == number


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("PDF", b"%PDF")])
def test_the_ending_says_the_format(tmp_path, capsys, ending, magic):
    write_run(tmp_path / "logs")
    path = tmp_path / f"a.{ending}"

    assert cli.main(["plot", str(tmp_path / "logs"), "-o", str(path)]) == 0

    assert path.read_bytes().startswith(magic)
    assert capsys.readouterr() == (f"Wrote {path}\n", "")


def test_of_many_runs_the_first_eight_are_drawn_and_it_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(plot, "_DOTS_PER_INCH", 20)
    for number in range(10):
        write_run(tmp_path / "logs" / f"run{number}", MEAN_ABS[:1], [0])
    write_scalars(tmp_path / "logs" / "foreign", {"loss": 1.0})

    assert cli.main(["plot", str(tmp_path / "logs"), "-o", str(tmp_path / "a.png"), "--json"]) == 0

    out, err = capsys.readouterr()
    receipt = json.loads(out)
    assert receipt["runs"] == [f"run{number}" for number in range(8)]
    assert receipt["left_out"] == ["foreign", "run8", "run9"]
    assert err.splitlines() == [
        "note: not drawn, since they have no gradients: foreign",
        "note: drawing only the first 8 of 10 runs; choose others with --runs REGEX",
    ]


def test_filters_choose_what_is_drawn(tmp_path, monkeypatch):
    write_run(tmp_path / "logs")
    seen = []
    monkeypatch.setattr(plot, "save", lambda runs, path: seen.append(runs) or {"file": path})

    cli.main(["plot", str(tmp_path / "logs"), "-o", str(tmp_path / "a.png"), "--variables", "layer2", "--steps", ":10"])

    assert [(run.variables, run.steps.tolist()) for run in seen[0].values()] == [
        (("layer2/kernel", "layer2/bias"), [0, 10])
    ]


def test_without_matplotlib_the_error_says_how_to_install_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)

    assert cli.main(["plot", str(tmp_path), "-o", str(tmp_path / "a.png")]) == 2
    message = "error: matplotlib is not installed; install it in a checkout with: pip install -e '.[plot]'\n"
    assert capsys.readouterr() == ("", message)


def test_a_full_disk_is_said_in_one_line(tmp_path, capsys, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    write_run(tmp_path / "logs", MEAN_ABS[:1], [0])
    monkeypatch.setattr(plot.Path, "write_bytes", fail)

    assert cli.main(["plot", str(tmp_path / "logs"), "-o", "a.png"]) == 2
    assert capsys.readouterr() == ("", "error: cannot write 'a.png': No space left on device\n")


def test_without_gradients_there_is_nothing_to_draw(tmp_path, capsys):
    write_scalars(tmp_path / "logs", {"loss": 1.0})

    assert cli.main(["plot", str(tmp_path / "logs"), "-o", str(tmp_path / "a.png")]) == 2
    assert capsys.readouterr().err == "error: nothing to draw, since no run has gradients: logs\n"
    assert not (tmp_path / "a.png").exists()


def test_a_network_of_many_blocks_is_drawn_block_by_block_unless_all_layers_are_wanted(tmp_path):
    variables = [f"block_{number}/{layer}/kernel" for number in range(4) for layer in "abcdefgh"]
    levels = np.random.default_rng(0).lognormal(size=(3, 32))
    write_run(tmp_path / "run", levels, STEPS, variables=variables)
    run = gradlog.read(tmp_path / "run")

    folded = layers.folded(run)

    assert layers.is_long(run)
    np.testing.assert_allclose(panels.mean_abs(folded), levels.reshape(3, 4, 8).max(2), rtol=1e-6)
    assert [layers.label(folded, name, 30) for name in folded.variables] == [f"block {n}" for n in range(4)]
    above, rows = axes_of(plot.figure({"run": folded}))
    assert [text.get_text() for text in above.get_xticklabels()] == [f"block {n}" for n in range(4)]
    _, rows = axes_of(plot.figure({"run": run}))
    assert [text.get_text() for text in rows[0][0].get_yticklabels()][:2] == ["0 · a", "0 · d"]


def test_the_command_folds_blocks_and_draws_every_layer_if_asked(tmp_path, monkeypatch):
    variables = [f"block_{number}/{layer}/kernel" for number in range(4) for layer in "abcdefgh"]
    write_run(tmp_path / "run", np.ones((3, 32)), STEPS, variables=variables)
    drawn = []
    monkeypatch.setattr(plot, "figure", lambda runs, figure=plot.figure: drawn.append(runs) or figure(runs))

    for arguments in ([], ["--layers"]):
        assert cli.main(["plot", str(tmp_path), "-o", str(tmp_path / "picture.png"), *arguments]) == 0

    assert [len(runs["run"].variables) for runs in drawn] == [4, 32]


def test_a_block_without_a_number_at_a_step_is_missing_and_one_number_is_enough(tmp_path):
    variables = [f"block_{number}/{layer}/kernel" for number in range(2) for layer in "ab"]
    write_run(tmp_path / "run", [[np.nan, np.nan, np.nan, 2.0]], [0], variables=variables)

    folded = panels.mean_abs(layers.folded(gradlog.read(tmp_path / "run")))

    np.testing.assert_array_equal(folded, [[np.nan, 2.0]])
