"""Keras' own tests of its trainer pass with a `GradientLogger` in every `fit` as they do without; `pytest -m keras`.

One of them counts compilations, and on TensorFlow a logged call of several steps is another compilation. No logger may
have stopped either, but for a model without trainable variables.
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import keras
import pytest

pytestmark = pytest.mark.keras
COUNTS_COMPILATIONS = "test_retracing", "AssertionError: 3 not less than or equal to 2"


def failures(path, *arguments):
    """Runs Keras' tests of its trainer; returns what each said as it failed, by name, and nothing of what passed."""
    tests = Path(keras.__file__).parent / "src" / "trainers" / "trainer_test.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", "-c", os.devnull]
    command += ["--rootdir", str(path.parent), f"--junitxml={path}", *arguments, str(tests)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    said = subprocess.run(command, env=environment, cwd=path.parent, capture_output=True, text=True)
    assert said.returncode in (0, 1), said.stdout[-2000:] + said.stderr[-2000:]
    cases = list(ET.parse(path).getroot().iter("testcase"))
    assert len(cases) > 100
    failed = {one.get("name"): one.find("failure") for one in cases}
    return {name: part.get("message") for name, part in failed.items() if part is not None}


def test_no_test_of_keras_fails_that_passes_without(tmp_path):
    pytest.importorskip("jax", reason="Keras' own tests import JAX on every engine")
    without = failures(tmp_path / "without.xml")
    with_logger = failures(tmp_path / "with.xml", "-p", "with_logger")

    new = {name: text for name, text in with_logger.items() if name not in without}
    assert new.items() <= ({COUNTS_COMPILATIONS} if keras.backend.backend() == "tensorflow" else set())
