"""The guard: what stands between Keras and gradlog.

Every hook of the callback and every function that gradlog puts in front of one of Keras' goes through this module. What
raises behind it is reported once, in a warning; then the guard lets nothing of gradlog run any more and puts the model
and the optimizer back as they were. The training continues with the functions that it would have run without gradlog.
Nothing else in gradlog catches errors to be safe.
"""

import contextlib
import functools
import itertools
import threading
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from gradlog.backends.armed_call import ArmedCall
from gradlog.backends.inform import inform
from gradlog.backends.program import standing_in
from gradlog.backends.tap import Tap

THREADS = "gradlog-"  # how the names of gradlog's own threads begin
_MAX_CHARACTERS = 300  # of what an error says
_OWN_PREFIX = "gradlog/"  # of what a step returns for gradlog among Keras' logs


class Guard:
    """Runs functions of gradlog, as long as none of them has failed.

    Args:
        what: String, what ends with a failure, as in `"logging to 'logs/relu'"`.
        parent: `Guard` of the whole, of which this one guards a part; what failed is not reported by both. Defaults
            to `None`.

    Attributes:
        what: The same string.
        error: The exception that a function raised, or `None`.
        undo: Dictionary of functions without arguments, by any key, that put back what gradlog has changed.
        num_aborted_traces: Integer, how many traces of a recorded step ended because something failed.
    """

    def __init__(self, what: str, parent: "Guard | None" = None):
        self.what, self.num_aborted_traces = what, 0
        self.error: Exception | None = None
        self.undo: dict[Hashable, Callable[[], object]] = {}
        # Texts that will be warned of, by error; `None` for those that were.
        self._reports: dict[str, str | None] = {} if parent is None else parent._reports

    def __call__(self, function: Callable, *args, default: Any = None, **kwargs) -> Any:
        """Returns what a function returns, or `default` if it fails or another has failed before."""
        if self.error is not None:
            return default
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if getattr(error, "is_users_own", False):
                raise
            self.fail(error)
            return default
        except BaseException:  # Ctrl-C, which is the user's
            self.restore()
            raise

    def fail(self, error: Exception) -> None:
        """Lets nothing run any more, restores what was changed, and reports the error once.

        A thread of gradlog's own leaves the warning to `report`: which warnings are shown is a matter of the whole
        process, and the training's thread may just be in a `warnings.catch_warnings`, which would swallow it.
        """
        if self.error is not None:
            return
        self._note(error)
        self.error = error
        self.restore()
        if not threading.current_thread().name.startswith(THREADS):
            self.report()

    def tell(self, error: Exception) -> None:
        """Reports an error once, in the training's thread; everything runs on."""
        self._note(error)
        self.report()

    def report(self) -> None:
        """Warns of what has failed and was not reported yet."""
        for text, message in list(self._reports.items()):
            self._reports[text] = None
            if message is not None:
                inform(message)

    def recorded_step(self, step: Callable, tap: Tap, cond: Callable | None, is_eager: Callable[[], bool]) -> Callable:
        """Returns a training step that does what `step` does, and is recorded by a tap where it is due.

        If anything fails while the step is traced, the trace ends in that error, and `armed` has another program
        made; a step that runs eagerly just goes through.

        Args:
            step: The training step.
            tap: A `Tap`.
            cond: The engine's conditional, a function of a condition and two functions.
            is_eager: Function that tells whether operations run at once.
        """

        def record(*args, **kwargs):
            # The first trace makes variables, and another one follows: it must come to its end, and will not run.
            is_final = self(tap.is_built, default=False)
            self(tap.put_on)
            try:
                result = step(*args, **kwargs)
            finally:
                self(tap.take_off)
                if self.error is not None:  # perhaps in another thread, before the tap was put on
                    self.restore()
            outputs = self(tap.outputs, default={})
            if self.error is not None and is_final and not is_eager():
                self.num_aborted_traces += 1
                raise self.error
            return _with_own(result, outputs) if outputs else result

        def record_if_due(*args, **kwargs):
            is_due = self(tap.is_due)
            if is_due is None:
                return record(*args, **kwargs)
            return cond(is_due, lambda: record(*args, **kwargs), lambda: step(*args, **kwargs))

        return functools.wraps(step)(record_if_due)

    @staticmethod
    def armed(call: ArmedCall) -> Callable:
        """Returns what Keras calls in place of a training function, once.

        A program that cannot be made or traced is replaced by the plain one, for this very call.

        Args:
            call: An `ArmedCall`: the model's `plain` function, `guards`, `prepare`, which returns a program for the
                arguments of a call, `finish`, which takes what it returned for gradlog, `is_step_by_step`, and
                `due_steps`.
        """

        def run(*args, **kwargs):
            vars(call.model)["train_function"] = call.plain
            while guard := next((one for one in call.guards if one.error is None), None):
                program, num_aborted = guard(call.prepare, args), [one.num_aborted_traces for one in call.guards]
                if program is None:
                    continue
                try:
                    with contextlib.ExitStack() as standing:
                        guard(lambda made: standing.enter_context(standing_in(call.model, made.step)), program)
                        if guard.error is not None:
                            continue
                        result = program.function(*args, **kwargs)
                except Exception:
                    if num_aborted == [one.num_aborted_traces for one in call.guards]:
                        raise
                    continue
                result, own = _without_own(result)
                guard(call.finish, program, own, result)
                return result
            return call.plain(*args, **kwargs)

        return _step_by_step(call, run) if call.is_step_by_step else run

    def _note(self, error):
        """Has an error reported, unless it was."""
        text = f"{type(error).__name__}: {_in_short(error)}"
        self._reports.setdefault(text, f"gradlog stopped {self.what}; training continues: {text}")

    def renewed(self) -> "Guard":
        """Returns the guard of another training: this one, or a new one where it has failed."""
        self.restore()
        return self if self.error is None else Guard(self.what)

    def restore(self) -> None:
        """Puts back what was changed."""
        while self.undo:
            with contextlib.suppress(Exception):
                self.undo.popitem()[1]()

    def observed(self, original: Callable, before: Callable | None, after: Callable | None) -> Callable:
        """Returns a function that does what `original` does, and lets gradlog look at its arguments and its result.

        Args:
            original: The function.
            before: Function of the same arguments, called before it, or `None`.
            after: Function of its result and the same arguments, called after it, or `None`.
        """

        @functools.wraps(original)
        def observe(*args, **kwargs):
            if before is not None:
                self(before, *args, **kwargs)
            result = original(*args, **kwargs)
            if after is not None:
                self(after, result, *args, **kwargs)
            return result

        return observe


