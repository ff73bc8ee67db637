"""Engine: what differs between the engines that Keras runs on, TensorFlow, JAX and PyTorch.

The module `gradlog.backends.<name>.engine` of each engine has the functions of the protocol `Engine`; the rest of
gradlog imports no engine. Tensors here are the engine's own.
"""

import importlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import keras
import numpy as np

from gradlog.backends.options import Options, RecordingPlan

SUPPORTED = ("tensorflow", "jax", "torch")


class Engine(Protocol):
    """The functions of an engine's module.

    Attributes:
        IS_STEP_BY_STEP: Boolean, whether a call of several steps is a loop in Python over one compiled step, a function
            of a state and an iterator of batches.
    """

    IS_STEP_BY_STEP: bool

    # What runs.

    def check_supported(self) -> None:
        """Raises `RuntimeError` where the engine is too old, or set up in a way that gradlog cannot work with."""

    def version(self) -> dict[str, str]:
        """Returns the engine's name and version, as `{"tensorflow": "2.18.0"}`."""

    def private_names(self) -> Sequence:
        """Returns the `PrivateName`s of Keras that are used on this engine alone."""

    def check_training(self, model) -> None:
        """Raises `ArgumentError` where a training of the model cannot be logged on this engine."""

    # The model.

    def is_chief(self, model) -> bool:
        """Whether this process writes: of the several that train one model together, only the first does."""

    def num_processes(self, model) -> int:
        """Returns how many processes have to run the same programs, step by step, since they wait for each other."""

    def num_replicas(self, model) -> int:
        """Returns how many replicas of a model this engine runs as separate steps whose gradients are summed."""

    def num_batches(self, model, optimizer) -> int:
        """Returns how many batches an optimizer has seen, also while a training runs."""

    def used_optimizers(self, model) -> list:
        """Returns the optimizers that a step of the model may apply gradients with."""

    def sync(self, model) -> None:
        """Gives the variables of model and optimizer the values that they have in the training that runs."""

    # The step.

    def plan_of_loop(self) -> RecordingPlan:
        """Returns how the steps of a custom training loop are recorded; raises `ArgumentError` where they cannot be."""

    def plan(self, model, optimizer, every: int, steps: int, is_asked: bool) -> RecordingPlan:
        """Returns how a call of a training with one optimizer is recorded.

        Args:
            model: The model.
            optimizer: The optimizer.
            every: Integer, a step is due where its number is a multiple of it.
            steps: Integer, of how many steps of a call one may be due.
            is_asked: Boolean, whether the training loop asks how many steps its next call may have.
        """

    def recorder(self, model, optimizer, options: Options, plan: RecordingPlan, guard) -> Any:
        """Returns the `Recorder` of an optimizer."""

    def tap(self, recorder) -> Any:
        """Returns the `Tap` of a recorder."""

    def program(self, model, recorders: Sequence, arguments: tuple) -> Any:
        """Returns the `Program` that records the model's training step for some recorders.

        Args:
            model: The model.
            recorders: The `Recorder`s.
            arguments: Those of the first call of the training function.
        """

    def due_steps(self, recorders: Sequence, state: Any, steps: int) -> set[int]:
        """Returns which of a call's steps are due for any of some recorders, where `IS_STEP_BY_STEP`."""

    def train(
        self, model, dataset, steps: int, callbacks: Sequence | None, steps_per_execution: int, verbose: int
    ) -> Any:
        """Trains as `gradlog.train` says; raises `RuntimeError` on an engine that has no such loop."""

    # A pass of inference.

    def compiled(self, model, function: Callable, inputs) -> Callable:
        """Returns a function of inputs that does what `function` does with the model's present weights.

        It is compiled as the model is, and has no effect on weights, states and random numbers.

        Args:
            model: A built model.
            function: Function of `inputs`, and perhaps of pairs of variables and values for `keras.StatelessScope`; it
                calls the model, and returns a structure of tensors and `None`.
            inputs: A structure of tensors.
        """

    def scope(self) -> Any:
        """Returns what tells the present trace or graph from others that are made inside of it; compared by `==`."""

    def constant(self, array) -> Any:
        """Returns a tensor with a copy of an array."""

    # Numbers.

    def end_to_end(self, tensors: Sequence) -> Any:
        """Returns the elements of V tensors one after the other, float32 [N]."""

    def totals(self, tensors: Sequence, terms: Sequence[str] = ("absolute", "squares")) -> Any:
        """Returns sums [V, T] over the finite elements of V tensors: of absolute values, of squares.

        How they are represented is the engine's own; `on_host` turns them into float64.
        """

    def counted_totals(self, tensors: Sequence) -> dict[str, Any]:
        """Returns `totals` of V tensors and, of each, how many elements are `zeros` [V] and `nonfinite` [V].

        It is what histograms would tell as well, and cheaper. As there, what is smaller than the smallest normal
        float32 counts as zero.
        """

    def histograms(self, tensors: Sequence) -> Any:
        """Returns integers [V, B], how many elements of V tensors fall into each of `gradlog.stats.buckets`."""

    def square_distances(self, tensors: Sequence, others: Sequence) -> Any:
        """Returns the squared L2 distances [V] between V tensors and as many others of the same shapes."""

    def element_sums(self, function: Callable, *lists: Sequence) -> Any:
        """Returns the sums [V, K] of what a function returns of each element.

        Args:
            function: Function of tensors of one shape, one of each list, to a tuple of K tensors of that shape, of
                numbers or of booleans.
            *lists: Lists of V tensors; those at one place have one shape.
        """

    def gradients(self, function: Callable, values: Sequence) -> tuple[Sequence, Any]:
        """Returns the gradients of a loss by V values, `None` where it does not depend on one, and `beside` of it.

        Args:
            function: Function of a list of V tensors to the loss, a scalar, and `beside`, any structure of tensors; it
                is called once.
            values: List of V tensors.
        """

    def undisturbed(self) -> AbstractContextManager:
        """Returns a context in which the engine's random numbers are drawn, and after which they are as before."""

    def to_numpy(self, tensor) -> np.ndarray:
        """Returns a tensor on the host."""

    def on_host(self, arrays: dict[str, Any]) -> dict[str, np.ndarray]:
        """Returns the arrays of a step on the host, as `gradlog.stats.snapshots.snapshot` takes them."""


def engine() -> Engine:
    """Returns the engine that Keras runs on.

    Raises:
        RuntimeError: gradlog does not support it.
    """
    name = keras.backend.backend()
    if name not in SUPPORTED:
        raise RuntimeError(
            f"gradlog logs gradients of Keras on {', '.join(SUPPORTED)}. Set the environment variable "
            f"KERAS_BACKEND to one of them before Keras is imported. Received: backend={name!r}"
        )
    return importlib.import_module(f"gradlog.backends.{name}.engine")


def check_supported() -> None:
    """Raises where Keras, or the engine that it runs on, is none that gradlog can work with.

    Raises:
        RuntimeError: Keras is not Keras 3, runs on an engine that gradlog does not support, or one that is too old.
    """
    if not keras.__version__.startswith("3."):
        raise RuntimeError(f"gradlog needs Keras 3. Upgrade with `pip install -U keras`. Found: {keras.__version__}")
    engine().check_supported()
