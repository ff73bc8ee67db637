"""TrainingSession: all that runs while a model trains."""

import dataclasses
import time
from collections.abc import Callable, Sequence

from gradlog.backends.checks import ArgumentError
from gradlog.backends.engine import engine
from gradlog.backends.inform import inform
from gradlog.backends.optimizers import batches_per_step
from gradlog.backends.options import Options, chosen_variables
from gradlog.backends.probe import Probe
from gradlog.backends.recorded import RecordedStep
from gradlog.backends.recording import Recording
from gradlog.diagnosis.announcer import Announcer
from gradlog.diagnosis.finding import Finding
from gradlog.history import names
from gradlog.history.history import Snapshot
from gradlog.session.directories import run_directory
from gradlog.session.first_step import described_at
from gradlog.session.guard import Guard
from gradlog.session.reported import scalars_of
from gradlog.session.schedule import schedule_of
from gradlog.session.watching import LiveDiagnosis
from gradlog.session.writing import finished, open_writer
from gradlog.writers.background import SECONDS_AT_FIRST, BackgroundWriter


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a logger was asked for.

    Attributes:
        log_dir: String, the directory.
        options: `Options`, what is recorded.
        probe: `Probe` of the hidden activations.
        rules: The rules, or `None` for all.
        on_finding: What happens when something is found.
        writers: Further writers.
    """

    log_dir: str
    options: Options
    probe: Probe
    rules: Sequence | None
    on_finding: str | Callable[[Finding], None]
    writers: Sequence = ()


class TrainingSession:
    """Records, diagnoses and writes one training: made when it begins, dropped when it ends.

    Args:
        settings: `Settings`.
        model: The Keras model.
        optimizers: The Keras optimizers that may take part.
        guard: The `Guard` of the training.
        previous: The `TrainingSession` before, of the same logger, or `None`. Its programs are used again where
            nothing has changed, and its findings are carried on where the training is continued.

    Attributes:
        directory: String, the directory of this run; known once it is open.
        guards: The `Guard`s of the whole, of the probe and of the diagnosis.
    """

    def __init__(
        self, settings: Settings, model, optimizers: Sequence, guard: Guard, previous: "TrainingSession | None" = None
    ):
        self._settings, self._model, self._optimizers = settings, model, tuple(optimizers)
        self._earlier = previous._to_go_on() if previous else (None, None)
        self.directory, self._probe = settings.log_dir, settings.probe
        of_probe, of_diagnosis = Guard("logging activations", guard), Guard("diagnosing", guard)
        self.guards = self._guard, self._probe_guard, self._diagnosis_guard = guard, of_probe, of_diagnosis
        self._name_guards()
        self.schedule = schedule_of(model, self._optimizers, settings.options.every)
        self._writer: BackgroundWriter | None = None
        self._recording: Recording | None = None
        self._diagnosis: LiveDiagnosis | None = None
        self._is_begun, self._is_armed, self._is_given_up, self._is_described = False, False, False, False
        self._is_one_of_several = engine().num_processes(model) > 1

    @property
    def findings(self) -> list[Finding]:
        """What has been found so far, causes first."""
        return self._diagnosis.findings if self._diagnosis else []

    @property
    def error(self) -> Exception | None:
        """What failed first."""
        failed = [guard.error for guard in self.guards] + [self._writer.error if self._writer else None]
        return next(filter(None, failed), None)

    def begin(self) -> None:
        """Looks at the model and its activations once, where it is built.

        Raises:
            ArgumentError: no variable is chosen, the model does not take the batch, or one of several processes would
                stop.
        """
        if self._settings.on_finding == "stop" and self._is_one_of_several:
            raise ArgumentError(
                'on_finding="stop" cannot stop a training of several processes: each would stop at a step of its own, '
                'and the others would wait for it. Expected "warn", "ignore" or a function. Received: "stop"'
            )
        if self._model.built:
            chosen_variables(self._model, self._settings.options.select)
        self._probe.begin(self._model, self._probe_guard)

    def open(self, can_stop: bool = True) -> None:
        """Opens the event file, in a directory that holds no other run; does nothing where it is open.

        Args:
            can_stop: Boolean, whether the training loop checks `model.stop_training`.
        """
        if self._writer is not None:
            return
        log_dir, is_new = (
            self._settings.log_dir,
            not any(engine().num_batches(self._model, one) for one in self._optimizers),
        )
        self.directory = run_directory(log_dir, is_new)
        if is_new and self.directory != log_dir:
            inform(
                f"{log_dir!r} holds an earlier run, and this one starts at step 0 again. gradlog logs it to "
                f"{self.directory!r}, so that TensorBoard shows two runs."
            )
        self._name_guards()
        step, (_, earlier) = current_step(self._model, self._optimizers), self._earlier
        self._diagnosis = LiveDiagnosis(self._diagnosis_guard, self._settings.rules, step, earlier)
        wait = 0 if self._diagnosis.is_continued else SECONDS_AT_FIRST
        writers = [*self._settings.writers, self._diagnosis]
        self._writer = open_writer(self.directory, self._model, writers, self._guard, finished, wait)
        self._guard.undo["writer"] = self._writer.close
        parts = self._settings.on_finding, self._writer, self.directory, self._model, inform
        self._diagnosis.announce(Announcer(*parts, can_stop=can_stop))

    def begin_call(self) -> None:
        """Has the coming call of the training program recorded where a step in it is due."""
        self.open()
        self.end_call()
        self._is_begun = True
        self._is_armed = not self._is_given_up and self.schedule.is_call_due()
        if self._is_armed:
            self._prepare()
            self._probe_guard(self._probe.observe)
            self._guard.undo["call"] = self._recording.disarm  # first, since Ctrl-C may come at any time
            self._recording.arm(self.schedule.due_step())

    def end_call(self) -> None:
        """Writes what was recorded, once after a call."""
        if not self._is_begun:
            return
        self._is_begun = False
        self._disarm()
        if self._is_given_up:
            return
        self.schedule.advance()
        if self._is_armed:
            self._write_recorded()
        self.tell()
        self._check_writer(is_final=False)

    def write_metrics(self, kind: str, logs: dict) -> None:
        """Writes the metrics of an evaluation, `kind/<metric>`, at the step of the training."""
        self.open()
        self._writer.write_scalars(current_step(self._model, self._optimizers), scalars_of(kind, logs))

    def write(self, step: RecordedStep | Snapshot) -> None:
        """Has a step written and diagnosed, in a thread; with the first, what the run is made of."""
        if not self._is_described:
            self._is_described = True
            step = next(finished([step]))
            self._diagnosis_guard(self._describe, step)
        self._writer.write(step)

    def tell(self) -> None:
        """Reports what has been found meanwhile, in the thread that calls it."""
        self._diagnosis.tell()

    def close(self) -> None:
        """Ends the session: writes what is held back, diagnoses what was put off, closes the event file."""
        if self._writer is None:
            return
        self.end_call()
        for step in self.schedule.close():
            self.write(step)
        self._writer.flush()
        self._diagnosis.finish()
        self._guard.undo.pop("writer", None)
        self._writer.close()
        self._check_writer(is_final=True)
        self._inform_of_lost_steps()

    # What it is made of.

    def _name_guards(self):
        for guard, what in zip(self.guards, ("logging to", "logging activations to", "diagnosing"), strict=True):
            guard.what = f"{what} {self.directory!r}"

    def _to_go_on(self):
        """Returns recording and monitor for the next training; of a training without a due step, those before it."""
        recording, monitor = self._earlier
        return self._recording or recording, self._diagnosis.monitor if self._diagnosis else monitor

    def _describe(self, snapshot):
        run = described_at(snapshot, self._model, self._optimizers, self._settings.options.check)
        self._writer.write_text(snapshot.step, names.RUN_TAG, run.to_json())
        self._writer.write_text(snapshot.step, names.RUN_TABLE_TAG, run.markdown())
        self._diagnosis.describe(snapshot.step, run)

    def _prepare(self):
        """Makes the recording at the first recorded step, or keeps that of an earlier training."""
        plan = self.schedule.plan()
        if self._recording is not None and self._recording.plan == plan:
            return
        earlier, _ = self._earlier
        if earlier is not None and earlier.is_for(self._model, self._optimizers, plan):
            self._recording = earlier
        else:
            self._recording = Recording(self._model, self._optimizers, self._settings.options, plan, self._guard)
        self._recording.start()

    def _disarm(self):
        if self._guard.undo.pop("call", None) is not None:
            self._recording.disarm()

    def _write_recorded(self):
        if not self._recording.has_run:  # a dataset of unknown size ends in a call without a step
            self.schedule.restart()
            return
        for step in self.schedule.fetched(self._recording, self._completion()):
            self.write(step)
        if not self._recording.sees_gradients():
            self._give_up()

    def _completion(self):
        """Returns a function of a snapshot of the call that adds to it what else is known of it now."""
        logs, self._recording.logs = self._recording.logs, {}
        logs = {} if self._recording.knows_loss() else logs  # those of a custom `train_step`
        observed, wall_time = [self._probe.take()], time.time()

        def completed(snapshot):
            scalars = snapshot.scalars | scalars_of("train", logs)
            snapshot = dataclasses.replace(snapshot, scalars=scalars, wall_time=wall_time)
            first = observed.pop() if observed else None  # of several steps, the first is that of the pass
            if first is not None:
                snapshot = self._probe_guard(first.added_to, snapshot, default=snapshot)
            if not self._settings.options.has_histograms(snapshot.step):
                snapshot = dataclasses.replace(snapshot, layers=(), activations=None)
            return snapshot

        return completed

    def _check_writer(self, is_final):
        """Raises what the writer raised.

        Several processes have to run the same programs, and only the first writes a file. There the error is told, the
        steps are recorded as before, though not written, and it is raised at the end.
        """
        error = self._writer.error
        if error is None:
            return
        if is_final or not self._is_one_of_several:
            raise error
        self._guard.tell(error)

    def _give_up(self):
        self._is_given_up = True
        if not self._model.trainable_variables:
            inform("gradlog logs no gradients of this training: the model has no trainable variables.")
            return
        inform(
            "gradlog logs no gradients of this training: its step does not apply them with `model.optimizer`, nor "
            "with another optimizer that the model has as an attribute. Log each with `logger.attach(model, "
            "optimizer)`."
        )

    def _inform_of_lost_steps(self):
        if self._writer.num_left_out:
            inform(
                f"gradlog left out {self._writer.num_left_out:,} logged steps, since writing to {self.directory!r} is "
                "slower than the training. Choose a larger `every`, or a faster disk."
            )
        num_lost = self._recording.num_lost() if self._recording else 0
        if num_lost:
            inform(
                f"gradlog left out {num_lost:,} logged steps, which were overwritten before they could be read. "
                "Choose a larger `every`."
            )


def current_step(model, optimizers: Sequence) -> int:
    """Returns the step of a training: that of the optimizer that has moved least often."""
    counts = [engine().num_batches(model, one) // batches_per_step(one) for one in optimizers]
    return min(filter(None, counts), default=0)
