"""Program: a training function of PyTorch's whose step is recorded."""

import contextlib
from collections.abc import Sequence

from gradlog.backends.inform import inform
from gradlog.backends.program import Program, training_function


class TorchProgram(Program):
    """A training function that runs one step, as `Program` says; it looks the step up on the model."""

    def __init__(self, model, recorders: Sequence, arguments: tuple):
        super().__init__(model, recorders, arguments)
        self.step = self._recorded

    def _make(self, arguments):
        step = self._model.train_step
        for recorder, tap in self.taps.items():
            step = recorder.guard.recorded_step(step, tap, None, lambda: True)
        self._recorded = step
        with _uncompiled(self._model):
            return training_function(self._model, step)


@contextlib.contextmanager
def _uncompiled(model):
    """Has a model make a training function that runs step by step: a compiled one cannot be looked into."""
    if not model.jit_compile:
        yield
        return
    inform(
        "gradlog runs logged steps without `torch.compile`, since a compiled step cannot be looked into. Their "
        "rounding may differ from that of compiled steps."
    )
    model.jit_compile = False
    try:
        yield
    finally:
        model.jit_compile = True
