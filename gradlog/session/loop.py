"""`gradlog.train`: a `GradientTape` loop, many steps inside one compiled function."""

import keras

from gradlog.backends.engine import engine
from gradlog.session.checks import checked_integer


def train(
    model: keras.Model,
    dataset,
    *,
    steps: int,
    callbacks: list[keras.callbacks.Callback] | None = None,
    steps_per_execution: int = 200,
    verbose: int = 0,
) -> keras.callbacks.History:
    """Trains a compiled model with a custom `tf.GradientTape` loop.

    Many steps run inside one compiled function, so that Python and the callbacks are entered only between
    calls of it: on small networks this is several times as fast as calling a step function from Python. A step
    does what Keras' own does (forward pass, `compute_loss`, gradients, the optimizer, metrics), so that the same
    seed gives the same numbers as `fit`. The whole run is one epoch.

    Args:
        model: A compiled Keras model.
        dataset: A `tf.data.Dataset` of batches, `(x, y)` or `(x, y, sample_weight)`, at least `steps` of them;
            `repeat()` makes it endless.
        steps: Integer, the number of optimizer steps.
        callbacks: List of Keras callbacks, called as Keras calls them with `steps_per_execution`. Defaults to
            `None`.
        steps_per_execution: Integer, the number of steps between two calls of the callbacks; the larger, the
            faster. Defaults to `200`.
        verbose: 0 is silent, 1 shows Keras' progress bar, 2 prints one line. Defaults to `0`.

    Returns:
        A `keras.callbacks.History`; its `history` holds the loss and metrics, the mean over the run.

    Raises:
        TypeError: `model` is not a Keras model, `dataset` not a `tf.data.Dataset`, or `steps` not an integer.
        ValueError: `model` is not compiled or has no trainable variables; `steps` is below 1; the elements of
            `dataset` have another form.
        RuntimeError: Keras does not run on TensorFlow.

    Example:
    ```python
    logger = gradlog.GradientLogger("logs/relu", every=200)
    gradlog.train(model, dataset.repeat(), steps=2500, callbacks=[logger])
    ```
    """
    steps = checked_integer("steps", steps, least=1)
    steps_per_execution = min(checked_integer("steps_per_execution", steps_per_execution, least=1), steps)
    return engine().train(model, dataset, steps, callbacks, steps_per_execution, verbose)
