"""Program: a training function of JAX's whose steps are recorded."""

from gradlog.backends.program import Program, training_function


class JaxProgram(Program):
    """A training function that runs one step, as `Program` says."""

    def _make(self):
        model, step = self._model, self._model.train_step
        for recorder, tap in self.taps.items():
            step = recorder.guard.recorded_step(step, tap, None, lambda: model.run_eagerly or not model.jit_compile)
        return training_function(model, step)
