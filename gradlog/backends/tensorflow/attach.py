"""Attach: logs a training loop that knows nothing of gradlog, by looking at what its steps leave behind."""

import contextlib
import threading
import warnings

from gradlog.backends.tensorflow.capture import Capture
from gradlog.backends.tensorflow.optimizers import num_batches

_SECONDS_BETWEEN_LOOKS = 0.01


@contextlib.contextmanager
def watched(capture: Capture, writer):
    """Has a capture record the steps of whatever runs inside of the context, and writes them as they come.

    A compiled step tells nobody that it ran, and under XLA cannot; so a thread looks every 10 ms.

    Args:
        capture: A `Capture` with a ring of slots.
        writer: The writer.
    """
    lock, is_over = threading.Lock(), threading.Event()
    before, recorded = num_batches(capture.optimizer), []

    def fetch():
        with lock:
            for snapshot in capture.fetch():
                recorded.append(snapshot.step)
                writer.write(snapshot)

    def look():
        while not is_over.wait(_SECONDS_BETWEEN_LOOKS):
            fetch()

    thread = threading.Thread(target=look, name="gradlog-attach", daemon=True)
    try:
        with capture.attached():
            thread.start()
            yield
    finally:
        is_over.set()
        if thread.ident is not None:
            thread.join()
        fetch()
        writer.close()
    if capture.error is None:
        _warn_of_gaps(capture, range(before, num_batches(capture.optimizer)), recorded)


def _warn_of_gaps(capture, batches, recorded):
    expected = capture.due_steps(batches)
    if expected and not recorded:
        warnings.warn(
            "gradlog logged nothing, though the optimizer was applied: the step was compiled before it was attached. "
            "Call a compiled step for the first time inside of `with logger.attach(model, optimizer)`.",
            stacklevel=4,
        )
    elif len(recorded) < len(expected):
        warnings.warn(
            f"gradlog logged {len(recorded)} of {len(expected)} steps: they came faster than they could be fetched. "
            "Choose a larger `every`.",
            stacklevel=4,
        )
