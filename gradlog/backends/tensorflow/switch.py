"""Switch: two programs for one training, a plain one and one that records, and which of them runs next.

Keras looks up `model.train_function` anew for every call, after `on_train_batch_begin`. Where a step is due, the
callback puts a `Switch` there; it runs a recording program once and puts back what was there before. The other
steps run the very program that they would have run anyway.
"""

from collections.abc import Sequence

import keras

from gradlog.backends.tensorflow.capture import Capture


class Switch:
    """Stands in for a model's `train_function` for one call.

    Args:
        model: The model.
        captures: The `Capture`s of one logger, one for each optimizer.
    """

    def __init__(self, model: keras.Model, captures: Sequence[Capture]):
        self._model, self._captures, self._programs, self._original = model, tuple(captures), {}, None

    def arm(self) -> None:
        """Makes the model's next call of its training function a recorded one."""
        if self in self._chain():
            return
        self._original = self._model.train_function
        vars(self._model)["train_function"] = self  # past Keras' own `__setattr__`, which takes its time

    def __call__(self, *args):
        """Puts back the plain program and runs the one that records for all loggers whose step is due."""
        chain = self._chain()
        vars(self._model)["train_function"] = chain[-1]._original
        captures = tuple(capture for switch in chain for capture in switch._captures)
        if captures not in self._programs:
            self._programs[captures] = _recording_program(self._model, captures)
        result = self._programs[captures](*args)
        for capture in captures:
            result = capture.take(result)
        return result

    def disarm(self) -> None:
        """Puts back what stands behind it, where the call it was armed for did not come."""
        chain = self._chain()
        if self in chain:
            before = chain.index(self) - 1
            owner, name = (vars(self._model), "train_function") if before < 0 else (vars(chain[before]), "_original")
            owner[name] = self._original

    def _chain(self):
        """Returns the switches that are armed, the one that is called first."""
        chain, function = [], self._model.train_function
        while isinstance(function, Switch):
            chain.append(function)
            function = function._original
        return chain


def _recording_program(model: keras.Model, captures: tuple[Capture, ...]):
    """Has the model make another training function, of a step that records."""
    plain, step = model.train_function, model.train_step
    for capture in captures:
        step = capture.recorded(step)
    earlier = model.__dict__.get("train_step")
    model.__dict__["train_step"] = step
    try:
        model.make_train_function(force=True)
        return model.train_function
    finally:
        model.train_function = plain
        if earlier is None:
            del model.__dict__["train_step"]
        else:
            model.__dict__["train_step"] = earlier
