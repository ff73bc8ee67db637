"""The histories of the labelled networks, kept as tables; `python tests/labelled_tables.py` trains and writes anew.

With names of networks, it trains these alone: `python tests/labelled_tables.py "Adam at 1" LSTM`.

A file of NumPy with two arrays: what stands where, as JSON, with the versions that made it, and all numbers in a row.
"""

import contextlib
import importlib.metadata
import json
import math
import os
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np

import gradlog
from gradlog.history import names
from gradlog.history.history import Series

PATH = Path(__file__).parent / "data" / "labelled.npz"
SEEDS = (1, 2)
_KEPT_BITS = np.uint32(0xFFFFF000)  # sign, exponent, 11 of 23 digits: the others are noise to a rule, and half the file


def read(path=PATH):
    """Returns a dictionary of networks' names to a `History` a seed, and a dictionary of what made them."""
    with np.load(path) as file:
        contents, numbers = json.loads(str(file["contents"])), _joined(file["numbers"])
    runs, start = {}, 0
    for entry in contents["runs"]:
        end = start + _size(entry)
        runs.setdefault(entry["name"], []).append(_history(entry, numbers[start:end]))
        start = end
    return runs, contents["made_by"]


def write(runs, made_by, path=PATH):
    """Writes a dictionary of names to histories."""
    entries = [(_entry(name, history), history) for name, histories in runs.items() for history in histories]
    numbers = np.concatenate([numbers for entry, history in entries for numbers in _numbers(entry, history)])
    contents = {"made_by": made_by, "runs": [entry for entry, _ in entries]}
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, contents=np.array(json.dumps(contents)), numbers=_split(numbers))


def _entry(name, history):
    of_variables = {f"{column}/{variable}" for column in history.columns for variable in history.variables}
    scalars = {tag: series.steps.tolist() for tag, series in history.scalars.items() if tag not in of_variables}
    table = {"variables": list(history.variables), "columns": list(history.columns)}
    run = json.loads(history.texts[names.RUN_TAG].values[-1]) if names.RUN_TAG in history.texts else None
    return {"name": name, **table, "steps": history.steps.tolist(), "scalars": scalars, "run": run}


def _shape(entry):
    return len(entry["steps"]), len(entry["variables"]), len(entry["columns"])


def _size(entry):
    return math.prod(_shape(entry)) + sum(map(len, entry["scalars"].values()))


def _numbers(entry, history):
    """Returns arrays of statistics, then of each tag of scalars."""
    return [history.statistics.ravel(), *(np.asarray(history.scalars[tag].values) for tag in entry["scalars"])]


def _history(entry, numbers):
    start = math.prod(_shape(entry))
    statistics, scalars = numbers[:start].reshape(_shape(entry)), {}
    for tag, steps in entry["scalars"].items():
        scalars[tag] = Series(np.array(steps), numbers[start : start + len(steps)])
        start += len(steps)
    names_of = tuple(entry["variables"]), tuple(entry["columns"])
    texts = {names.RUN_TAG: Series(np.array([0]), [json.dumps(entry["run"])])} if entry["run"] else {}
    return gradlog.History(*names_of, np.array(entry["steps"]), statistics, scalars, texts=texts)


def _split(numbers):
    """Returns the bytes of equal rank side by side, which compress better."""
    bits = numbers.astype(np.float32).view(np.uint32) & _KEPT_BITS
    return bits.astype("<u4").view(np.uint8).reshape(-1, 4).T.copy()


def _joined(planes):
    return planes.T.copy().view("<u4").ravel().view(np.float32)


def _made_by():
    import keras
    import tensorflow as tf

    versions = {"Python": platform.python_version(), "TensorFlow": tf.__version__, "Keras": keras.__version__}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        versions["Keras Hub"] = importlib.metadata.version("keras-hub")
    return {**versions, "NumPy": np.__version__, "gradlog": gradlog.__version__, "seeds": list(SEEDS)}


def main(names_of_cases=()):
    import labelled
    import labelled_case

    unknown = set(names_of_cases) - {case.name for case in labelled.CASES}
    if unknown:
        return f"No network is called {', '.join(sorted(unknown))}. There are: {[case.name for case in labelled.CASES]}"
    runs = read()[0] if names_of_cases else {}
    for number, case in enumerate(labelled.CASES, 1):
        if names_of_cases and case.name not in names_of_cases:
            continue
        with tempfile.TemporaryDirectory() as log_dir:
            runs[case.name] = list(labelled_case.histories(case, SEEDS, log_dir))
        print(f"{number} of {len(labelled.CASES)}: {case.name}", flush=True)
    write({case.name: runs[case.name] for case in labelled.CASES if case.name in runs}, _made_by())
    print(f"{PATH}: {PATH.stat().st_size:,} bytes")
    return None


if __name__ == "__main__":
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    sys.exit(main(sys.argv[1:]))
