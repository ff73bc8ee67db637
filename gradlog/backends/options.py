"""Options: what is recorded of a training, and how its steps come to be recorded."""

from collections.abc import Callable
from typing import NamedTuple

import keras

from gradlog.backends.checks import ArgumentError
from gradlog.history import names


class Options(NamedTuple):
    """What is recorded.

    Attributes:
        every: Integer, a step is due where its number is a multiple of it.
        histograms: Integer, from how many recorded steps one keeps the bucket counts of gradients and weights; 0 for
            none.
        updates: Boolean, whether to compare the weights before and after the update. This keeps one more copy of
            them while a recorded step runs.
        select: Function of a variable and its name that says whether it is recorded.
        check: Boolean, whether to keep what checks need: the first targets of a batch, and how large its inputs are.
        optimizer_state: Boolean, whether to read the optimizer's second moment.
    """

    every: int
    histograms: int
    updates: bool
    select: Callable[[keras.Variable, str], bool]
    check: bool = True
    optimizer_state: bool = False

    def has_histograms(self, step: int) -> bool:
        """Whether a step that is recorded keeps histograms."""
        return bool(self.histograms) and step // self.every % self.histograms == 0


class RecordingPlan(NamedTuple):
    """How the steps of a program come to be recorded.

    Attributes:
        slots: Integer, how many recorded steps can wait for the host.
        decides: `"call"` where the caller of the program knows that its step is due, `"step"` where the program asks
            at every step, `"update"` where the optimizer asks at every update.
        returns: Boolean, whether the step returns what it recorded.
        is_only_optimizer: Boolean, whether the optimizer is taken to update all of the model's variables, and the loss
            to be the one that it minimizes; else only its own variables are recorded.
        is_watched: Boolean, whether another thread fetches while the steps run.
    """

    slots: int
    decides: str
    returns: bool
    is_only_optimizer: bool = True
    is_watched: bool = False


def named_variables(model: keras.Model) -> list[tuple[str, keras.Variable]]:
    """Returns a model's trainable variables, in its order, each with the name that tags use."""
    variables = model.trainable_variables
    tags = names.variable_names([variable.path for variable in variables], model.name)
    return list(zip(tags, variables, strict=True))


def chosen_variables(model, select: Callable[[keras.Variable, str], bool]) -> dict[str, keras.Variable]:
    """Returns the trainable variables to record, by name.

    Raises:
        ArgumentError: none is chosen.
    """
    named = named_variables(model)
    chosen = {name: variable for name, variable in named if select(variable, name)}
    if named and not chosen:
        raise ArgumentError(
            "`variables` chooses none of the model's variables. Expected it to match some of these names: "
            f"{', '.join(name for name, _ in named)}"
        )
    return chosen
