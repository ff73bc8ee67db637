"""Armed steps: of a call's steps, those that are due run a program that records.

On JAX, a call of several steps is a loop in Python over one compiled step. So the program is chosen step by step, and
the batch is taken from the iterator before: a program that cannot be traced leaves it to the plain one.
"""

from collections.abc import Callable

from gradlog.backends.jax.state import at


class Again:
    """An iterator that gives one batch whenever it is asked.

    Args:
        batch: The batch.
    """

    def __init__(self, batch):
        self._batch = batch

    def __iter__(self):
        return self

    def __next__(self):
        return self._batch


def one_call(call, run: Callable) -> Callable:
    """Returns what stands in for the model's training function, once.

    Args:
        call: The `ArmedCall`.
        run: Function of a state and an iterator: records the step that it runs.

    Returns:
        Function of a state and an iterator of batches, which runs as many steps as the plain function.
    """

    def run_call(state, iterator):
        model, steps = call.model, call.model.steps_per_execution
        if steps == 1:
            return run(state, Again(next(iterator)))
        vars(model)["train_function"] = call.plain
        due, logs = _due(call, state, steps), None
        model.steps_per_execution = 1  # each of these calls runs one step
        try:
            for number in range(steps):
                try:
                    batch = Again(next(iterator))
                except StopIteration:
                    if logs is None:
                        raise
                    break
                logs, state = (run if number in due else call.plain)(state, batch)
        finally:
            model.steps_per_execution = steps
        return logs, state

    return run_call


def _due(call, state, steps):
    """Returns which of the coming steps are due for any of the loggers."""
    found = set()
    for guard, recorders in zip(call.guards, call.recorders, strict=True):
        found |= guard(_due_of, recorders, state, steps, default=set())
    return found


def _due_of(recorders, state, steps):
    _, _, optimizer_variables, _ = state
    found = set()
    for one in recorders:
        first = int(at(one.outer_optimizer.variables, optimizer_variables, one.optimizer._iterations))
        found |= {number for number in range(steps) if one.due_steps(range(first + number, first + number + 1))}
    return found
