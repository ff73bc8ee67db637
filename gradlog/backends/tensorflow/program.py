"""Program: a training function whose steps are recorded."""

from collections.abc import Sequence

import tensorflow as tf

from gradlog.backends.tensorflow.recorder import Recorder
from gradlog.backends.tensorflow.tap import Tap


class Program:
    """A training function that Keras has made of the model's own `train_step`, with taps on it.

    Args:
        model: The model.
        recorders: The `Recorder`s, one for each optimizer of each logger.

    Attributes:
        function: The training function.
        taps: Dictionary of the `Recorder`s to the `Tap`s of this program, which hold what its numbers mean.
    """

    def __init__(self, model, recorders: Sequence[Recorder]):
        self.taps, step = {recorder: Tap(recorder) for recorder in recorders}, model.train_step
        for recorder, tap in self.taps.items():
            recorder.allocate()
            recorder.is_on.assign(True)
            step = recorder.guard.recorded_step(step, tap, tf.cond, tf.executing_eagerly)
        self.function = _training_function(model, step)


def _training_function(model, step):
    """Has the model make another training function, of another step."""
    attributes, plain, missing = vars(model), model.train_function, object()
    earlier = attributes.get("train_step", missing)
    attributes["train_step"] = step
    try:
        model.make_train_function(force=True)
        return model.train_function
    finally:
        model.train_function = plain
        if earlier is missing:
            del attributes["train_step"]
        else:
            attributes["train_step"] = earlier
