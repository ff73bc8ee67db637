"""What does it cost? Each part is measured beside what it is compared with, in one run.

    python -m experiments.overhead

loop    `gradlog.train` against a loop that calls a compiled one-step function from Python
fit     logging under `model.fit`, and other ways to log gradients, against the bare `fit`, on four networks
tensor  all statistics and the histogram of one large tensor, against `tf.summary.histogram` and one mean
disk    bytes of the event file
reading `gradlog.read` of a long run, against TensorBoard's own reader

The tab in TensorBoard has a command of its own, `python -m experiments.overhead_tab`.

The machine is shared and noisy, so the sides of a comparison run by turns, some steps each, and what is reported is
the median of the ratios within a turn, with the quartiles as spread.

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
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import gradlog
from experiments import data, mnist_activations, overhead_fit, overhead_reading, overhead_report, overhead_tensor, runs
from experiments.overhead_networks import NETWORKS
from experiments.overhead_numbers import quartiles, shown

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


def build_model(config):
    """Returns the network of `experiments.mnist_activations` with ReLU."""
    keras.utils.set_random_seed(config.seed)
    return mnist_activations.build_model(mnist_activations.Config(), "relu")


def run(config, log_dir):
    """Measures, and returns a dictionary of results, seconds and ratios."""
    log_dir = Path(log_dir)
    return {
        "experiment": "overhead",
        "config": dataclasses.asdict(config),
        "cpu_cores": os.cpu_count(),
        "machine": platform.machine(),
        "loop": measure_loop(config, log_dir / "loop"),
        "fit": measure_fit(config, log_dir / "fit"),
        "tensor": overhead_tensor.measure(config.tensor_size, config.tensor_turns, config.seed, config.memory),
        "disk": overhead_tensor.bytes_on_disk(NETWORKS["article"], config.disk_steps, config.seed),
        "reading": measure_reading(config, log_dir / "reading"),
    }


def measure_loop(config, log_dir):
    """Times `gradlog.train` and the ordinary loop by turns."""
    digits = data.load_mnist("embedded")
    dataset = data.batches(digits, mnist_activations.Config().batch_size, config.seed)
    ordinary = OrdinaryLoop(build_model(config), dataset)
    ordinary.seconds(config.every)  # traces
    turns = Turns(config.every, ordinary)
    logger = gradlog.GradientLogger(log_dir, every=config.every)
    callbacks = [turns.begin, logger, turns.end]
    gradlog.train(build_model(config), dataset, steps=(config.rounds + 2) * config.every, callbacks=callbacks)
    ours, theirs = np.array(turns.ours[2:]), np.array(turns.theirs[2:])  # the first rounds trace
    return {
        "ours_ms_per_step": float(np.median(ours)) * 1e3 / config.every,
        "ordinary_ms_per_step": float(np.median(theirs)) * 1e3 / config.every,
        "times_as_fast": quartiles(theirs / ours),
        "first_round_seconds": turns.ours[0],
    }


def measure_fit(config, log_dir):
    """Times the variants of `fit` on each network."""
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
            results[name] = overhead_fit.measure(network, config.seed, log_dir / name, progress, name)
    return results


def measure_reading(config, log_dir):
    """Times `gradlog.read` and TensorBoard's own reader by turns."""
    sizes = config.reading_steps, config.reading_variables, config.reading_turns
    return overhead_reading.measure(*sizes, config.seed, config.memory, log_dir)


class OrdinaryLoop:
    """The usual custom loop: a compiled one-step function, called from Python for every batch of the dataset.

    The step is the same as in `gradlog.train`: forward pass, loss, gradients, optimizer, accuracy.
    """

    def __init__(self, model, dataset):
        self._model, self._batches = model, iter(dataset)

        @tf.function
        def step(x, y):
            with tf.GradientTape() as tape:
                y_pred = model(x, training=True)
                loss = model.compute_loss(x, y, y_pred)
            gradients = tape.gradient(loss, model.trainable_variables)
            model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            model.compute_metrics(x, y, y_pred)
            return loss

        self._step = step

    def seconds(self, num_steps):
        """Runs a number of steps and returns how long they took."""
        start = time.perf_counter()
        for _ in range(num_steps):
            loss = self._step(*next(self._batches))
        loss.numpy()
        return time.perf_counter() - start


class Turns:
    """Times the rounds of a training, and lets another loop run a round between two of them."""

    def __init__(self, steps, other):
        self.ours, self.theirs, self._running, self._count = [], [], 0.0, 0
        self.begin = keras.callbacks.LambdaCallback(on_train_batch_begin=self._begin)
        self.end = keras.callbacks.LambdaCallback(on_train_batch_end=self._end)
        self._steps, self._other = steps, other

    def _begin(self, batch, logs):
        self._start = time.perf_counter()

    def _end(self, batch, logs):
        self._running += time.perf_counter() - self._start
        if (batch + 1) % self._steps == 0:
            self.ours.append(self._running)
            self._running = 0.0
            self.theirs.append(self._other.seconds(self._steps))


def _tables(results):
    fit = overhead_fit.tables(results["fit"])
    rest = [*overhead_tensor.tables(results["tensor"], results["disk"]), *overhead_reading.tables(results["reading"])]
    return [_loop_table(results), *fit, *rest]


def _loop_table(results):
    loop = results["loop"]
    rows = [
        ["one-step tf.function called from Python", f"{loop['ordinary_ms_per_step']:.3f}", "1"],
        [
            f"gradlog.train, logging every {results['config']['every']} steps",
            f"{loop['ours_ms_per_step']:.3f}",
            shown(loop["times_as_fast"], 2),
        ],
    ]
    caption = f"Tracing took the first round {loop['first_round_seconds']:.1f} s, which is not in the other numbers."
    title = "Loop · the article's network, batches of 30"
    return runs.table(title, ["loop", "ms a step", "times as many steps per second"], rows, caption)


def main(argv=None):
    """Runs the experiment from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.overhead",
        description=__doc__,
        epilog="examples:\n  python -m experiments.overhead\n  python -m experiments.overhead --quick\n"
        "  python -m experiments.overhead --markdown\n",
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
        print(f"Numbers: {runs.write_results(RESULTS_DIR, results, 'overhead.json')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
