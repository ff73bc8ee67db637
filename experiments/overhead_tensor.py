"""What it costs to reduce one large tensor, and how many bytes a logged step takes on disk.

    python -m experiments.overhead_tensor statistics_and_histogram 10000000

prints the most bytes by which the process grew while it reduced a tensor of that size.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

import gradlog
from experiments import overhead_memory, overhead_networks, runs
from experiments.overhead_numbers import quartiles, shown
from gradlog.backends.tensorflow import histograms
from gradlog.backends.tensorflow import moments as totals

DESCRIPTIONS = {
    "statistics_and_histogram": "gradlog: all statistics and the histogram",
    "tf_summary_histogram": "tf.summary.histogram",
    "mean_abs": "tf.reduce_mean(tf.abs(x))",
}


def functions(log_dir, size):
    """Returns a dictionary of compiled functions of a float32 vector: gradlog's and what it is compared with.

    Args:
        log_dir: String or path, where `tf.summary` writes.
        size: Integer, elements of the vector.
    """
    writer = tf.summary.create_file_writer(str(log_dir))

    def statistics_and_histogram(x):
        return totals.totals([x]), histograms.histogram(x)

    def tf_summary_histogram(x):
        with writer.as_default(step=0):
            return tf.summary.histogram("x", x)

    def mean_abs(x):
        return tf.reduce_mean(tf.abs(x))

    signature = [tf.TensorSpec([size], tf.float32)]
    return {
        function.__name__: tf.function(function, input_signature=signature, autograph=False)
        for function in (statistics_and_histogram, tf_summary_histogram, mean_abs)
    }


def measure(size, turns, seed, memory):
    """Times the functions by turns, on a tensor of standard normal numbers.

    Args:
        size: Integer, elements of the tensor.
        turns: Integer, how often each is measured.
        seed: Integer, of the numbers.
        memory: Boolean, whether to measure peak memory too, each in a process of its own.

    Returns:
        A dictionary of milliseconds, and ratios to `mean_abs`; `peak_bytes` is `None` where it is not measured.
    """
    x = tf.constant(np.random.default_rng(seed).standard_normal(size, np.float32))
    times = {name: [] for name in DESCRIPTIONS}
    with tempfile.TemporaryDirectory() as log_dir:
        compared = functions(log_dir, size)
        for turn in range(turns + 1):
            for name, function in compared.items():
                start = time.perf_counter()
                tf.nest.map_structure(lambda result: result.numpy(), function(x))
                if turn:  # the first traces
                    times[name].append(time.perf_counter() - start)
    times = {name: np.array(seconds) for name, seconds in times.items()}
    ours, theirs = times["statistics_and_histogram"], times["tf_summary_histogram"]
    return {
        "size": size,
        "turns": turns,
        "functions": {
            name: {
                "ms": float(np.median(seconds)) * 1e3,
                "times_mean_abs": quartiles(seconds / times["mean_abs"]),
                "peak_bytes": _peak_bytes_elsewhere(name, size) if memory else None,
            }
            for name, seconds in times.items()
        },
        "tf_summary_over_ours": quartiles(theirs / ours),
    }


def peak_bytes(name, size):
    """Returns by how many bytes this process grows, at most, while a function reduces a tensor of some size."""
    with tempfile.TemporaryDirectory() as log_dir:
        functions(log_dir, 1000)[name](tf.zeros([1000]))  # what comes with the first call is not counted
        compared = functions(log_dir, size)
        function = compared[name].get_concrete_function()
        x = tf.raw_ops.RandomStandardNormal(shape=[size], dtype=tf.float32)
        before = overhead_memory.largest_bytes()
        function(x)
        return overhead_memory.largest_bytes() - before


def _peak_bytes_elsewhere(name, size):
    command = [sys.executable, "-m", "experiments.overhead_tensor", name, str(size)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def bytes_on_disk(network, steps, seed):
    """Returns the bytes of the event file a logged step and variable, with histograms and without.

    Args:
        network: A `Network`, which is trained on random data.
        steps: Integer, how many steps are logged.
        seed: Integer, of weights and data.
    """
    result = {"steps": steps}
    for name, with_histograms in (("with_histograms", True), ("scalars_only", False)):
        model = overhead_networks.model(network, seed)
        x, y = overhead_networks.random_data(model.input_shape[1:], steps * network.batch_size, seed)
        with tempfile.TemporaryDirectory() as log_dir:
            logger = gradlog.GradientLogger(log_dir, every=1, histograms=with_histograms, on_finding="ignore")
            model.fit(x, y, batch_size=network.batch_size, verbose=0, callbacks=[logger])
            size = sum(path.stat().st_size for path in Path(log_dir).iterdir())
        result[name] = size / steps / len(model.trainable_variables)
    return result


def tables(tensor, disk):
    """Returns tables for the screen of what `measure` and `bytes_on_disk` returned."""
    rows = []
    for name, numbers in tensor["functions"].items():
        peak = "-" if numbers["peak_bytes"] is None else f"{numbers['peak_bytes'] / 1e6:,.0f}"
        rows.append([DESCRIPTIONS[name], f"{numbers['ms']:.1f}", shown(numbers["times_mean_abs"], 1), peak])
    caption = f"tf.summary.histogram takes {shown(tensor['tf_summary_over_ours'], 1)} times as long as gradlog's."
    headers = ["reduction", "ms", "times mean(abs) (quartiles)", "peak memory, MB"]
    title = f"Tensor · {tensor['size']:,} float32"
    rows_on_disk = [
        ["scalars and histograms", f"{disk['with_histograms']:,.0f}"],
        ["scalars only", f"{disk['scalars_only']:,.0f}"],
    ]
    title_on_disk = f"Disk · the article's network, {disk['steps']} logged steps"
    return [
        runs.table(title, headers, rows, caption),
        runs.table(title_on_disk, ["event file", "bytes a logged step and variable"], rows_on_disk),
    ]


if __name__ == "__main__":
    print(json.dumps(peak_bytes(sys.argv[1], int(sys.argv[2]))))
