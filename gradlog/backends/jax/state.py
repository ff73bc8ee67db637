"""State: where weights and counts are while `fit` runs.

Keras hands them from step to step, and meanwhile the variables of model and optimizer are empty.
"""

from collections.abc import Sequence
from typing import Any

from gradlog.backends.optimizers import inner_optimizer


def sync(model) -> None:
    """Gives the variables of model and optimizer the values that they have in the training that runs."""
    model.jax_state_sync()


def values(model) -> list:
    """Returns the values of a model's trainable variables and then of the others."""
    state = _state(model)
    if "non_trainable_variables" in state:
        return [*state["trainable_variables"], *state["non_trainable_variables"]]
    return [one.value for one in (*model.trainable_variables, *model.non_trainable_variables)]


def pairs(model, state: tuple) -> list[tuple]:
    """Returns the variables of a model and its optimizer with the values that Keras hands to a step."""
    of_optimizer = model.optimizer.variables
    variables = model.trainable_variables, model.non_trainable_variables, of_optimizer, model.metrics_variables
    return [
        pair for of_kind, values in zip(variables, state, strict=True) for pair in zip(of_kind, values, strict=True)
    ]


def num_batches(model, optimizer) -> int:
    """Returns how many batches an optimizer has seen; several make a step where it accumulates."""
    count = inner_optimizer(optimizer)._iterations
    state = _state(model)
    if optimizer is model.optimizer and "optimizer_variables" in state:
        return int(at(optimizer.variables, state["optimizer_variables"], count))
    return int(count.value)


def due_steps(recorders: Sequence, state: tuple, steps: int) -> set[int]:
    """Returns which of the coming steps, counted from 0, are due for any of some recorders.

    Args:
        recorders: The `Recorder`s.
        state: What Keras hands to the first of the steps.
        steps: Integer, how many there are.
    """
    _, _, optimizer_variables, _ = state
    found = set()
    for one in recorders:
        first = int(at(one.outer_optimizer.variables, optimizer_variables, one.optimizer._iterations))
        found |= {number for number in range(steps) if one.due_steps(range(first + number, first + number + 1))}
    return found


def at(variables: Sequence, values: Sequence, variable) -> Any:
    """Returns the value of one of some variables."""
    return next(value for one, value in zip(variables, values, strict=True) if one is variable)


def _state(model):
    """Returns what Keras holds apart from the variables, by kind."""
    return {} if model._jax_state_synced else getattr(model, "_jax_state", None) or {}
