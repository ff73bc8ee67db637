"""Program: a training function whose steps are recorded."""

import abc
import contextlib
from collections.abc import Callable, Iterator, Sequence

from gradlog.backends.engine import engine


class Program(abc.ABC):
    """A training function that Keras has made of the model's own `train_step`, with taps on it.

    Args:
        model: The model.
        recorders: The `Recorder`s, one for each optimizer of each logger.
        arguments: Those of the first call of the training function.

    Attributes:
        function: The training function.
        step: A training step that has to stand on the model while the function runs, since that looks it up anew, or
            `None`.
        taps: Dictionary of the `Recorder`s to the `Tap`s of this program, which hold what its numbers mean.
    """

    def __init__(self, model, recorders: Sequence, arguments: tuple):
        self._model, self.taps = model, {recorder: engine().tap(recorder) for recorder in recorders}
        self.step, self.function = None, self._make(arguments)

    @abc.abstractmethod
    def _make(self, arguments: tuple) -> Callable:
        """Returns the training function."""


@contextlib.contextmanager
def standing_in(model, step: Callable | None) -> Iterator[None]:
    """Has a training step stand on the model for a while, unless it is `None`."""
    if step is None:
        yield
        return
    attributes, missing = vars(model), object()
    earlier = attributes.get("train_step", missing)
    attributes["train_step"] = step
    try:
        yield
    finally:
        if earlier is missing:
            del attributes["train_step"]
        else:
            attributes["train_step"] = earlier


def training_function(model, step: Callable) -> Callable:
    """Has the model make another training function, of another step."""
    plain = model.train_function
    with standing_in(model, step):
        try:
            model.make_train_function(force=True)
            return model.train_function
        finally:
            model.train_function = plain
