"""Program: a training function of JAX's whose steps are recorded."""

import keras

from gradlog.backends.jax.state import pairs
from gradlog.backends.program import Program, training_function


class JaxProgram(Program):
    """A training function that runs one step, as `Program` says."""

    def _make(self, arguments):
        model, step = self._model, self._model.train_step
        for recorder, tap in self.taps.items():
            step = recorder.guard.recorded_step(step, tap, None, lambda: model.run_eagerly or not model.jit_compile)
        state, *_ = arguments
        # Where arrays are divided among devices, Keras asks the variables how, which are empty by now.
        with keras.StatelessScope(pairs(model, state)):
            return training_function(model, step)
