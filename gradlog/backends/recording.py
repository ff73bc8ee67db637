"""Recording: all that one logger records of a model's training."""

from collections.abc import Sequence

from gradlog.backends.armed_call import ArmedCall, armed_call
from gradlog.backends.engine import engine
from gradlog.backends.options import Options, RecordingPlan
from gradlog.backends.program import Program
from gradlog.backends.recorded import RecordedStep


class Recording:
    """A recorder for each optimizer, and the programs that were made for them.

    Args:
        model: The model.
        optimizers: The optimizers.
        options: `Options`.
        plan: `RecordingPlan`.
        guard: The `Guard` of the training.

    Attributes:
        programs: Dictionary of tuples of `Recorder`s to `Program`s.
        program: The `Program` that ran last, or `None`.
        has_run: Boolean, whether the call that was armed last has run, and recorded.
        logs: Dictionary of what it returned for Keras.
    """

    def __init__(self, model, optimizers: Sequence, options: Options, plan: RecordingPlan, guard):
        self.guard, self.plan = guard, plan
        self.programs: dict[tuple, Program] = {}
        self.program: Program | None = None
        self.has_run = False
        self.logs: dict = {}
        self.recorders = tuple(engine().recorder(model, one, options, plan, guard) for one in optimizers)
        self._model, self._optimizers = model, tuple(optimizers)
        self.setting: tuple | None = None

    def current_setting(self) -> tuple:
        """Returns what the programs depend on; a change of it, and only that, needs other ones."""
        variables = tuple(id(variable) for variable in self._model.trainable_variables)
        return self._model, *self._optimizers, self._model.train_function, variables

    def is_for(self, model, optimizers: Sequence, plan: RecordingPlan) -> bool:
        """Whether the programs are those of a training."""
        return (
            self.guard.error is None
            and (self._model, self._optimizers, self.plan) == (model, tuple(optimizers), plan)
            and self.setting == self.current_setting()
        )

    def start(self) -> None:
        """Begins a training."""
        for recorder in self.recorders:
            recorder.start()

    def arm(self, step: int | None) -> None:
        """Has the model's next call of its training function recorded.

        Args:
            step: Integer, the one step of it that is recorded, or `None` where that is not known.
        """
        for recorder in self.recorders:
            options = recorder.options
            recorder.wants_histograms = bool(options.histograms) if step is None else options.has_histograms(step)
        self.has_run = False
        earlier = armed_call(self._model)
        call = ArmedCall(self._model) if earlier is None else earlier
        call.add(self)
        if earlier is None:
            function = self.guard.armed(call)
            function.armed_call = call
            vars(self._model)["train_function"] = function  # past Keras' `__setattr__`, which is slow

    def disarm(self) -> None:
        """Restores the plain call if the armed one was never made."""
        call = armed_call(self._model)
        if call is not None:
            call.remove(self)

    def fetch(self, step: int | None = None) -> list[list[RecordedStep]]:
        """Returns what each recorder has recorded since the last call; `step` is what `Recorder.fetch` takes."""
        if self.setting is None:  # not known before: the call may have built the model
            self.setting = self.current_setting()
        return [] if self.program is None else [one.fetch(tap, step) for one, tap in self._taps()]

    def order(self) -> tuple[str, ...]:
        """Returns the names of all variables, in the order in which their layers are called."""
        return next((tap.order for _, tap in self._taps() if tap.order), ())

    def sees_gradients(self) -> bool:
        """Whether the step applies gradients with any of the optimizers."""
        return any(tap.sees_gradients for _, tap in self._taps())

    def knows_loss(self) -> bool:
        """Whether the step tells its loss; a custom `train_step` may not."""
        return any(tap.sees_gradients and tap.layout.has_loss for _, tap in self._taps())

    def num_lost(self) -> int:
        """Returns how many recorded steps were overwritten before they could be fetched."""
        return max((recorder.num_lost for recorder in self.recorders), default=0)

    def _taps(self):
        taps = self.program.taps if self.program is not None else {}
        return [(recorder, taps[recorder]) for recorder in self.recorders if recorder in taps]
