"""What logging costs under `model.fit`: variants of one training, timed by turns beside the bare `fit`.

Each variant is a separate model that keeps training. In every turn each runs a round, a `fit` of one epoch, in
random order. Before and after each, the bare `fit` runs a shorter one, and the time per step is divided by the mean of
these two, so that a machine whose speed changes within minutes slows both sides. The first turns, which trace, are
thrown away; later ones reuse the programs. Of a round, the first steps and the last are not timed, since with them
Keras begins and ends a `fit`; what callbacks do at its end, until all is written, is. Before time is taken, a device
that computes while Python goes on is waited for.

The data are random, since only time is measured.
"""

import math
import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

import gradlog
from experiments import overhead_device, overhead_networks, runs
from experiments.overhead_numbers import quartiles, shown

WARM_UP_TURNS = 2
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
    data = overhead_networks.random_data(bare.input_shape[1:], size, seed)
    order, others = np.random.default_rng(seed), [name for name in variants if name != "bare"]
    task, turns = progress.add_task(name, total=network.turns, loss=""), []
    for _ in range(WARM_UP_TURNS):
        _turn(variants, others, network, data, network.slow_steps)
    for _ in range(network.turns):
        turns.append(_turn(variants, order.permutation(others), network, data))
        progress.advance(task)
    return {
        "batch_size": network.batch_size,
        "weights": bare.count_params(),
        "variables": len(bare.trainable_variables),
        "turns": network.turns,
        "variants": _summary(variants, turns),
    }


def _turn(variants, order, network, data, most_steps=math.inf):
    """Runs a round of each variant between two of the bare one; returns the seconds a step of each, and of its two."""

    def seconds(name):
        steps = min(variants[name].steps, most_steps)
        x, y = (array[: (steps + UNTIMED_STEPS) * network.batch_size] for array in data)
        return round_seconds(variants[name], x, y, network.batch_size) / steps

    before, result = seconds("bare"), {}
    for name in order:
        own, after = seconds(name), seconds("bare")
        result[name] = own, (before + after) / 2
        before = after
    return result


def _summary(variants, turns):
    """Returns what `measure` returns of each variant."""
    pairs = {name: np.array([turn[name] for turn in turns]).T for name in turns[0]}  # [2, turns]
    bare = np.concatenate([beside for _, beside in pairs.values()])
    pairs["bare"] = np.stack([bare, bare])
    added, result = {name: own / beside - 1 for name, (own, beside) in pairs.items()}, {}
    for name, variant in variants.items():
        milliseconds = float(np.median(pairs[name][0])) * 1e3
        result[name] = {"steps": variant.steps, "ms_per_step": milliseconds, "ratio": quartiles(1 + added[name])}
    for name in result.keys() - {"bare", "keras_tensorboard", *EVERY}:  # what logs every step
        result[name]["added_over_gradlog_1"] = quartiles(added[name] / added["gradlog_1"])
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
        "bare": Variant(model(), [], max(steps // 2, 1)),
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
    caption = f"Medians of {network['turns']} rounds of each, between two of the bare fit."
    return runs.table(f"Fit · {name}, {sizes}{where}", headers, rows, caption)
