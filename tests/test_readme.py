"""README and documentation are true: their numbers are those of the committed results. Their code: test_documented."""

import json
import os
import re
import subprocess
import sys

import labelled
import pytest
import test_repair_changes
from documented import PAGES, ROOT

import gradlog
from experiments import overhead_report
from gradlog.diagnosis.checks.table import CHECKS
from gradlog.events import custom_scalars
from gradlog.history import names

README, EXPERIMENTS = PAGES["README.md"], PAGES["experiments.md"]
RESULTS = ROOT / "experiments" / "results"


def test_the_readme_is_a_screen_and_a_half():
    assert len(README.splitlines()) < 150


def test_the_site_is_built(tmp_path):
    pytest.importorskip("mkdocs", reason="The site is built with the extra `docs`.")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert built.returncode == 0, built.stderr
    for code in [one.code for one in (*gradlog.rules.RULES, *CHECKS)]:
        written = (tmp_path / "site" / "rules" / code / "index.html").read_text()
        assert f'<h1 id="{code.lower()}-' in written
        assert f'src="../{code}.png"' in written
    assert "GradientLogger" in (tmp_path / "site" / "api" / "index.html").read_text()


def test_every_tag_that_is_written_is_in_the_table(tmp_path):
    rows = re.findall(r"^\| (`.*?) \|", PAGES["tags.md"].split("##")[0], re.M)
    documented = {tag for row in rows for tag in re.findall(r"`(.*?)`", row)}

    prefixes = [*names.SCALAR_TAGS.values(), names.GRADIENT_HISTOGRAM, names.WEIGHT_HISTOGRAM]
    expected = {f"{prefix}/<variable>" for prefix in prefixes} | {names.STATISTICS_TAG, names.FINDINGS_TAG}
    expected |= {custom_scalars.TAG, "gradient_norm/global", "gradient_norm/global_clipped", "train/loss"}
    expected |= {
        f"{prefix}/<{'block' if prefix.startswith('stream') else 'layer'}>"
        for prefix in (names.ACTIVATION_HISTOGRAM, *names.LAYER_SCALARS)
    }
    expected |= {f"{kind}/<metric>" for kind in ("train", "validation", "test")}
    expected |= {names.PENALTY_TAG, names.LEARNING_RATE_TAG, names.ATTENTION_TAG, names.RUN_TAG, names.RUN_TABLE_TAG}
    assert documented == expected


def test_the_two_commands_come_first_and_are_what_ci_runs():
    block = re.search(r"```\n(.*?)```", README, re.S).group(1).splitlines()

    assert block == [
        "pip install -e '.[experiments]' && python -m experiments.mnist_activations",
        "pip install -e '.[test]' && pytest",
    ]
    ci = (ROOT / ".ci" / "run").read_text().replace("--quiet --disable-pip-version-check ", "")
    assert block[1] in ci
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_mnist_numbers_are_those_of_the_committed_results():
    results = json.loads((RESULTS / "mnist_activations.json").read_text())
    assert results["notice"] is None  # on the whole of MNIST

    for row in results["scenarios"]:
        ratios = [f"{r:,.0f}" if r >= 10 else f"{r:.1f}" for r in (row["ratio_at_start"], row["ratio_over_run"])]
        gradients = f"{row['first_kernel_at_start']:.1e} | {row['last_kernel_at_start']:.1e}"
        line = f"| {row['scenario']} | {row['test_accuracy']:.3f} | {gradients} | {ratios[0]} | {ratios[1]} |"
        assert line in README


