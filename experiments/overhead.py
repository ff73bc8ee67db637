"""What does it cost? Each part is measured beside what it is compared with, in one run.

    python -m experiments.overhead

loop    `gradlog.train` against a loop that calls a compiled one-step function from Python
fit     logging under `model.fit`, and other ways to log gradients, against the bare `fit`, on four networks
tensor  all statistics and the histogram of one large tensor, against `tf.summary.histogram` and one mean
disk    bytes of the event file
reading `gradlog.read` of a long run, against TensorBoard's own reader

On JAX and PyTorch (`KERAS_BACKEND=jax`), only `fit` is measured, and gradlog alone beside the bare one: `gradlog.train`
and the other ways to log are TensorFlow's. A GPU is used where Keras uses it, and named.

The tab in TensorBoard has a command of its own, `python -m experiments.overhead_tab`.

The machine is shared and noisy, so the sides of a comparison run by turns, some steps each; under `fit`, each variant
between two rounds of the bare one. What is reported is the median of the ratios, with the quartiles as spread.

Expect: `gradlog.train`, logging every 200 steps, runs 2.5 to 3 times as many steps per second as the ordinary loop;
under `fit`, logging every 200 steps is lost in the noise.
"""

import argparse
import dataclasses
import json
import os
import platform
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import keras

from experiments import overhead_device, overhead_fit, overhead_reading, overhead_report, runs
from experiments.overhead_networks import NETWORKS

RESULTS_DIR = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Config:
    """How much is measured."""

    rounds: int = 30  # of the loop
    every: int = 200  # steps between two logged ones, and steps of one side in a round of the loop
    networks: tuple[str, ...] = tuple(NETWORKS)  # that `fit` trains
    turns: int | None = None  # of `fit`; None is each network's own number
    steps: int | None = None  # of every round of `fit`; None is each network's and variant's own number
    tensor_size: int = 10_000_000
    tensor_turns: int = 7
    memory: bool = True  # whether to measure peak memory
    disk_steps: int = 200
    reading_steps: int = 1000  # logged steps of the run that is read
    reading_variables: int = 60
    reading_turns: int = 9
    seed: int = 1


QUICK = Config(
    rounds=3,
    networks=("article",),
    turns=2,
    tensor_turns=2,
    memory=False,
    disk_steps=50,
    reading_steps=100,
    reading_turns=3,
)


def run(config, log_dir):
    """Measures, and returns a dictionary of results, seconds and ratios; on JAX and PyTorch of `fit` alone."""
    log_dir, engine = Path(log_dir), keras.backend.backend()
    results = {
        "experiment": "overhead",
        "engine": engine,
        "device": overhead_device.name(),
        "config": dataclasses.asdict(config),
        "cpu_cores": os.cpu_count(),
        "machine": platform.machine(),
    }
    if engine != "tensorflow":
        return {**results, "fit": measure_fit(config, log_dir / "fit")}
    from experiments import overhead_loop, overhead_rivals, overhead_tensor

    return {
        **results,
        "loop": overhead_loop.measure(config.rounds, config.every, config.seed, log_dir / "loop"),
        "fit": measure_fit(config, log_dir / "fit", overhead_rivals.build),
        "tensor": overhead_tensor.measure(config.tensor_size, config.tensor_turns, config.seed, config.memory),
        "disk": overhead_tensor.bytes_on_disk(NETWORKS["article"], config.disk_steps, config.seed),
        "reading": measure_reading(config, log_dir / "reading"),
    }


def measure_fit(config, log_dir, rivals=None):
    """Times the variants of `fit` on each network, and `rivals`, as `overhead_fit.measure` says."""
    results = {}
    with runs.progress_bar() as progress:
        for name in config.networks:
            network = NETWORKS[name]
            if config.turns is not None:
                network = dataclasses.replace(network, turns=config.turns)
            if config.steps is not None:
                steps = config.steps
                fields = ("steps", "slow_steps", "long_steps", "eager_steps")
                network = dataclasses.replace(network, **dict.fromkeys(fields, steps))
            results[name] = overhead_fit.measure(network, config.seed, log_dir / name, progress, name, rivals)
    return results


def measure_reading(config, log_dir):
    """Times `gradlog.read` and TensorBoard's own reader by turns."""
    sizes = config.reading_steps, config.reading_variables, config.reading_turns
    return overhead_reading.measure(*sizes, config.seed, config.memory, log_dir)


def results_name(results):
    """Returns the name of the file of results: of each engine, and of a GPU, a file of its own."""
    engine = "" if results["engine"] == "tensorflow" else f"_{results['engine']}"
    return f"overhead{engine}{'' if results['device'].startswith('CPU') else '_gpu'}.json"


def _tables(results):
    where = f"{runs.on_engine()} · {results['device']}"
    if results["engine"] != "tensorflow":
        return overhead_fit.tables(results["fit"], where=where)
    from experiments import overhead_loop, overhead_rivals, overhead_tensor

    return [
        overhead_loop.table(results["loop"], results["config"]["every"]),
        *overhead_fit.tables(results["fit"], overhead_fit.DESCRIPTIONS | overhead_rivals.DESCRIPTIONS, where),
        *overhead_tensor.tables(results["tensor"], results["disk"]),
        *overhead_reading.tables(results["reading"]),
    ]


def main(argv=None):
    """Runs the experiment from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.overhead",
        description=__doc__,
        epilog="examples:\n  python -m experiments.overhead\n  python -m experiments.overhead --quick\n"
        "  python -m experiments.overhead --markdown\n"
        "  KERAS_BACKEND=jax python -m experiments.overhead --quick\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    quick = "fewer rounds, the smallest network alone, no peak memory: less than a minute; writes no results"
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--markdown", action="store_true", help="print the README's tables, of the committed results")
    options = parser.parse_args(argv)
    if options.markdown:
        print(overhead_report.markdown(json.loads((RESULTS_DIR / "overhead.json").read_text())))
        return 0
    with tempfile.TemporaryDirectory() as log_dir:
        results = run(QUICK if options.quick else Config(), log_dir)
    screen = runs.console()
    for table in _tables(results):
        screen.print(table)
    if not options.quick:
        print(f"Numbers: {runs.write_results(RESULTS_DIR, results, results_name(results))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
