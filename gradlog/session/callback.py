"""GradientLogger: the callback that logs gradients under `fit`, and under `gradlog.train`."""

import contextlib
import dataclasses
import glob
import os
import warnings
from collections.abc import Callable, Sequence

import keras
import numpy as np

from gradlog.backends.tensorflow import attach
from gradlog.backends.tensorflow.capture import Capture, Options
from gradlog.backends.tensorflow.checks import checked_model, checked_pair, refuse_other_backends
from gradlog.backends.tensorflow.optimizers import batches_per_step, num_batches, optimizers
from gradlog.backends.tensorflow.probe import Probe
from gradlog.backends.tensorflow.switch import Switch
from gradlog.diagnosis.announcer import Announcer
from gradlog.diagnosis.finding import Finding
from gradlog.diagnosis.monitor import Diagnosed, Monitor
from gradlog.history import names
from gradlog.session.checks import checked_integer, checked_log_dir, checked_on_finding, checked_rules, checked_selector
from gradlog.session.schedule import SELF_DECIDING, schedule_of
from gradlog.writers import BackgroundWriter, EventWriter, MultiWriter

_BYTES_OF_A_START = 1 << 16  # of an event file: its first logged step begins there


class GradientLogger(keras.callbacks.Callback):
    """Logs how gradients flow through a model while it trains, for TensorBoard.

    At every logged step it writes, for every variable, the mean-absolute gradient, the gradient's and the weights'
    norm, how far the update moved the weights, and histograms of gradient and weights; and the loss and the
    metrics of that very batch. The gradient is the one that the step applies, unscaled and before clipping; no
    second pass is made. Steps that are not logged run the program that they would have run without the logger.

    `model.evaluate(..., callbacks=[logger])` after the training writes `test/<metric>`.

    What fails in logging, such as a full disk, never ends or changes the training: one warning says it, and the
    attribute `error` holds the exception, until the next training; it is `None` where all is well.

    Args:
        log_dir: String or path, the directory of this run. TensorBoard names the run after it.
        every: Integer, the number of optimizer steps from one logged step to the next; those are logged whose
            number, counted by the optimizer from 0, is a multiple of it. Where a `train_step` has several
            optimizers, that one counts which moves least often. Defaults to `200`.
        variables: Which trainable variables to log: `None` for all, a regular expression that is searched for in
            the name (as in `layer1/kernel`), a list of them, or a function of the Keras variable that returns
            whether to log it. Defaults to `None`.
        histograms: Boolean, whether to write histograms of gradients, weights and activations. They take 16 kB of
            memory a variable (33 kB for each step that is due in one call, with `steps_per_execution`), and most of
            the space on disk. Defaults to `True`.
        updates: Boolean, whether to write the update ratio. It keeps a second copy of the logged weights, 4 bytes a
            weight, while a logged step runs. Defaults to `True`. Beside these, a logged step computes in blocks of
            8 MB, and keeps a gradient until it has been read.
        activations: Array, tensor, or a list, tuple or dictionary of them where the model has several inputs: a batch
            of inputs to look at the hidden activations with, such as `x[:100]`. A logged step then costs one forward
            pass of inference over it more, with the weights before the update, that leaves weights, statistics and
            random state as they are. Of the steps in one call, with `steps_per_execution`, the first that is due gets
            what the pass saw before the call. Defaults to `None`, no such pass.
        rules: List of the rules that the run is held against while it trains, such as
            `[gradlog.rules.Vanishing(ratio=1e-4)]`. Defaults to `None`, for all with their defaults; an empty list is
            for none.
        on_finding: What happens when something is found wrong: `"warn"` warns of each finding once, and again when it
            has got worse; `"stop"` does, and ends the training through `model.stop_training`; `"ignore"` does neither;
            a function gets the `Finding`, and again when it got worse or healed. Whatever it is, the findings are
            written to the Text tab, and are in the attribute `findings`, worst first. Defaults to `"warn"`.
        writers: List of further writers, such as `gradlog.writers.MemoryWriter`, that get everything as well.
            Defaults to none.

    Raises:
        ValueError: an argument is out of its range; the model has no trainable variables, or none that
            `variables` chooses; Keras runs on another backend than TensorFlow; the model does not take
            `activations` (when the training begins).
        TypeError: an argument is of a wrong type.
        OSError: `log_dir` cannot be written (when the training begins).

    Example:
    ```python
    model.fit(x, y, callbacks=[gradlog.GradientLogger("logs/relu", every=100)])
    ```
    """

    def __init__(
        self,
        log_dir: str | os.PathLike,
        every: int = 200,
        *,
        variables: str | list[str] | Callable[[keras.Variable], bool] | None = None,
        histograms: bool = True,
        updates: bool = True,
        activations=None,
        rules: Sequence | None = None,
        on_finding: str | Callable[[Finding], None] = "warn",
        writers: Sequence = (),
    ):
        super().__init__()
        refuse_other_backends()
        self.log_dir, self.every = checked_log_dir(log_dir), checked_integer("every", every, least=1)
        self._options = Options(self.every, histograms, updates, checked_selector(variables))
        self._more_writers = tuple(writers)
        self._rules, self._on_finding = checked_rules(rules), checked_on_finding(on_finding)
        self._probe, self._error = Probe(activations, histograms), None
        self._writer = self._switch = self._setting = self._monitor = None
        self._captures = ()
        self._is_training = self._is_armed = False

    @property
    def error(self) -> Exception | None:
        """What failed in logging, if anything did; said in a warning."""
        return self._error or self._probe.error

    @property
    def findings(self) -> list[Finding]:
        """What was found in the last training, worst first."""
        return self._monitor.findings if self._monitor else []

    def set_params(self, params):
        """Begins anew: Keras calls it before a training and before an evaluation that is no part of one."""
        super().set_params(params)
        self._is_training = False

    def on_train_begin(self, logs=None):
        """Opens a new event file."""
        checked_model(self.model)
        self._disarm()
        self._probe.begin(self.model)
        self._optimizers, is_first_recorded = optimizers(self.model), (self.params or {}).get("records_first_step")
        self._schedule = schedule_of(self.model, self._optimizers, self.every, is_first_recorded)
        self._is_started = self._is_blind = False
        if self._error is not None:
            self._error = self._setting = None
            self._captures = ()
        if self._writer is not None:  # of a training that ended in an error
            self._writer.close()
        self._has_earlier_run = self._writer is None and _holds_a_run(self.log_dir)
        self._writer = self._open(self.model)
        self._watch(self.model, self._optimizers)
        self._is_training = True

    def on_epoch_begin(self, epoch, logs=None):
        """Counts the steps anew from the optimizer's own count."""
        self._schedule.restart()

    def steps_of_next_call(self) -> int:
        """Returns how many steps may run in one call of a program that records its first step, or none."""
        return self._schedule.steps_of_next_call()

    def on_train_batch_begin(self, batch, logs=None):
        """Has the coming call of the training program recorded where a step in it is due."""
        self._is_training = True
        self._is_armed = not self._is_blind and self._schedule.is_call_due()
        if self._is_armed:
            self._prepare()
            self._probe.observe()
            self._switch.arm()

    def on_train_batch_end(self, batch, logs=None):
        """Writes what was recorded."""
        self._disarm()
        if self._is_blind:
            return
        self._schedule.advance()
        if self._is_armed:
            if self._setting is None:  # not known before: the call may have built the model
                self._setting = self._current_setting()
            self._write_recorded(logs or {})
        self._look_for_errors()

    def on_test_end(self, logs=None):
        """Writes the metrics of an evaluation: of `validation` during the training, else of `test`."""
        kind = "validation" if self._is_training else "test"
        counts = [num_batches(one) // batches_per_step(one) for one in optimizers(self.model)]
        writer = self._writer if self._is_training else self._open(self.model)
        writer.write_scalars(min(filter(None, counts), default=0), _scalars(kind, logs))
        if not self._is_training:
            writer.close()
            self._look_for_errors(writer)

    def on_train_end(self, logs=None):
        """Closes the event file."""
        self._is_training = False
        self._disarm()
        self._diagnosed.close()
        self._close()

    def attach(self, model: keras.Model, optimizer: keras.optimizers.Optimizer | None = None):
        """Logs the steps of a training loop of your own, as a context manager.

        The loop's step may be compiled or not; a compiled one must be called for the first time inside of the
        context, since it is then that it is traced. The loss is not known here; write it where you have it.

        Args:
            model: A Keras model.
            optimizer: The Keras optimizer that the loop applies gradients with. Defaults to the model's own.

        Returns:
            A context manager.

        Raises:
            TypeError: `model` is no Keras model, or `optimizer` no Keras optimizer.
            ValueError: the logger has `activations`, which nothing can look at between the steps of such a loop.
            OSError: `log_dir` cannot be written.

        Example:
        ```python
        with gradlog.GradientLogger("logs/relu").attach(model, optimizer):
            for x, y in dataset:
                my_step(x, y)
        ```
        """
        model, optimizer = checked_pair(model, optimizer or getattr(model, "optimizer", None))
        self._probe.refuse_loop()
        return self._attached(model, Capture(model, optimizer, self._options, SELF_DECIDING))

    @contextlib.contextmanager
    def _attached(self, model, capture):
        self._writer, self._captures = self._open(model), (capture,)
        self._setting = self._error = None
        self._watch(model, (capture.optimizer,))
        try:
            with attach.watched(capture, self._diagnosed):
                yield
        finally:
            self._writer.close()
            self._look_for_errors()

    def _watch(self, model, optimizers):
        """Has every snapshot that is written from now on diagnosed; a training that goes on is one run."""
        announcer = Announcer(self._on_finding, self._writer, self.log_dir, model)
        step = min((num_batches(one) // batches_per_step(one) for one in optimizers), default=0)
        if self._monitor is not None and self._monitor.is_before(step):
            self._monitor.go_on(announcer.tell)
        else:
            self._monitor = Monitor(announcer.tell, self._rules)
        self._diagnosed = Diagnosed(self._writer, self._monitor)

    def _open(self, model):
        writers = [EventWriter(self.log_dir)] if _is_chief(model.distribute_strategy) else []
        return BackgroundWriter(MultiWriter([*writers, *self._more_writers]))

    def _close(self):
        """Closes the event file, and says where writing was slower than the training."""
        self._writer.close()
        self._look_for_errors()
        if self._writer.num_left_out:
            warnings.warn(
                f"gradlog left out {self._writer.num_left_out:,} logged steps, since writing to {self.log_dir!r} is "
                "slower than the training. Choose a larger `every`, or a faster disk.",
                stacklevel=2,
            )

    def _disarm(self):
        if self._switch is not None:
            self._switch.disarm()

    def _look_for_errors(self, writer=None):
        """Says once that nothing more is written, and why; the training goes on."""
        errors = [part.error for part in (writer or self._writer, *self._captures) if part.error is not None]
        if errors and self._error is None:
            self._error = errors[0]
            self._is_blind = True
            warnings.warn(
                f"gradlog writes nothing more to {self.log_dir!r}, the training goes on: "
                f"{type(self._error).__name__}: {self._error}",
                stacklevel=2,
            )

    def _give_up(self):
        self._is_blind = True
        warnings.warn(
            "gradlog logs no gradients of this training: its step does not apply them with `model.optimizer`, nor "
            "with another optimizer that the model has as an attribute. Log each with `logger.attach(model, "
            "optimizer)`.",
            stacklevel=2,
        )

    def _warn_of_an_earlier_run(self):
        if self._has_earlier_run and not any(map(num_batches, self._optimizers)):
            warnings.warn(
                f"{self.log_dir!r} holds an earlier run, and this one starts at step 0 again: TensorBoard will draw "
                "both as one. Give each run a directory of its own.",
                stacklevel=2,
            )

    def _prepare(self):
        """At the first recorded step of a training, makes captures and switch, or keeps those of an earlier one."""
        if self._is_started:
            return
        self._warn_of_an_earlier_run()
        if self._setting is None or self._setting != self._current_setting():
            mode = self._schedule.mode()
            self._captures = tuple(Capture(self.model, one, self._options, mode) for one in self._optimizers)
            self._switch, self._setting = Switch(self.model, self._captures), None
        for capture in self._captures:
            capture.start()
        self._is_started = True

    def _current_setting(self):
        """Returns what a recording program depends on; a change of it, and only that, needs a new one."""
        model, schedule = self.model, self._schedule
        variables = tuple(id(variable) for variable in model.trainable_variables)
        return model, *self._optimizers, model.train_function, schedule.recordable_steps(), schedule.mode(), variables

    def _write_recorded(self, logs):
        used = [capture for capture in self._captures if capture.sees_gradients]
        if not used and all(capture.error is None for capture in self._captures):
            self._give_up()
        scalars = {}
        if not any(capture.knows_loss for capture in used):  # a `train_step` of the user's own
            scalars = _scalars("train", logs)
        for snapshot in self._schedule.fetched(self._captures):
            snapshot = dataclasses.replace(snapshot, scalars=snapshot.scalars | scalars)
            self._diagnosed.write(self._probe.added_to(snapshot))


def _scalars(kind, logs):
    """Returns the numbers in what Keras reports, by tag; a metric may also be a vector, which is left out."""
    return {names.tag(kind, name): float(value) for name, value in (logs or {}).items() if np.ndim(value) == 0}


def _holds_a_run(log_dir):
    """Whether steps were logged to a directory; what else may have been written there, such as a text, is no run."""
    for path in glob.glob(os.path.join(glob.escape(log_dir), "*.gradlog")):
        with open(path, "rb") as file:
            if names.STATISTICS_TAG.encode() in file.read(_BYTES_OF_A_START):
                return True
    return False


def _is_chief(strategy):
    """Whether this process writes: of the several that train one model together, only the first does."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)
