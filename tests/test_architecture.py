"""Imports point one way, package by package; TensorFlow is imported only where tensors are; public names are these."""

import ast
import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import gradlog

ROOT = Path(gradlog.__file__).parent
# What each package may import of gradlog. ARCHITECTURE.md draws it.
IMPORTS = {
    "history": set(),
    "stats": {"history"},
    "events": {"history", "stats"},
    "writers": {"events", "history"},
    "diagnosis": {"history"},
    "rules": {"diagnosis"},
    "backends": {"history", "stats"},
    "session": {"backends", "diagnosis", "history", "writers"},
    "repair": {"backends", "diagnosis", "history", "session", "writers"},
    "commands": {"", "diagnosis", "events", "history", "repair"},
    "tensorboard": {"diagnosis", "events", "history", "stats", "writers"},
    "__main__": {"commands"},
    "": set(),
}
WITHOUT_ENGINE = [
    "gradlog",
    "gradlog.rules",
    "gradlog.writers",
    "gradlog.writers.event_writer",
    "gradlog.diagnosis.checks.table",
    *(f"gradlog.history.{name}" for name in ("names", "history", "frames", "growing", "builder", "tree")),
    *(f"gradlog.stats.{name}" for name in ("buckets", "statistics", "snapshots")),
    "gradlog.events.reader",
    *(f"gradlog.diagnosis.{name}" for name in ("finding", "diagnose", "monitor", "rules.table")),
    *(f"gradlog.commands.{name}" for name in ("cli", "selection", "summary", "diagnose", "plot", "export")),
    "gradlog.tensorboard.plugin",
]


def modules():
    """Each file of gradlog with its module's name below gradlog; `""` is `gradlog/__init__.py`."""
    for path in ROOT.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield path, "" if name == "__init__" else name.removesuffix(".__init__")


NAMES = {name for _, name in modules()}


def imported(path):
    """The modules of gradlog that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "gradlog":
            package = node.module.removeprefix("gradlog").removeprefix(".")
            inside = {f"{package}.{alias.name}".removeprefix(".") for alias in node.names}
            found |= {name if name in NAMES else package for name in inside}
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("gradlog.") for alias in node.names if alias.name.startswith("gradlog.")}
    return found


def package(module):
    return module.partition(".")[0]


def is_free_of_circles(imports):
    done = set()
    while len(done) < len(imports):
        free = {name for name, needs in imports.items() if name not in done and needs <= done}
        if not free:
            return False
        done |= free
    return True


def test_packages_import_what_the_table_says():
    found = {}
    for path, module in modules():
        others = {package(name) for name in imported(path)} - {package(module)}
        found[package(module)] = found.get(package(module), set()) | others
    assert found == IMPORTS


def test_no_circle_among_packages_nor_among_modules():
    assert is_free_of_circles(IMPORTS)
    assert is_free_of_circles({module: imported(path) - {module} for path, module in modules()})
    assert not is_free_of_circles({"a": {"b"}, "b": {"a"}})


def test_the_top_has_at_most_a_dozen_entries():
    """But for `__init__` and `__main__`, which Python wants there."""
    entries = sorted(path.name for path in ROOT.iterdir() if not path.name.startswith("__"))
    assert len(entries) <= 12, entries


def test_each_package_says_what_lives_there():
    for path, module in modules():
        if path.name == "__init__.py" and module:
            text = ast.get_docstring(ast.parse(path.read_text()))
            assert text, module
            assert "come" in text or "TensorBoard" in text, module


# Ends with 3 as soon as an engine is imported, which would take seconds.
WITHOUT_ENGINES = """
import sys

class Finder:
    def find_spec(name, path=None, target=None):
        if name in {"tensorflow", "jax", "torch", "keras"}:
            sys.exit(3)

sys.meta_path.insert(0, Finder)
import """


def imports_an_engine(module):
    result = subprocess.run([sys.executable, "-c", WITHOUT_ENGINES + module])
    assert result.returncode in (0, 3)
    return result.returncode == 3


@pytest.mark.parametrize("module", WITHOUT_ENGINE)
def test_reading_imports_no_engine(module):
    assert not imports_an_engine(module)


@pytest.mark.parametrize("path", [path for path, module in modules() if not module.startswith("backends.")])
def test_only_a_backend_imports_an_engine(path):
    """What stands above the backends, and what they share, names no engine in its imports."""
    assert not engines_in(path)


def test_what_the_backends_share_imports_no_engine():
    shared = {module: path for path, module in modules() if module.startswith("backends.")}
    for module, path in shared.items():
        own = {"tensorflow", "jax", "torch"} & set(module.split("."))
        assert engines_in(path) <= own, module


def engines_in(path):
    """The engines that a file imports, also inside functions, or whose package it imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {part for alias in node.names for part in alias.name.split(".")}
        elif isinstance(node, ast.ImportFrom):
            found |= set((node.module or "").split("."))
    return found & {"tensorflow", "jax", "torch"}


def test_that_test_can_fail():
    assert imports_an_engine(f"gradlog.backends.{keras.backend.backend()}.engine")
    assert imports_an_engine("keras")


def test_public_names():
    assert gradlog.__all__ == [
        "Finding",
        "GradientLogger",
        "History",
        "__version__",
        "check",
        "diagnose",
        "plot",
        "read",
        "repair",
        "train",
    ]
    assert all(getattr(gradlog, name) for name in gradlog.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gradlog.nothing


def test_public_modules_are_loaded_when_they_are_used():
    code = (
        "import sys, gradlog; assert not {'gradlog.rules', 'gradlog.writers'} & set(sys.modules); "
        "gradlog.rules.Vanishing(), gradlog.writers.MemoryWriter()"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_examples_in_docstrings_run():
    failed, attempted = 0, {}
    others = {"tensorflow", "jax", "torch"} - {keras.backend.backend()}
    for path, module in modules():
        if ">>>" in path.read_text() and not others & set(module.split(".")):
            result = doctest.testmod(importlib.import_module(f"gradlog.{module}"), optionflags=doctest.ELLIPSIS)
            failed, attempted[module] = failed + result.failed, result.attempted
    assert failed == 0
    assert len(attempted) >= 10
    assert all(attempted.values())
