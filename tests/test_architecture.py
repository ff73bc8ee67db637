"""Imports point one way, TensorFlow is imported only where tensors are, and the public names are these."""

import ast
import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import gradlog

ROOT = Path(gradlog.__file__).parent
RULES = (
    "vanishing",
    "exploding",
    "nonfinite",
    "dead",
    "saturated",
    "update_ratio",
    "unchanged",
    "collapsing",
    "not_improving",
    "erratic",
)
# What each module may import of gradlog. ARCHITECTURE.md draws it.
IMPORTS = {
    "__init__": {"_version"},
    "_version": set(),
    "names": set(),
    "buckets": set(),
    "frames": {"names"},
    "history": {"frames"},
    "checksum": set(),
    "records": {"checksum"},
    "wire": set(),
    "decoding": set(),
    "series": {"decoding", "history", "names"},
    "grouping": set(),
    "embeddings": set(),
    "totals": {"grouping"},
    "histograms": {"buckets", "grouping"},
    "activations": set(),
    "statistics": {"buckets"},
    "ring": set(),
    "checks": set(),
    "layout": {"names"},
    "encoder": {"names", "buckets", "history", "layout"},
    "collector": {"names", "history", "series", "wire"},
    "writers": {"history", "encoder", "collector"},
    "foreign": {"history", "names"},
    "reader": {"collector", "foreign", "history", "records", "wire"},
    "optimizers": set(),
    "wrappers": set(),
    "snapshots": {"names", "history", "statistics"},
    "capture": {
        "names",
        "buckets",
        "embeddings",
        "histograms",
        "history",
        "optimizers",
        "ring",
        "snapshots",
        "totals",
        "wrappers",
    },
    "probe": {"activations", "checks", "histograms", "history", "names", "wrappers"},
    "switch": {"capture"},
    "attach": {"capture", "optimizers"},
    "schedule": {"capture", "history", "optimizers"},
    "loop": {"checks"},
    "announcer": {"names", "finding"},
    "callback": {
        "announcer",
        "attach",
        "capture",
        "checks",
        "finding",
        "monitor",
        "names",
        "optimizers",
        "probe",
        "schedule",
        "switch",
        "writers",
    },
    "finding": set(),
    "rules.evidence": {"history"},
    "rules.rule": {"finding", "rules.evidence"},
    **{f"rules.{name}": {"rules.evidence", "rules.rule"} for name in RULES},
    "rules": {f"rules.{name}" for name in RULES},
    "diagnosis": {"finding", "history", "rules", "rules.evidence", "rules.rule"},
    "monitor": {"diagnosis", "finding", "history", "names", "rules.rule"},
    "screen": set(),
    "selection": {"history", "names", "reader", "screen"},
    "report": {"history", "screen", "selection"},
    "summary": {"history", "screen", "selection"},
    "panels": {"history", "screen", "selection"},
    "plots": {"history", "panels", "screen", "selection"},
    "export": {"frames", "history", "screen", "selection"},
    "cli": {"_version", "export", "plots", "report", "screen", "selection", "summary"},
    "__main__": {"cli"},
    "tensorboard": set(),
    "tensorboard.metadata": {"names"},
    "tensorboard.sampling": set(),
    "tensorboard.runs": {"history", "names", "series", "tensorboard"},
    "tensorboard.data": {"diagnosis", "history", "names", "tensorboard", "tensorboard.sampling"},
    "tensorboard.demo": {"buckets", "history", "names", "writers"},
    "tensorboard.plugin": {"names", "tensorboard", "tensorboard.runs"},
}
WITHOUT_TENSORFLOW = [
    "gradlog",
    *(f"gradlog.{name}" for name in ("names", "buckets", "history", "statistics", "snapshots", "reader")),
    *(f"gradlog.{name}" for name in ("finding", "rules", "diagnosis", "monitor")),
    *(f"gradlog.{name}" for name in ("cli", "selection", "summary", "report", "plots", "export")),
    "gradlog.tensorboard.plugin",
]


def imported(path):
    """The modules of gradlog that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "gradlog":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gradlog."):
            found.add(node.module.removeprefix("gradlog."))
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("gradlog.")}
    return found


def module_name(path):
    """The name of a file's module below gradlog; that of a package for its `__init__`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_imports_are_those_of_the_table():
    assert {module_name(path): imported(path) for path in ROOT.rglob("*.py")} == IMPORTS


def test_the_table_has_no_circle():
    order = []
    while len(order) < len(IMPORTS):
        free = [name for name, needs in IMPORTS.items() if name not in order and needs <= set(order)]
        assert free, f"a circle among {set(IMPORTS) - set(order)}"
        order += free


@pytest.mark.parametrize("module", WITHOUT_TENSORFLOW)
def test_reading_imports_no_tensorflow(module):
    code = f"import sys, {module}; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_that_test_can_fail():
    code = "import sys, gradlog.capture; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == 1


def test_public_names():
    assert gradlog.__all__ == ["Finding", "GradientLogger", "History", "__version__", "diagnose", "read", "train"]
    assert all(getattr(gradlog, name) for name in gradlog.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gradlog.nothing


@pytest.mark.parametrize(
    "module",
    [
        "names",
        "buckets",
        "checksum",
        "history",
        "grouping",
        "statistics",
        "histograms",
        "activations",
        "finding",
        "screen",
        "tensorboard.sampling",
    ],
)
def test_examples_in_docstrings_run(module):
    result = doctest.testmod(importlib.import_module(f"gradlog.{module}"), optionflags=doctest.ELLIPSIS)

    assert result.attempted > 0
    assert result.failed == 0