def test_the_engines_stand_side_by_side_as_in_the_committed_results():
    """One table for each engine, one after the other, with the same rows and columns."""
    section = EXPERIMENTS.split("## MNIST activations\n")[1].split("### What they show")[0]
    tables = re.findall(r"^### (\w+)\n\n<!-- table: (\w+) -->\n((?:\|.*\n)+)<!-- end -->$", section, re.M)
    assert [label for label, _, _ in tables] == ["TensorFlow", "JAX", "PyTorch"]
    headers = set()
    for (label, name, table), engine in zip(tables, ("tensorflow", "jax", "torch"), strict=True):
        results = json.loads((RESULTS / f"{name}.json").read_text())
        assert (results.get("engine", "tensorflow"), results["notice"]) == (engine, None)
        header, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines())
        assert header[0] == f"on {label} {results['versions'][engine]}"
        headers.add(tuple(header[1:]))
        for cells, row in zip(rows, results["scenarios"], strict=True):
            ratios = [f"{r:,.0f}" if r >= 100 else f"{r:.2g}" for r in (row["ratio_at_start"], row["ratio_over_run"])]
            sizes = [f"{row[f'{which}_kernel_at_start']:.1e}" for which in ("first", "last")]
            found = row["findings"] or ["none"]
            assert cells == [row["scenario"], f"{row['test_accuracy']:.3f}", *sizes, *ratios, "; ".join(found)]
            expected = "GL101" if row["scenario"] == "sigmoid" else "none"
            assert [one.split()[0] for one in found] == [expected]
    assert len(headers) == 1


def test_what_is_found_in_the_mnist_runs_is_that_of_the_committed_results():
    found = {
        row["scenario"]: row["findings"]
        for row in json.loads((RESULTS / "mnist_activations.json").read_text())["scenarios"]
    }

    assert found == {"sigmoid": ["GL101 vanishing gradient, layer1: 8.4e-04"], "relu": [], "leaky_relu": []}
    assert "in layer1 it is 0.00084 times the largest layer's" in README


def test_every_rule_and_every_check_is_in_a_table():
    rows = re.findall(r"^\| (GL\d+) \| (.*?) \|", PAGES["diagnosis.md"] + PAGES["check.md"], re.M)

    assert rows == [(one.code, one.name) for one in (*gradlog.rules.RULES, *CHECKS)]


def test_the_labelled_networks_are_as_many_as_it_says():
    assert f"{len(labelled.SICK)} faulty and {len(labelled.HEALTHY)} healthy networks" in README


def test_the_section_on_cost_is_made_from_the_committed_results():
    results = json.loads((RESULTS / "overhead.json").read_text())
    assert overhead_report.markdown(results) in PAGES["cost.md"]
    assert overhead_report.short(results) in README
    assert overhead_report.markdown(results).split("\n- ")[1].split(". ")[0] in f"- {README}"


def test_the_table_of_other_engines_is_made_from_the_committed_results():
    results = {name: json.loads((RESULTS / f"overhead_{name}.json").read_text()) for name in ("jax", "torch")}

    assert {name: one["engine"] for name, one in results.items()} == {"jax": "jax", "torch": "torch"}
    assert overhead_report.engines({"JAX": results["jax"], "PyTorch": results["torch"]}) in PAGES["cost.md"]


def test_the_repair_is_that_of_the_committed_results():
    found = json.loads((RESULTS / "repair.json").read_text())
    row = next(one for one in found["scenarios"] if one["scenario"] == "mnist/sigmoid")
    block = PAGES["repair.md"].split("```\n")[2]
    lines = [line.split() for line in block.splitlines()]

    assert found["notice"] is None
    for seed, (before, after) in enumerate(zip(row["before"], row["after"], strict=True)):
        assert [str(seed), f"{before:.3f}", f"{after:.3f}"] in lines
    assert f"{row['trainings']:.0f} trainings" in block
    assert row["code"][0] in block
    kinds = {type(change).__module__ for change, _, _ in test_repair_changes.CODE}
    assert f"which of {len(kinds)} kinds of changes" in PAGES["repair.md"]


def test_the_numbers_of_the_tab_are_those_of_the_committed_results():
    assert overhead_report.tab(json.loads((RESULTS / "overhead_tab.json").read_text())) in PAGES["tab.md"]


def test_links_and_pictures_exist():
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "experiments" / "README.md"):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
            assert (path.parent / target).exists(), (path.name, target)


def test_changelog_has_the_version():
    assert f"## {gradlog.__version__}" in (ROOT / "CHANGELOG.md").read_text()
