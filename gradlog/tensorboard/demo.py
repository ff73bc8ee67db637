"""Demo: writes a few small runs of made-up numbers, healthy and not, to try the tab with.

python -m gradlog.tensorboard.demo logs/demo && tensorboard --logdir logs/demo
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from gradlog.history import names
from gradlog.history.history import Snapshot
from gradlog.stats import buckets
from gradlog.writers import EventWriter

NUM_LAYERS, EVERY = 8, 50
NUM_STEPS = 24
COLUMNS = (
    "gradient_mean_abs",
    "gradient_norm",
    "gradient_zero_fraction",
    names.NONFINITE,
    "weight_norm",
    "update_ratio",
)
RUNS = ("healthy", "vanishing", "exploding", "dead")
_ELEMENTS = 400
_VARIABLES = tuple(f"layer{number}/{name}" for number in range(1, NUM_LAYERS + 1) for name in ("kernel", "bias"))


def main(arguments: list[str] | None = None) -> int:
    """Writes the runs to a directory; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m gradlog.tensorboard.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("logdir", type=Path, help="directory to write the runs to; it must not contain them yet")
    log_dir = parser.parse_args(arguments).logdir
    if there := [name for name in RUNS if (log_dir / name).exists()]:
        print(f"The run {log_dir / there[0]} already exists; choose another directory.", file=sys.stderr)
        return 2
    try:
        for name in RUNS:
            write(log_dir / name, name)
    except OSError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"Now start TensorBoard and open its tab Gradients: tensorboard --logdir {log_dir}")
    return 0


def write(log_dir: Path, kind: str) -> None:
    """Writes one run; `kind` is one of `RUNS`."""
    random = np.random.default_rng(RUNS.index(kind))
    writer = EventWriter(log_dir)
    writer.write_text(0, "demo", "**These numbers are made up** to show the tab; nothing was trained.")
    for time in range(NUM_STEPS):
        writer.write(_snapshot(kind, time, random))
    writer.close()


def levels(kind: str, time: int) -> np.ndarray:
    """Returns the mean absolute gradient of each layer, [`NUM_LAYERS`], at logged step number `time`."""
    depth = np.arange(NUM_LAYERS)[::-1]  # 0 at the output
    if kind == "vanishing":
        return 1e-2 * 5.0**-depth
    if kind == "exploding":
        return 1e-3 * 1.3**depth * 3.0**time
    result = 1e-2 * 0.8 ** (depth + time / 8)
    if kind == "dead" and time >= NUM_STEPS // 3:
        result[:3] = 0.0  # no gradient reaches the layers below
    return result


def _snapshot(kind, time, random):
    mean_abs = np.repeat(levels(kind, time), 2) * np.exp(random.normal(0, 0.2, 2 * NUM_LAYERS))
    is_overflown = mean_abs > 1e6
    gradients = [
        _counts(random.normal(0, level * 1.25, _ELEMENTS) if level else np.zeros(_ELEMENTS)) for level in mean_abs
    ]
    weights = [_counts(random.normal(0, 0.1, _ELEMENTS)) for _ in mean_abs]
    statistics = {
        "gradient_mean_abs": np.where(is_overflown, np.nan, mean_abs),
        "gradient_norm": np.where(is_overflown, 0.0, mean_abs * 1.25 * _ELEMENTS**0.5),
        "gradient_zero_fraction": mean_abs == 0,
        names.NONFINITE: is_overflown * _ELEMENTS,
        "weight_norm": np.full(len(mean_abs), 2.0),
        "update_ratio": np.clip(mean_abs * 0.1, 0, 10),
    }
    table = np.stack([statistics[name] for name in COLUMNS], axis=1).astype(np.float32)
    is_learning = kind in ("healthy", "dead")
    scalars = {"train/loss": 2.3 * 0.9**time + 0.01 * random.random() if is_learning else 2.3 + 0.01 * random.random()}
    for number in range(1, NUM_LAYERS):
        is_dead = kind == "dead" and number == 3 and time >= NUM_STEPS // 3
        scalars[names.tag(names.ACTIVATION_DEAD, f"layer{number}")] = 1.0 if is_dead else 0.05
    return Snapshot(time * EVERY, _VARIABLES, COLUMNS, table, np.array(gradients), np.array(weights), scalars)


def _counts(values):
    """Returns bucket counts [`buckets.NUM_BUCKETS`] of finite numbers."""
    bits = np.clip(values, -1e30, 1e30).astype(np.float32).view(np.uint32)
    return np.bincount(bits >> buckets.SHIFT, minlength=buckets.NUM_BUCKETS)


if __name__ == "__main__":
    sys.exit(main())
