"""How long it takes to read a run back, and how much memory, beside TensorBoard's `EventAccumulator`.

    python -m experiments.overhead_reading gradlog LOGDIR

prints the most bytes by which the process grew while it read a run.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing import event_accumulator

import gradlog
from experiments import overhead_memory, runs
from experiments.overhead_numbers import quartiles, shown
from gradlog.history.history import Snapshot
from gradlog.history.names import SCALAR_TAGS
from gradlog.stats import buckets
from gradlog.writers import EventWriter

DESCRIPTIONS = {"gradlog": "gradlog.read", "event_accumulator": "TensorBoard's EventAccumulator, without limits"}
_COLUMNS = (*SCALAR_TAGS, "gradient_zero_fraction")
_ELEMENTS = 2000  # of each variable; they fill some 60 buckets


def write_run(log_dir, steps, variables, seed):
    """Writes a run of random numbers as gradlog writes one, and returns the bytes of its file.

    Args:
        log_dir: String or path.
        steps: Integer, how many steps are logged.
        variables: Integer, of how many variables, each with a histogram of its gradient and one of its weights.
        seed: Integer, of the numbers.
    """
    generator = np.random.default_rng(seed)
    names = tuple(f"layer{index // 2 + 1}/{('kernel', 'bias')[index % 2]}" for index in range(variables))
    writer = EventWriter(log_dir)
    for step in range(steps):
        statistics = generator.random((variables, len(_COLUMNS)), np.float32)
        gradients, weights = _counts(generator, variables), _counts(generator, variables)
        scalars = {"train/loss": float(generator.random()), "gradient_norm/global": float(generator.random())}
        writer.write(Snapshot(200 * step, names, _COLUMNS, statistics, gradients, weights, scalars))
    writer.close()
    return Path(writer.path).stat().st_size


def _counts(generator, variables):
    """Returns the bucket counts of normally distributed numbers, each variable with a spread of its own."""
    spread = np.exp(generator.normal(-5, 2, (variables, 1))).astype(np.float32)
    numbers = generator.standard_normal((variables, _ELEMENTS), np.float32) * spread
    bucket = (numbers.view(np.uint32) >> buckets.SHIFT).astype(np.int64)
    bucket += np.arange(variables)[:, None] * buckets.NUM_BUCKETS
    return np.bincount(bucket.ravel(), minlength=variables * buckets.NUM_BUCKETS).reshape(variables, -1)


def readers():
    """Returns a dictionary of functions of a log directory: gradlog's and what it is compared with."""
    without_limits = dict.fromkeys(event_accumulator.DEFAULT_SIZE_GUIDANCE, 0)

    def tensorboards(log_dir):
        return event_accumulator.EventAccumulator(str(log_dir), size_guidance=without_limits).Reload()

    return {"gradlog": gradlog.read, "event_accumulator": tensorboards}


def measure(steps, variables, turns, seed, memory, log_dir):
    """Times the readers by turns, on a run that is written first.

    Args:
        steps: Integer, logged steps of the run.
        variables: Integer, its variables.
        turns: Integer, how often each reads it, after one reading that is not counted.
        seed: Integer, of the run's numbers.
        memory: Boolean, whether to measure peak memory too, each in a process of its own.
        log_dir: String or path, where the run is written.

    Returns:
        A dictionary of seconds, and the ratio of the times; `peak_bytes` is `None` where it is not measured.
    """
    size = write_run(log_dir, steps, variables, seed)
    times = {name: [] for name in DESCRIPTIONS}
    for turn in range(turns + 1):
        for name, read in readers().items():
            start = time.perf_counter()
            read(log_dir)
            if turn:
                times[name].append(time.perf_counter() - start)
    ours, theirs = (np.array(seconds) for seconds in times.values())
    return {
        "steps": steps,
        "variables": variables,
        "turns": turns,
        "file_bytes": size,
        "readers": {
            name: {
                "seconds": quartiles(seconds),
                "peak_bytes": _peak_bytes_elsewhere(name, log_dir) if memory else None,
            }
            for name, seconds in times.items()
        },
        "times_as_fast": quartiles(theirs / ours),
    }


def peak_bytes(name, log_dir):
    """Returns by how many bytes this process grows, at most, while a reader reads a run."""
    read = readers()[name]
    small = Path(log_dir) / "small"  # what comes with the first call is not counted
    read(small)
    before = overhead_memory.largest_bytes()
    read(log_dir)
    return overhead_memory.largest_bytes() - before


def _peak_bytes_elsewhere(name, log_dir):
    write_run(Path(log_dir) / "small", 2, 2, 0)
    command = [sys.executable, "-m", "experiments.overhead_reading", name, str(Path(log_dir).absolute())]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def tables(reading):
    """Returns a table for the screen of what `measure` returned."""
    rows = []
    for name, numbers in reading["readers"].items():
        peak = "-" if numbers["peak_bytes"] is None else f"{numbers['peak_bytes'] / 1e6:,.0f}"
        rows.append([DESCRIPTIONS[name], shown(numbers["seconds"], 2), peak])
    size = f"{reading['steps']:,} steps × {reading['variables']} variables, {reading['file_bytes'] / 1e6:,.0f} MB"
    caption = f"gradlog.read is {shown(reading['times_as_fast'], 1)} times as fast."
    return [runs.table(f"Reading · {size}", ["reader", "seconds (quartiles)", "peak memory, MB"], rows, caption)]


if __name__ == "__main__":
    print(json.dumps(peak_bytes(sys.argv[1], sys.argv[2])))
