"""Program: a training function of TensorFlow's whose steps are recorded."""

import tensorflow as tf

from gradlog.backends.program import Program, training_function


class TensorFlowProgram(Program):
    """A training function, one graph of all the steps of a call, as `Program` says."""

    def _make(self, arguments):
        step = self._model.train_step
        for recorder, tap in self.taps.items():
            recorder.switch_on()
            step = recorder.guard.recorded_step(step, tap, tf.cond, tf.executing_eagerly)
        return training_function(self._model, step)
