"""What logging costs under `model.fit`: variants of one training, timed by turns beside the bare `fit`.

Each variant is a separate model that keeps training. In every turn each runs a round, a `fit` of one epoch, in
random order, and its time per step is divided by that of the bare round of the same turn. The first
rounds, which trace, are thrown away; later ones reuse the programs. Of a round, the first steps and the last are not
timed, since with them Keras begins and ends a `fit`; what callbacks do at its end, until all is written, is. Before
time is taken, a device that computes while Python goes on is waited for.

The data are random, since only time is measured.
"""

import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

import gradlog
from experiments import overhead_device, overhead_networks, runs
from experiments.overhead_numbers import quartiles, shown

WARM_UP_ROUNDS = 2
FIRST_STEPS = 4  # of a round, not timed
UNTIMED_STEPS = FIRST_STEPS + 1  # and the last
EVERY = {"gradlog_200": 200, "gradlog_10": 10, "gradlog_1": 1, "gradlog_scalars_1": 1, "gradlog_histograms_50": 1}
DESCRIPTIONS = {
    "bare": "fit without callbacks",
    "gradlog_200": "GradientLogger(every=200)",
    "gradlog_10": "GradientLogger(every=10)",
    "gradlog_1": "GradientLogger(every=1)",
    "gradlog_scalars_1": "GradientLogger(every=1, histograms=False)",
    "gradlog_histograms_50": "GradientLogger(every=1, histograms=50)",
}


class Variant(NamedTuple):
    """One way to train: a model, its callbacks, and the steps of a round."""

    model: keras.Model
    callbacks: list
    steps: int


def measure(network, seed, log_dir, progress, name="", rivals=None):
    """Times the variants of one `Network`.

    Args:
        network: A `Network`.
        seed: Integer, of weights, data and the order of the turns.
        log_dir: String or path; what is logged goes below it.
        progress: A `rich.progress.Progress` that shows how far it is.
        name: String, stands before the bar.
        rivals: Function of network, seed and path that returns a dictionary of further variants. Defaults to none.

    Returns:
        A dictionary: the network's size, and under `variants` steps of a round, milliseconds a step, and the ratio
        to the bare `fit`; with `from_gradlog_1`, the ratio that `gradlog_1` would let expect, and with
        `added_over_gradlog_1`, how many times the time that `gradlog_1` adds to a step the variant adds.
    """
    variants = build_variants(network, seed, Path(log_dir))
    if rivals:
        variants |= rivals(network, seed, Path(log_dir))
    bare = variants["bare"].model
    size = (network.long_steps + UNTIMED_STEPS) * network.batch_size
    x, y = overhead_networks.random_data(bare.input_shape[1:], size, seed)
    order, times = np.random.default_rng(seed), {variant: [] for variant in variants}
    task = progress.add_task(name, total=network.turns, loss="")
    for turn in range(WARM_UP_ROUNDS + network.turns):
        for index in order.permutation(len(variants)):
            variant = list(variants)[index]
            steps = variants[variant].steps
            if turn < WARM_UP_ROUNDS:
                steps = min(steps, network.slow_steps)
            end = (steps + UNTIMED_STEPS) * network.batch_size
            seconds = round_seconds(variants[variant], x[:end], y[:end], network.batch_size)
            times[variant].append(seconds / steps)
        progress.update(task, completed=turn + 1 - WARM_UP_ROUNDS)
    return {
        "batch_size": network.batch_size,
        "weights": bare.count_params(),
        "variables": len(bare.trainable_variables),
        "turns": network.turns,
        "variants": _summary(variants, {variant: np.array(t[WARM_UP_ROUNDS:]) for variant, t in times.items()}),
    }


