"""Recorder: what is recorded of the steps of one optimizer, and how it comes to the host."""

import abc
from collections.abc import Iterable

import keras

from gradlog.backends.optimizers import batches_per_step, clips, inner_optimizer
from gradlog.backends.options import Options, RecordingPlan, chosen_variables
from gradlog.backends.recorded import RecordedStep
from gradlog.backends.tap import Tap
from gradlog.stats.snapshots import StepLayout


class Recorder(abc.ABC):
    """Records the steps of one optimizer that are due, and hands them to the host.

    Args:
        model: A Keras model.
        optimizer: The Keras optimizer whose gradients are recorded.
        options: `Options`.
        plan: `RecordingPlan`.
        guard: The `Guard` of the training.

    Attributes:
        num_lost: Integer, how many recorded steps were overwritten before they could be fetched.
        wants_histograms: Boolean, whether the coming step is to be recorded with histograms.
    """

    def __init__(self, model, optimizer: keras.optimizers.Optimizer, options: Options, plan: RecordingPlan, guard):
        self.model, self.outer_optimizer, self.optimizer = model, optimizer, inner_optimizer(optimizer)
        self.options, self.plan, self.guard, self.num_lost = options, plan, guard, 0
        self.stride, self.clips = batches_per_step(optimizer), clips(optimizer)
        self.wants_histograms = bool(options.histograms)

    @property
    def is_checked(self) -> bool:
        """Whether what checks need of a batch is recorded."""
        return self.options.check

    @property
    def key(self) -> str:
        """The name of what is returned, among Keras' logs."""
        return f"gradlog/{id(self)}"

    @abc.abstractmethod
    def start(self) -> None:
        """Begins a training: forgets the steps of an earlier one."""

    @abc.abstractmethod
    def switch_on(self) -> None:
        """Has the steps that were traced with a tap of this recorder record."""

    @abc.abstractmethod
    def switch_off(self) -> None:
        """Has those steps go on without recording."""

    @abc.abstractmethod
    def take(self, outputs: dict, layout: StepLayout) -> None:
        """Takes what a recorded step has returned, and the layout that says what it means."""

    @abc.abstractmethod
    def fetch(self, tap: Tap, step: int | None = None) -> list[RecordedStep]:
        """Returns every step recorded since the last call, in order.

        Args:
            tap: The `Tap` that they were recorded with.
            step: Integer, the one step that was recorded, where the caller knows it, so that nothing has to be waited
                for. Defaults to `None`.
        """

    def due_steps(self, batches: range) -> list[int]:
        """Returns the steps that are due among those that a range of batches completes."""
        steps = range(batches.start // self.stride, batches.stop // self.stride)
        return [step for step in steps if step % self.options.every == 0]

    def chosen(self, owned: Iterable) -> set[str]:
        """Returns the names of the variables to record, of those that an optimizer owns.

        Raises:
            ArgumentError: there are none.
        """
        chosen = chosen_variables(self.model, self.options.select)
        if not self.plan.is_only_optimizer:
            keys = {key(one) for one in owned}
            chosen = {name: variable for name, variable in chosen.items() if key(variable) in keys}
        return set(chosen)

    def is_built(self) -> bool:
        """Whether everything that a step makes variables for has them."""
        metrics, loss = (getattr(self.model, name, None) for name in ("_compile_metrics", "_compile_loss"))
        return all(part is None or part.built for part in (self.model, self.optimizer, metrics, loss))


def key(variable) -> int:
    """Returns what tells a Keras variable, or the engine's variable in it, from others."""
    return id(variable.value if isinstance(variable, keras.Variable) else variable)
