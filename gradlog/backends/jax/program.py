"""Program: a training function of JAX's whose steps are recorded."""

from gradlog.backends.program import Program, training_function


class JaxProgram(Program):
    """A training function that runs one step, as `Program` says; a step returns Keras' logs and the new state."""

    def _make(self):
        model, step = self._model, self._model.train_step
        for recorder, tap in self.taps.items():
            step = recorder.guard.recorded_step(
                step, tap, self, None, lambda: model.run_eagerly or not model.jit_compile
            )
        return training_function(model, step)

    @staticmethod
    def joined(result, outputs):
        """Returns what a step returns together with what is gradlog's."""
        logs, state = result
        return Program.joined(logs, outputs), state

    @staticmethod
    def parted(result):
        """Returns what a step returned without what is gradlog's, and that."""
        logs, state = result
        logs, own = Program.parted(logs)
        return (logs, state), own
