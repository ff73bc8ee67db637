"""Program: a training function whose steps are recorded."""

import abc
from collections.abc import Callable, Sequence

from gradlog.backends.engine import engine
from gradlog.backends.recorder import OWN_PREFIX


class Program(abc.ABC):
    """A training function that Keras has made of the model's own `train_step`, with taps on it.

    Args:
        model: The model.
        recorders: The `Recorder`s, one for each optimizer of each logger.

    Attributes:
        function: The training function.
        taps: Dictionary of the `Recorder`s to the `Tap`s of this program, which hold what its numbers mean.
    """

    def __init__(self, model, recorders: Sequence):
        self._model, self.taps = model, {recorder: engine().tap(recorder) for recorder in recorders}
        self.function = self._make()

    @abc.abstractmethod
    def _make(self) -> Callable:
        """Returns the training function."""

    @staticmethod
    def joined(result, outputs: dict):
        """Returns what a step returns together with what is gradlog's."""
        return {**result, **outputs} if outputs else result

    @staticmethod
    def parted(result) -> tuple:
        """Returns what a step or a call returned without what is gradlog's, and that."""
        if not isinstance(result, dict):
            return result, {}
        own = {name: value for name, value in result.items() if str(name).startswith(OWN_PREFIX)}
        return ({name: value for name, value in result.items() if name not in own} if own else result), own


def training_function(model, step: Callable) -> Callable:
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
