"""TensorFlow, as `gradlog.backends.engine.Engine` describes an engine."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from gradlog.backends import optimizers
from gradlog.backends.options import RecordingPlan
from gradlog.backends.tensorflow import strategies
from gradlog.backends.tensorflow.grouping import end_to_end
from gradlog.backends.tensorflow.histograms import histograms
from gradlog.backends.tensorflow.loop import train
from gradlog.backends.tensorflow.moments import counted_totals, element_sums, square_distances, totals
from gradlog.backends.tensorflow.program import TensorFlowProgram
from gradlog.backends.tensorflow.recorder import TensorFlowRecorder
from gradlog.backends.tensorflow.strategies import is_chief, num_processes, num_replicas
from gradlog.backends.tensorflow.tap import TensorFlowTap

__all__ = [
    "counted_totals",
    "element_sums",
    "end_to_end",
    "histograms",
    "is_chief",
    "num_processes",
    "num_replicas",
    "square_distances",
    "totals",
    "train",
]

_OLDEST = (2, 18)

recorder, tap, program = TensorFlowRecorder, TensorFlowTap, TensorFlowProgram
used_optimizers = optimizers.optimizers
IS_STEP_BY_STEP = False


def check_supported() -> None:
    """Raises `RuntimeError` where TensorFlow is too old."""
    if tuple(map(int, tf.__version__.split(".")[:2])) < _OLDEST:
        raise RuntimeError(f"gradlog needs TensorFlow 2.18 or newer; upgrade it with pip. Found: {tf.__version__}")


def check_training(model) -> None:
    """Does nothing: whatever Keras trains here can be logged."""


def version() -> dict[str, str]:
    """Returns TensorFlow's version."""
    return {"tensorflow": tf.__version__}


def private_names() -> tuple:
    """Returns nothing: what is used on TensorFlow is used everywhere."""
    return ()


def num_batches(model, optimizer) -> int:
    """Returns how many batches an optimizer has seen."""
    return strategies.num_batches(optimizer)


def sync(model) -> None:
    """Does nothing: variables always have their values."""


def plan(model, optimizer, every: int, steps: int, is_asked: bool) -> RecordingPlan:
    """Returns how a call of a training with one optimizer is recorded."""
    # Loss scaling may skip a step, which then does not count: the next one is due, and would be missed if this one
    # was skipped unseen.
    decides = "step" if steps > 1 or hasattr(optimizer, "inner_optimizer") else "call"
    is_single = steps == 1 and num_replicas(model) == 1
    returns = decides == "call" and is_single and not is_asked
    return RecordingPlan(slots=math.ceil(steps / every), decides=decides, returns=returns)


def plan_of_loop() -> RecordingPlan:
    """Returns how the steps of a custom training loop are recorded: a thread fetches them."""
    return RecordingPlan(slots=16, decides="update", returns=False, is_only_optimizer=False, is_watched=True)


def due_steps(recorders: Sequence, state: Any, steps: int) -> set[int]:
    """Returns nothing: the steps of a call are one program, which decides itself."""
    return set()


def compiled(model, function: Callable, inputs) -> Callable:
    """Returns a function of inputs that does what `function` does, as a program compiled as the model is."""
    if model.run_eagerly:
        function(inputs)
        return function
    program_of = tf.function(lambda inputs: function(inputs), jit_compile=bool(model.jit_compile), autograph=False)
    return program_of.get_concrete_function(inputs)


def scope() -> Any:
    """Returns the graph that is being made."""
    return tf.compat.v1.get_default_graph()


def constant(array) -> tf.Tensor:
    """Returns a tensor with a copy of an array."""
    return tf.constant(array if tf.is_tensor(array) else np.array(array))


def gradients(function: Callable, values: Sequence) -> tuple[Sequence, Any]:
    """Returns the gradients of a loss, and what comes beside it."""
    with tf.GradientTape() as tape:
        tape.watch(values)
        loss, beside = function(values)
    return tape.gradient(loss, values), beside


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Leaves the random numbers that are drawn where operations run at once as they are."""
    generator = getattr(context.context(), "_rng", None)
    state = None if generator is None else generator.getstate()
    try:
        yield
    finally:
        if generator is not None:
            generator.setstate(state)


def to_numpy(tensor) -> np.ndarray:
    """Returns a tensor on the host."""
    return tensor.numpy() if isinstance(tensor, tf.Tensor) else keras.ops.convert_to_numpy(tensor)


def on_host(arrays: dict) -> dict[str, np.ndarray]:
    """Returns the arrays of a step on the host."""
    return {name: np.asarray(array) for name, array in arrays.items()}
