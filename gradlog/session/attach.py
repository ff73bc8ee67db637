"""Attach: logs a custom training loop, which knows nothing of gradlog, by looking at what its steps leave behind."""

import threading

from gradlog.backends.engine import engine
from gradlog.backends.inform import inform
from gradlog.backends.options import Options
from gradlog.session.guard import Guard
from gradlog.session.session import TrainingSession

_SECONDS_BETWEEN_LOOKS = 0.01


class Watch:
    """Has the steps of a custom loop recorded, and writes them as they come.

    A compiled step does not report that it ran, and under XLA cannot; so a thread looks every 10 ms.

    Args:
        session: The `TrainingSession`, which writes.
        model: The Keras model.
        optimizer: The Keras optimizer that the loop applies gradients with.
        options: `Options`, what is recorded.
        guard: The `Guard` of the training.
    """

    def __init__(self, session: TrainingSession, model, optimizer, options: Options, guard: Guard):
        self._session, self._model, self._optimizer, self._guard = session, model, optimizer, guard
        self._recorder = engine().recorder(model, optimizer, options, engine().plan_of_loop(), guard)
        self._tap = engine().tap(self._recorder)
        self._lock, self._is_over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=guard, args=(self._look,), name="gradlog-attach", daemon=True)
        self._batches = engine().num_batches(model, optimizer)
        self._recorded: list[int] = []

    def start(self) -> None:
        """Begins to record."""
        self._session.open(can_stop=False)
        self._recorder.start()
        self._recorder.switch_on()
        # A step that was traced meanwhile continues without recording.
        self._guard.undo["recording"] = self._recorder.switch_off
        self._guard.undo["thread"] = self._is_over.set
        self._tap.put_on()
        self._thread.start()

    def stop(self) -> None:
        """Ends recording, writes the last steps, and says which are missing."""
        self._is_over.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._tap.take_off()
        self._guard.undo.pop("recording", lambda: None)()
        self._fetch()
        self._inform_of_gaps()

    def _look(self):
        while not self._is_over.wait(_SECONDS_BETWEEN_LOOKS):
            self._guard(self._fetch)

    def _fetch(self):
        with self._lock:
            for step in self._recorder.fetch(self._tap):
                self._recorded.append(step.step)
                self._session.write(step)
            self._session.tell()

    def _inform_of_gaps(self):
        expected = self._recorder.due_steps(range(self._batches, engine().num_batches(self._model, self._optimizer)))
        if expected and not self._recorded:
            inform(
                "gradlog logged nothing, though the optimizer was applied: the step was compiled before it was "
                "attached. Call a compiled step for the first time inside of `with logger.attach(model, optimizer)`."
            )
        elif len(self._recorded) < len(expected):
            inform(
                f"gradlog logged {len(self._recorded):,} of {len(expected):,} steps: the others were overwritten "
                "before they could be read. Choose a larger `every`."
            )
