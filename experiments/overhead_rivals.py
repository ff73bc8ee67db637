"""Other ways to log gradients under `model.fit`, for `experiments.overhead_fit` to time; on TensorFlow alone."""

import keras
import tensorflow as tf

from experiments import overhead_networks
from experiments.overhead_fit import Variant

DESCRIPTIONS = {
    "keras_tensorboard": "keras.callbacks.TensorBoard, weights once a round",
    "tf_summary_in_step": "tf.summary.histogram in train_step, every step",
    "second_tape": "a second GradientTape in a callback, compiled, every step",
    "second_tape_eager": "the same as it is usually written, not compiled",
}


def build(network, seed, log_dir):
    """Returns a dictionary of `Variant` by name.

    Args:
        network: The `Network` that is trained.
        seed: Integer, of weights and data.
        log_dir: Path; what is logged goes below it.
    """

    def model(kind=keras.Model):
        return overhead_networks.model(network, seed, kind)

    tensorboard = keras.callbacks.TensorBoard(log_dir / "keras_tensorboard", histogram_freq=1, write_graph=False)
    summary_model, tape_model = model(SummaryModel), model()
    summary_model.writer = tf.summary.create_file_writer(str(log_dir / "tf_summary_in_step"))
    flush = keras.callbacks.LambdaCallback(on_train_end=lambda logs: summary_model.writer.flush())
    data = overhead_networks.random_data(tape_model.input_shape[1:], network.batch_size, seed)
    second_tape = SecondTape(data, log_dir / "second_tape")
    slow = network.slow_steps
    variants = {
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