@contextlib.contextmanager
def attached(logger: Any, begin: Callable, end: Callable) -> Iterator[None]:
    """Runs `begin` and `end` of a logger around a custom training loop, guarded."""
    logger._guard(begin)
    try:
        yield
    finally:
        logger._guard(end)
        logger._guard.restore()
        logger._guard.report()


def _with_own(result, own):
    """Returns what a step returns, logs or a pair of logs and state, with what is gradlog's among the logs."""
    if isinstance(result, tuple):
        logs, state = result
        return {**logs, **own}, state
    return {**result, **own}


def _without_own(result):
    """Returns what a step or a call returned without what is gradlog's, and that."""
    if isinstance(result, tuple):
        logs, state = result
        logs, own = _without_own(logs)
        return (logs, state), own
    if not isinstance(result, dict):
        return result, {}
    own = {name: value for name, value in result.items() if str(name).startswith(_OWN_PREFIX)}
    return {name: value for name, value in result.items() if name not in own}, own


def _step_by_step(call, record):
    """Returns what Keras calls once where a call is a loop in Python over compiled steps: those that are due record.

    The batch is taken from the iterator before, so a program that cannot be traced leaves it to the plain one.
    """

    def run(state, iterator):
        model, steps = call.model, call.model.steps_per_execution
        if steps == 1:
            return record(state, itertools.repeat(next(iterator)))
        vars(model)["train_function"] = call.plain
        due, logs = set(), None
        for guard in call.guards:
            due |= guard(call.due_steps, state, steps, default=set())
        model.steps_per_execution = 1  # each of these calls runs one step
        try:
            for number, batch in enumerate(itertools.islice(iterator, steps)):
                function = record if number in due else call.plain
                logs, state = function(state, itertools.repeat(batch))
        finally:
            model.steps_per_execution = steps
        if logs is None:
            raise StopIteration
        return logs, state

    return run


def _in_short(error):
    """Returns what an error says, without the indented lines in which TensorFlow lists where an operation stands."""
    text = " ".join(line for line in str(error).splitlines() if line and not line[0].isspace())
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]} …"


def guarded(hook: Callable) -> Callable:
    """Returns a method of an object with a `_guard` that runs behind it."""

    @functools.wraps(hook)
    def run(self, *args, **kwargs):
        return self._guard(hook, self, *args, **kwargs)

    return run