def _summary(variants, times):
    result = {}
    for name, seconds in times.items():
        ratio = quartiles(seconds / times["bare"])
        milliseconds = float(np.median(seconds)) * 1e3
        result[name] = {"steps": variants[name].steps, "ms_per_step": milliseconds, "ratio": ratio}
    ours = times["gradlog_1"] - times["bare"]
    for name in times.keys() - {"bare", "keras_tensorboard", *EVERY}:  # what logs every step
        result[name]["added_over_gradlog_1"] = quartiles((times[name] - times["bare"]) / ours)
    for name in ("gradlog_200", "gradlog_10"):
        result[name]["from_gradlog_1"] = 1 + (result["gradlog_1"]["ratio"]["median"] - 1) / EVERY[name]
    return result


def round_seconds(variant, x, y, batch_size):
    """Runs a round, one epoch over the data, and returns how long its timed steps and the callbacks' end took."""
    first, last = FirstCallback(), LastCallback()
    callbacks = [first, *variant.callbacks, last]
    variant.model.fit(x, y, batch_size=batch_size, epochs=1, verbose=0, callbacks=callbacks)
    return first.steps[-1] - first.steps[FIRST_STEPS] + last.end - first.end


class FirstCallback(keras.callbacks.Callback):
    """Notes when each step, and the end of the epoch, begins; the first of the callbacks.

    At the steps between which time is taken, it first waits for the device.

    It does nothing at the end of a batch: where a callback does, Keras' `fit` goes another way.
    """

    def __init__(self):
        super().__init__()
        self.steps, self.end = [], None

    def on_train_batch_begin(self, batch, logs=None):
        """Notes the time."""
        if batch in (FIRST_STEPS, self.params["steps"] - 1):
            overhead_device.synchronize(self.model)
        self.steps.append(time.perf_counter())

    def on_epoch_end(self, epoch, logs=None):
        """Notes the time."""
        self.end = time.perf_counter()


class LastCallback(keras.callbacks.Callback):
    """Notes when the other callbacks have ended; the last of them."""

    def __init__(self):
        super().__init__()
        self.end = None

    def on_train_end(self, logs=None):
        """Notes the time."""
        self.end = time.perf_counter()


def build_variants(network, seed, log_dir):
    """Returns a dictionary of `Variant` by name: the bare `fit` of a `Network`, and gradlog beside it."""

    def model(kind=keras.Model):
        return overhead_networks.model(network, seed, kind)

    def logger(name, **options):
        # Diagnosed as ever, but not told of: labels are random here, so the loss cannot fall.
        return gradlog.GradientLogger(log_dir / name, every=EVERY[name], on_finding="ignore", **options)

    steps = network.steps
    return {
        "bare": Variant(model(), [], network.long_steps),
        "gradlog_200": Variant(model(), [logger("gradlog_200")], network.long_steps),
        "gradlog_10": Variant(model(), [logger("gradlog_10")], steps),
        "gradlog_1": Variant(model(), [logger("gradlog_1")], steps),
        "gradlog_scalars_1": Variant(model(), [logger("gradlog_scalars_1", histograms=False)], steps),
        "gradlog_histograms_50": Variant(model(), [logger("gradlog_histograms_50", histograms=50)], steps),
    }


def tables(results, descriptions=DESCRIPTIONS, where=""):
    """Returns a table for the screen of each network's results.

    Args:
        results: Dictionary of what `measure` returned, by name.
        descriptions: Dictionary of what each variant is, by name. Defaults to those of `build_variants`.
        where: String, ends the title. Defaults to nothing.
    """
    return [_table(name, network, descriptions, where) for name, network in results.items()]


def _table(name, network, descriptions, where):
    rows = []
    for variant, numbers in network["variants"].items():
        expected = f"{numbers['from_gradlog_1']:.3f}" if "from_gradlog_1" in numbers else ""
        milliseconds = f"{numbers['ms_per_step']:.3f}"
        rows.append([descriptions[variant], str(numbers["steps"]), milliseconds, shown(numbers["ratio"], 3), expected])
    sizes = f"{network['weights']:,} weights in {network['variables']} variables, batches of {network['batch_size']}"
    headers = ["variant", "steps a round", "ms a step", "times the bare fit (quartiles)", "expected from every=1"]
    caption = f"Medians of {network['turns']} rounds of each."
    return runs.table(f"Fit · {name}, {sizes}{where}", headers, rows, caption)
