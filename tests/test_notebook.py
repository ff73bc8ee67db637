"""What a notebook shows: figures, tables and findings, and the example from its first cell to its last."""

import os
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import gradlog
from gradlog.history.history import History, Series

EXAMPLE = Path(__file__).parents[1] / "examples" / "notebook.ipynb"


def history(**scalars):
    statistics = np.array([[[0.5], [0.25]], [[0.1], [0.2]]], np.float32)
    series = {tag.replace("_", "/"): Series(np.array([0, 10]), np.array(values)) for tag, values in scalars.items()}
    return History(("a/kernel", "b/kernel"), ("gradient_mean_abs",), np.array([0, 10]), statistics, series)


def test_plot_returns_the_figure_of_the_command():
    figure = gradlog.plot({"one": history(), "two": history()})

    assert isinstance(figure, Figure)
    profile = figure.subfigs[0].axes[0]
    np.testing.assert_allclose(profile.lines[0].get_ydata(), [0.5, 0.25])
    assert [text.get_text() for text in profile.get_legend().get_texts()] == ["one", "two"]
    titles = [axis.get_title(loc="left") for axis in figure.subfigs[1].axes]
    assert {"one", "two"} <= set(titles)


def test_a_run_plots_itself():
    assert isinstance(history().plot(), Figure)


@pytest.mark.parametrize(
    ("runs", "error", "message"),
    [
        ("logs", TypeError, "`runs` is not a run. Expected a `gradlog.History`.* Received: 'logs'"),
        ({}, ValueError, "Expected 1 to 8 runs that have gradients. Received: 0 runs"),
        ({"empty": History()}, ValueError, "Received: 1 runs, of which these have none: empty"),
        ({str(number): history() for number in range(9)}, ValueError, "Received: 9 runs"),
    ],
)
def test_what_cannot_be_drawn_is_said(runs, error, message):
    with pytest.raises(error, match=message):
        gradlog.plot(runs)


def test_a_run_is_a_table():
    shown = history(train_loss=[2.3, 0.1234])._repr_html_()

    for text in ("2 steps, 0 to 10", "2, of which 2 kernels", "train/loss", "2.3 → 0.123", "none"):
        assert text in shown
    assert shown.startswith("<table>")
    assert "no steps" in History()._repr_html_()


def test_a_run_in_a_terminal_is_a_line():
    run = history(train_loss=[2.3, 0.1234])
    assert repr({"relu": run}) == "{'relu': History(2 variables, 2 steps, 0 to 10)}"
    assert repr(History()) == "History(0 variables, no steps)"
    losses = run.scalars["train/loss"]
    assert repr(losses) == "Series(steps=array([ 0, 10]), values=array([2.3   , 0.1234]))"
    assert repr(Series(np.array([0, 1000]), [np.zeros((40, 3))] * 2)) == "Series(2 steps, 0 to 1,000)"


def test_a_finding_is_its_title_and_what_to_try():
    where = ("<b>/kernel",)
    finding = gradlog.Finding("GL303", "a name", "alarm", where, 0, None, 1, 2, "It is <so>.", ("Do this.", "Or that."))
    shown = finding._repr_html_()

    assert "GL303 alarm · a name · &lt;b&gt;/kernel · since step 0" in shown
    assert "It is &lt;so&gt;. (measured 1, threshold 2)" in shown
    assert "<ol><li>Do this.</li><li>Or that.</li></ol>" in shown
    assert "<b>/" not in shown


@pytest.mark.combinations
def test_the_example_runs_from_its_first_cell_to_its_last(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(EXAMPLE.parents[1]), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(EXAMPLE, as_version=4)
    *cells, tensorboard = notebook.cells
    assert "%tensorboard --logdir logs" in tensorboard.source  # it would start a server that outlives the test
    notebook.cells = cells

    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()

    shown = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs if "data" in output]
    table, finding, figure = (output["data"] for output in shown)
    assert "train/accuracy" in table["text/html"]
    assert "GL101 alarm · vanishing gradient" in finding["text/html"]
    assert "Change: activation=&quot;relu&quot;" in finding["text/html"]
    assert len(figure["image/png"]) > 10_000
