"""What logging costs under `model.fit`: variants of one training, timed by turns beside the bare `fit`.

Each variant is a separate model that keeps training. In every turn each runs a round, a `fit` of one epoch, in
random order, and its time per step is divided by that of the bare round of the same turn. The first
rounds, which trace, are thrown away; later ones reuse the programs. Of a round, the first steps and the last are not
timed, since with them Keras begins and ends a `fit`; what callbacks do at its end, until all is written, is.

The data are random, since only time is measured.
"""

import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

import gradlog
from experiments import overhead_networks, runs
from experiments.overhead_numbers import quartiles, shown

WARM_UP_ROUNDS = 2
FIRST_STEPS = 4  # of a round, not timed
UNTIMED_STEPS = FIRST_STEPS + 1  # and the last
EVERY = {"gradlog_200": 200, "gradlog_10": 10, "gradlog_1": 1, "gradlog_scalars_1": 1}
DESCRIPTIONS = {
    "bare": "fit without callbacks",
    "gradlog_200": "GradientLogger(every=200)",
    "gradlog_10": "GradientLogger(every=10)",
    "gradlog_1": "GradientLogger(every=1)",
    "gradlog_scalars_1": "GradientLogger(every=1, histograms=False)",
    "keras_tensorboard": "keras.callbacks.TensorBoard, weights once a round",
    "tf_summary_in_step": "tf.summary.histogram in train_step, every step",
    "second_tape": "a second GradientTape in a callback, compiled, every step",
    "second_tape_eager": "the same as it is usually written, not compiled",
}


class Variant(NamedTuple):
    """One way to train: a model, its callbacks, and the steps of a round."""

    model: keras.Model
    callbacks: list
    steps: int


def measure(network, seed, log_dir, progress, name=""):
    """Times the variants of one `Network`.

    Args:
        network: A `Network`.
        seed: Integer, of weights, data and the order of the turns.
        log_dir: String or path; what is logged goes below it.
        progress: A `rich.progress.Progress` that shows how far it is.
        name: String, stands before the bar.

    Returns:
        A dictionary: the network's size, and under `variants` steps of a round, milliseconds a step, and the ratio
        to the bare `fit`; with `from_gradlog_1`, the ratio that `gradlog_1` would let expect, and with
        `added_over_gradlog_1`, how many times the time that `gradlog_1` adds to a step the variant adds.
    """
    variants = build_variants(network, seed, Path(log_dir))
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
    for name in {"tf_summary_in_step", "second_tape", "second_tape_eager"} & times.keys():
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

    It does nothing at the end of a batch: where a callback does, Keras' `fit` goes another way.
    """

    def __init__(self):
        super().__init__()
        self.steps, self.end = [], None

    def on_train_batch_begin(self, batch, logs=None):
        """Notes the time."""
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
    """Returns a dictionary of the variants of a `Network` by name."""

    def model(kind=keras.Model):
        return overhead_networks.model(network, seed, kind)

    def logger(name, **options):
        # Diagnosed as ever, but not told of: labels are random here, so the loss cannot fall.
        return gradlog.GradientLogger(log_dir / name, every=EVERY[name], on_finding="ignore", **options)

    tensorboard = keras.callbacks.TensorBoard(log_dir / "keras_tensorboard", histogram_freq=1, write_graph=False)
    summary_model, tape_model = model(SummaryModel), model()
    summary_model.writer = tf.summary.create_file_writer(str(log_dir / "tf_summary_in_step"))
    flush = keras.callbacks.LambdaCallback(on_train_end=lambda logs: summary_model.writer.flush())
    data = overhead_networks.random_data(tape_model.input_shape[1:], network.batch_size, seed)
    second_tape = SecondTape(data, log_dir / "second_tape")
    slow = network.slow_steps
    variants = {
        "bare": Variant(model(), [], network.long_steps),
        "gradlog_200": Variant(model(), [logger("gradlog_200")], network.long_steps),
        "gradlog_10": Variant(model(), [logger("gradlog_10")], network.steps),
        "gradlog_1": Variant(model(), [logger("gradlog_1")], slow),
        "gradlog_scalars_1": Variant(model(), [logger("gradlog_scalars_1", histograms=False)], slow),
        "keras_tensorboard": Variant(model(), [tensorboard], network.steps),
        "tf_summary_in_step": Variant(summary_model, [flush], slow),
        "second_tape": Variant(tape_model, [second_tape], slow),
    }
    if network.eager_steps:
        eager = SecondTape(data, log_dir / "second_tape_eager", is_compiled=False)
        variants["second_tape_eager"] = Variant(model(), [eager], network.eager_steps)
    return variants


class SummaryModel(keras.Model):
    """A model whose step writes histograms of all gradients and weights, to the file writer `writer`."""

    def train_step(self, data):
        """Runs one step, as Keras does, and writes."""
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred, training=True)
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(x)[0])
        gradients = tape.gradient(loss, self.trainable_variables)
        with self.writer.as_default(step=self.optimizer.iterations.value):
            for variable, gradient in zip(self.trainable_variables, gradients, strict=True):
                tf.summary.histogram(f"gradient/{variable.path}", gradient)
                tf.summary.histogram(f"weight/{variable.path}", variable.value)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self.compute_metrics(x, y, y_pred)


class SecondTape(keras.callbacks.Callback):
    """Computes the gradients of a batch a second time after every step, and writes them.

    Args:
        data: Arrays x and y of the batch.
        log_dir: Path of the event file.
        is_compiled: Boolean, whether to compile it. Defaults to `True`.
    """

    def __init__(self, data, log_dir, is_compiled=True):
        super().__init__()
        self._is_compiled = is_compiled
        self._x, self._y = map(tf.constant, data)
        self._writer, self._write = tf.summary.create_file_writer(str(log_dir)), None

    def on_train_batch_end(self, batch, logs=None):
        """Writes a histogram and a scalar of each gradient."""
        if self._write is None:
            write = self._write_gradients
            self._write = tf.function(write, autograph=False) if self._is_compiled else write
        self._write()

    def on_train_end(self, logs=None):
        """Writes what still waits."""
        self._writer.flush()

    def _write_gradients(self):
        model = self.model
        with tf.GradientTape() as tape:
            loss = model.compute_loss(self._x, self._y, model(self._x, training=True), training=True)
        gradients = tape.gradient(loss, model.trainable_variables)
        with self._writer.as_default(step=model.optimizer.iterations.value):
            for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
                tf.summary.histogram(f"gradient/{variable.path}", gradient)
                tf.summary.scalar(f"gradient_mean_abs/{variable.path}", tf.reduce_mean(tf.abs(gradient)))


def tables(results):
    """Returns a table for the screen of each network's results, a dictionary by name."""
    return [_table(name, network) for name, network in results.items()]


def _table(name, network):
    rows = []
    for variant, numbers in network["variants"].items():
        expected = f"{numbers['from_gradlog_1']:.3f}" if "from_gradlog_1" in numbers else ""
        milliseconds = f"{numbers['ms_per_step']:.3f}"
        rows.append([DESCRIPTIONS[variant], str(numbers["steps"]), milliseconds, shown(numbers["ratio"], 3), expected])
    sizes = f"{network['weights']:,} weights in {network['variables']} variables, batches of {network['batch_size']}"
    headers = ["variant", "steps a round", "ms a step", "times the bare fit (quartiles)", "expected from every=1"]
    caption = f"Medians of {network['turns']} rounds of each."
    return runs.table(f"Fit · {name}, {sizes}", headers, rows, caption)
