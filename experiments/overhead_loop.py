"""How fast `gradlog.train` is, beside a loop that calls a compiled one-step function from Python; on TensorFlow."""

import time

import keras
import numpy as np
import tensorflow as tf

import gradlog
from experiments import data, mnist_activations, runs
from experiments.overhead_numbers import quartiles, shown


def build_model(seed):
    """Returns the network of `experiments.mnist_activations` with ReLU."""
    keras.utils.set_random_seed(seed)
    return mnist_activations.build_model(mnist_activations.Config(), "relu")


def measure(rounds, every, seed, log_dir):
    """Times `gradlog.train` and the ordinary loop by turns.

    Args:
        rounds: Integer, how many rounds of each are measured.
        every: Integer, steps between two logged ones, and steps of a round.
        seed: Integer, of the weights and of the order of the digits.
        log_dir: String or path.

    Returns:
        A dictionary of milliseconds a step, and how many times as fast `gradlog.train` is.
    """
    digits = data.load_mnist("embedded")
    dataset = data.batches(digits, mnist_activations.Config().batch_size, seed)
    ordinary = OrdinaryLoop(build_model(seed), dataset)
    ordinary.seconds(every)  # traces
    turns = Turns(every, ordinary)
    logger = gradlog.GradientLogger(log_dir, every=every)
    callbacks = [turns.begin, logger, turns.end]
    gradlog.train(build_model(seed), dataset, steps=(rounds + 2) * every, callbacks=callbacks)
    ours, theirs = np.array(turns.ours[2:]), np.array(turns.theirs[2:])  # the first rounds trace
    return {
        "ours_ms_per_step": float(np.median(ours)) * 1e3 / every,
        "ordinary_ms_per_step": float(np.median(theirs)) * 1e3 / every,
        "times_as_fast": quartiles(theirs / ours),
        "first_round_seconds": turns.ours[0],
    }


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


def table(loop, every):
    """Returns a table for the screen of what `measure` returned."""
    rows = [
        ["one-step tf.function called from Python", f"{loop['ordinary_ms_per_step']:.3f}", "1"],
        [
            f"gradlog.train, logging every {every} steps",
            f"{loop['ours_ms_per_step']:.3f}",
            shown(loop["times_as_fast"], 2),
        ],
    ]
    caption = f"Tracing took the first round {loop['first_round_seconds']:.1f} s, which is not in the other numbers."
    title = "Loop · the article's network, batches of 30"
    return runs.table(title, ["loop", "ms a step", "times as many steps per second"], rows, caption)
