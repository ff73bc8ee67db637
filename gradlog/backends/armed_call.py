"""Armed call: the next call of a model's training function runs a program that records.

Keras looks up `model.train_function` anew for every call, after `on_train_batch_begin`. If a step is due, a
function replaces it for one call: it restores the plain one and runs a recording program. All other steps run the
very program that they would have run anyway. A model has one armed call, to which each logger adds its recording.
"""

from typing import Any

from gradlog.backends.engine import engine
from gradlog.backends.program import Program


class ArmedCall:
    """The coming call of a model's training function.

    Args:
        model: The model.

    Attributes:
        model: The same.
        plain: Its training function.
        guards: The `Guard`s of all loggers that record the call.
    """

    def __init__(self, model):
        self.model, self.plain, self.guards, self._recordings = model, model.train_function, [], []

    @property
    def is_step_by_step(self) -> bool:
        """Whether a call of several steps is a loop in Python."""
        return engine().IS_STEP_BY_STEP

    def due_steps(self, state: Any, steps: int) -> set[int]:
        """Returns which of the coming steps are due for any of the loggers."""
        due = (one.guard(engine().due_steps, one.recorders, state, steps, default=()) for one in self._recordings)
        return set().union(*due)

    def add(self, recording) -> None:
        """Adds what a logger records."""
        if recording not in self._recordings:
            self._recordings.append(recording)
            self.guards.append(recording.guard)

    def remove(self, recording) -> None:
        """Removes what a logger records; the last one restores the plain function."""
        if recording in self._recordings:
            self._recordings.remove(recording)
            self.guards.remove(recording.guard)
        if not self._recordings and armed_call(self.model) is self:
            vars(self.model)["train_function"] = self.plain

    def prepare(self, arguments: tuple) -> Program:
        """Returns the `Program` that records a call, of certain arguments, for all loggers that have not failed."""
        recordings = [one for one in self._recordings if one.guard.error is None]
        recorders = tuple(recorder for one in recordings for recorder in one.recorders)
        programs = recordings[0].programs
        key = tuple((one, one.wants_histograms or _comes_whole(one, programs)) for one in recorders)
        if key not in programs:
            programs[key] = engine().program(self.model, recorders, arguments)
        return programs[key]

    def finish(self, program: Program, own: dict, result: Any) -> None:
        """Hands what a call returned to the recorders, and what it returned for Keras to the recordings."""
        parts = result if isinstance(result, tuple) else (result,)
        logs = next((part for part in parts if isinstance(part, dict)), {})
        for recording in self._recordings:
            recording.program, recording.has_run, recording.logs = program, True, logs
        for recorder, tap in program.taps.items():
            if recorder.key in own:
                recorder.take(own[recorder.key], tap.layout)


def armed_call(model) -> ArmedCall | None:
    """Returns a model's armed call, if its next one is."""
    return getattr(model.train_function, "armed_call", None)


def _comes_whole(recorder, programs):
    """Whether gradients come whole, so that one program does with histograms and without."""
    taps = [program.taps[recorder] for program in programs.values() if recorder in program.taps]
    return any(tap.layout.is_whole for tap in taps)
