"""GradientLogger: the callback that logs gradients under `fit`, and under `gradlog.train`."""

import functools
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import keras

from gradlog.backends.checks import check_trainable, checked_model, checked_pair
from gradlog.backends.engine import check_supported, engine
from gradlog.backends.keras_private import check_private_names
from gradlog.backends.options import Options
from gradlog.backends.probe import Probe
from gradlog.diagnosis.finding import Finding
from gradlog.session.attach import Watch
from gradlog.session.checks import (
    check_writable,
    checked_histograms,
    checked_integer,
    checked_log_dir,
    checked_on_finding,
    checked_rules,
    checked_selector,
    refuse_activations,
)
from gradlog.session.guard import Guard, attached, guarded
from gradlog.session.reported import scalars_of
from gradlog.session.session import Settings, TrainingSession, current_step
from gradlog.session.writing import open_writer

_STEPS_WITH_STATE = 50  # from one logged step to the next, from which on the optimizer's memory is read by default


class GradientLogger(keras.callbacks.Callback):
    """Logs how gradients flow through a model while it trains, for TensorBoard.

    At every logged step it writes, for every variable, the mean-absolute gradient, the gradient's and the weights'
    norm, how far the update moved the weights, and histograms of gradient and weights; and the loss and the
    metrics of that very batch. The gradient is the one that the step applies, unscaled and before clipping; no
    second pass is made. Steps that are not logged run the program that they would have run without the logger.

    `model.evaluate(..., callbacks=[logger])` after the training writes `test/<metric>`.

    If logging fails, as on a full disk, training continues unchanged: one warning says so, and the attribute `error`
    holds the exception until the next training; otherwise it is `None`.

    Args:
        log_dir: String or path, the directory of this run. TensorBoard names the run after it. A run that starts at
            step 0 where an earlier one is goes to a numbered directory in it, and a warning says so; a training that
            is resumed continues in the last one.
        every: Integer, the number of optimizer steps from one logged step to the next; those are logged whose
            number, counted by the optimizer from 0, is a multiple of it. Where a `train_step` has several
            optimizers, that one counts which moves least often. Defaults to `200`.
        variables: Which trainable variables to log: `None` for all, a regular expression that is searched for in
            the name (as in `layer1/kernel`), a list of them, or a function of the Keras variable that returns
            whether to log it. Defaults to `None`.
        histograms: Boolean, whether to write histograms of gradients, weights and activations; or an integer, to write
            them at every so many logged steps: `every=1, histograms=50` watches every step, and writes histograms at
            every 50th. They take 16 kB of memory a variable (33 kB for each step that is due in one call, with
            `steps_per_execution`), and most of the space on disk. Defaults to `True`.
        updates: Boolean, whether to write the update ratio. It keeps a second copy of the logged weights, 4 bytes a
            weight, while a logged step runs. Defaults to `True`. Beside these, a logged step computes in blocks of
            2 MB, and keeps a gradient until it has been read.
        activations: Array, tensor, or a list, tuple or dictionary of them where the model has several inputs: a batch
            of inputs, such as `x[:100]`, on which to look at hidden activations, attention, the residual stream, the
            statistics of batch normalization, and experts. A logged step then costs one forward pass of inference over
            it more, with the weights before the update, that leaves weights, statistics and random state as they are.
            Of the steps in one call, with `steps_per_execution`, the first that is due gets what the pass saw before
            the call. Defaults to `None`, no such pass.
        rules: List of the rules by which the run is judged while it trains, such as
            `[gradlog.rules.Vanishing(ratio=1e-4)]`. Defaults to `None`, for all with their defaults; an empty list is
            for none.
        on_finding: What happens when something is found wrong: `"warn"` warns of each finding that no other explains
            once, and again if a warning becomes an alarm; `"stop"` does, and ends the training through
            `model.stop_training`, which a custom loop has to check itself; `"ignore"` does neither; a function gets the
            `Finding`, and again when it becomes an alarm or has healed. Notes are not reported. Whatever it is, the
            findings are written to the Text tab, and are in the attribute `findings`, causes first. Defaults to
            `"warn"`.
        writers: List of further writers, such as `gradlog.writers.MemoryWriter`, that get everything as well.
            Defaults to none.
        check: Boolean, whether to look for mistakes in the set-up at the first logged step, by how the model is
            compiled, the first 64 targets of its batch and the size of its inputs, as `gradlog.check` does. Defaults
            to `True`.
        optimizer_state: Boolean, whether to write what the optimizer remembers of the gradients: how large they are
            beside its second moment (`second_moment_ratio`), where its epsilon is larger than that
            (`epsilon_fraction`), and which rows of an embedding never got a gradient (`unused_rows`). It reads the
            gradient once more, and the second moment twice, at a logged step; an embedding's gradient is made dense
            there, as the optimizer makes it. An optimizer without a second moment, such as SGD, Lion or Adafactor,
            writes none of these. Defaults to `None`, for `True` where `every` is 50 or more.

    Raises:
        ValueError: an argument is out of its range; the model has no trainable variables that `variables` chooses, or
            does not take `activations` (when the training begins).
        RuntimeError: Keras runs on an engine that gradlog does not support, or in NNX mode on JAX.
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
        histograms: bool | int = True,
        updates: bool = True,
        activations=None,
        rules: Sequence | None = None,
        on_finding: str | Callable[[Finding], None] = "warn",
        writers: Sequence = (),
        check: bool = True,
        optimizer_state: bool | None = None,
    ):
        super().__init__()
        check_supported()
        self.log_dir, self.every = checked_log_dir(log_dir), checked_integer("every", every, least=1)
        state = self.every >= _STEPS_WITH_STATE if optimizer_state is None else bool(optimizer_state)
        self._settings = Settings(
            log_dir=self.log_dir,
            options=Options(
                self.every, checked_histograms(histograms), updates, checked_selector(variables), bool(check), state
            ),
            probe=Probe(activations, bool(histograms)),
            rules=checked_rules(rules),
            on_finding=checked_on_finding(on_finding),
            writers=tuple(writers),
        )
        self._guard = Guard(f"logging to {self.log_dir!r}")
        self._session: TrainingSession | None = None
        self._activations, self._watch = activations, None
        self._is_training, self._is_evaluated_apart = False, False
        # Otherwise Keras waits for the numbers of every batch, on engines that compute while Python goes on; to stop
        # a training at the very step, it has to.
        self.async_safe = on_finding != "stop"
        self._thread = threading.get_ident()  # of the training

    @property
    def directory(self) -> str:
        """Where the last training was logged: `log_dir`, or a numbered directory in it."""
        return self._session.directory if self._session else self.log_dir

    @property
    def error(self) -> Exception | None:
        """What failed in logging, if anything did; said in a warning."""
        return self._session.error if self._session else self._guard.error

    @property
    def findings(self) -> list[Finding]:
        """What was found in the last training, causes first."""
        return self._session.findings if self._session else []

    def set_params(self, params: dict) -> None:
        """Keras calls it before a training, and before an evaluation that is not a training's own validation."""
        super().set_params(params)
        self._is_evaluated_apart = True

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Begins a session; what is wrong with the arguments is raised here."""
        checked_model(self.model)
        self._thread = threading.get_ident()
        self._guard = self._guard.renewed()
        self._guard(check_trainable, self.model)  # Keras trains such a model as well, to count its metrics
        self._guard(lambda: engine().check_training(self.model))
        self._session = self._guard(lambda: self._new_session(self.model, engine().used_optimizers(self.model)))
        self._guard(lambda: self._session.begin())
        if self._guard(lambda: engine().is_chief(self.model)):
            check_writable(self.log_dir)
        self._is_training, self._is_evaluated_apart = True, False

    @guarded
    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Counts the steps anew from the optimizer's own count."""
        self._is_evaluated_apart = False
        self._session.schedule.restart()

    def max_steps_of_next_call(self) -> int | None:
        """Returns how many steps the next call may have, so that a due step is its first; `gradlog.train` asks."""
        return self._guard(lambda: self._session.schedule.max_steps())

    @guarded
    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Has the coming call of the training program recorded where a step in it is due."""
        self._session.begin_call()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Writes what was recorded; where Keras calls it in another thread, the training's next hook does."""
        if threading.get_ident() == self._thread:
            self._guard(lambda: self._session.end_call())

    @guarded
    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes what the last call of the epoch recorded."""
        self._session.end_call()

    @guarded
    def on_test_begin(self, logs: dict | None = None) -> None:
        """Writes what was recorded before a validation begins."""
        if self._is_training:
            self._session.end_call()

    @guarded
    def on_test_end(self, logs: dict | None = None) -> None:
        """Writes the metrics of an evaluation: of `validation` where it is the training's own, else of `test`."""
        kind = "test" if self._is_evaluated_apart else "validation"
        self._is_evaluated_apart = False
        if self._is_training:
            self._session.write_metrics(kind, logs)
            return
        writer = open_writer(self.directory, self.model, self._settings.writers, self._guard)
        writer.write_scalars(current_step(self.model, engine().used_optimizers(self.model)), scalars_of("test", logs))
        writer.close()
        if writer.error is not None:
            raise writer.error

    def on_train_end(self, logs: dict | None = None) -> None:
        """Closes the event file, and reports what failed in a thread."""
        self._is_training = False
        self._guard(lambda: self._session.close())
        self._guard.report()

    def attach(
        self, model: keras.Model, optimizer: keras.optimizers.Optimizer | None = None
    ) -> AbstractContextManager[None]:
        """Logs the steps of a custom training loop, as a context manager.

        The loop's step may be compiled or not; a compiled one must be called for the first time inside of the
        context, since it is then that it is traced. The loss is not known here; write it where you have it.

        Args:
            model: A Keras model.
            optimizer: The Keras optimizer that the loop applies gradients with. Defaults to the model's own.

        Returns:
            A context manager.

        Raises:
            TypeError: `model` is not a Keras model, or `optimizer` not a Keras optimizer.
            ValueError: the logger has `activations`, which nothing can look at between the steps of such a loop; or
                Keras runs on JAX, where nothing leaves a compiled step but what it returns.
            OSError: `log_dir` cannot be written.

        Example:
        ```python
        with gradlog.GradientLogger("logs/relu").attach(model, optimizer):
            for x, y in dataset:
                my_step(x, y)
        ```
        """
        model, optimizer = checked_pair(model, optimizer or getattr(model, "optimizer", None))
        refuse_activations(self._activations)
        check_writable(self.log_dir)
        self._guard = self._guard.renewed()
        self._guard(lambda: engine().plan_of_loop())  # which raises where Keras' engine has no such loop to log
        return attached(self, functools.partial(self._begin_loop, model, optimizer), self._end_loop)

    def _begin_loop(self, model, optimizer):
        self._session = self._new_session(model, [optimizer])
        self._watch = Watch(self._session, model, optimizer, self._settings.options, self._guard)
        self._watch.start()

    def _end_loop(self):
        watch, self._watch = self._watch, None
        watch.stop()
        self._session.close()

    def _new_session(self, model, used):
        check_private_names(model, used)
        return TrainingSession(self._settings, model, used, self._guard, self._session)
