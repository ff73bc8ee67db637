"""The measurement of the tab measures what it says; how fast the tab is is not for a test."""

import shutil

import numpy as np
import pytest

import gradlog
from experiments import overhead_report, overhead_tab, runs

CONFIG = overhead_tab.Config(runs=2, steps=3, variables=4, moves=3, starts=1, uncounted_starts=0)


def test_the_runs_are_as_many_and_as_long_as_it_says(tmp_path):
    overhead_tab.write_run(tmp_path, CONFIG, 1)

    run = gradlog.read(tmp_path)

    assert run.steps.tolist() == [0, 10, 20]
    assert run.variables == ("layer1/kernel", "layer1/bias", "layer2/kernel", "layer2/bias")
    assert np.all(run.statistic("gradient_nonfinite") == 0)
    assert np.all(run.statistic("gradient_mean_abs") > 0)


@pytest.mark.combinations
def test_it_measures_the_page_and_the_start(tmp_path, capsys):
    pytest.importorskip("playwright", reason="the tab is measured with playwright, which is not here")
    browser = next(filter(None, map(shutil.which, overhead_tab.BROWSERS)), None)
    if browser is None:
        pytest.skip("the tab is measured in Chromium, which is not here")

    results = overhead_tab.run(CONFIG, tmp_path, browser)

    page = results["page"]
    assert 0 < page["first_picture"] <= page["all_pictures"] <= page["all_findings"]
    assert page["move_of_the_slider"]["median"] > 0
    assert page["largest_answer_bytes"] > 100_000  # uPlot alone
    assert results["start"]["with_tab"]["median"] > 0
    runs.console().print(overhead_tab._table(results))
    assert "2 runs × 4 variables × 3 logged steps" in capsys.readouterr().out
    assert "With 2 runs of 4 variables and 3 logged steps" in overhead_report.tab(results)


def test_what_cannot_be_measured_is_said_in_a_line(monkeypatch, capsys):
    pytest.importorskip("playwright", reason="the tab is measured with playwright, which is not here")

    def run(*arguments):
        raise OSError("TensorBoard did not start")

    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(overhead_tab, "run", run)

    assert overhead_tab.main(["--quick"]) == 2
    assert capsys.readouterr().err == "error: TensorBoard did not start\n"


def test_without_a_browser_it_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)

    assert overhead_tab.main([]) == 2
    assert "pip install -e '.[browser]'" in capsys.readouterr().err
