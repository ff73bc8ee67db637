"""JAX, as `gradlog.backends.engine.Engine` describes an engine."""

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
import jax.extend.core
import keras
import numpy as np

from gradlog.backends.checks import ArgumentError
from gradlog.backends.jax.histograms import histograms
from gradlog.backends.jax.program import JaxProgram
from gradlog.backends.jax.state import due_steps, num_batches, sync, values
from gradlog.backends.jax.sums import counted_totals, element_sums, end_to_end, in_float64, square_distances, totals
from gradlog.backends.jax.tap import JaxTap, scope
from gradlog.backends.keras_private import PrivateName
from gradlog.backends.options import RecordingPlan
from gradlog.backends.returning import ReturningRecorder

__all__ = [
    "counted_totals",
    "due_steps",
    "element_sums",
    "end_to_end",
    "histograms",
    "num_batches",
    "scope",
    "square_distances",
    "sync",
    "totals",
]

recorder, tap, program = ReturningRecorder, JaxTap, JaxProgram
IS_STEP_BY_STEP = True


def check_supported() -> None:
    """Raises `RuntimeError` where JAX is too old, or in NNX mode, where a step is not a pure function of its state."""
    if not hasattr(jax.extend.core, "get_opaque_trace_state"):
        raise RuntimeError(f"gradlog needs a newer JAX; upgrade it with `pip install -U jax`. Found: {jax.__version__}")
    is_nnx_enabled = getattr(keras.config, "is_nnx_enabled", lambda: False)
    if is_nnx_enabled():
        raise RuntimeError(
            "gradlog does not support Keras' NNX mode. Unset the environment variable KERAS_NNX_ENABLED, or "
            "`nnx_enabled` in Keras' file keras.json, before Keras is imported."
        )


def check_training(model) -> None:
    """Raises `ArgumentError` where weights are divided among processes: none of them has the whole of an array."""
    distribution = keras.distribution.distribution()
    if jax.process_count() > 1 and not isinstance(distribution, keras.distribution.DataParallel):
        raise ArgumentError(
            "gradlog cannot log a model whose weights are divided among several processes. Expected one process, or "
            f"`keras.distribution.DataParallel`. Received: {jax.process_count()} processes, {distribution}"
        )


def version() -> dict[str, str]:
    """Returns JAX's version."""
    return {"jax": jax.__version__}


def private_names() -> tuple[PrivateName, ...]:
    """Returns what is used of Keras on JAX alone."""
    return (
        PrivateName(keras.Model, "_update_metrics_variables", "to see the loss of a step"),
        PrivateName(keras.Model, "compute_loss_and_updates", "to see what layers add to the loss"),
        PrivateName(keras.Model, "_jax_state_synced", "to know where the weights are while a training runs"),
    )


def is_chief(model) -> bool:
    """Whether this process writes: of several, the first."""
    return jax.process_index() == 0


def num_processes(model) -> int:
    """Returns how many processes run each program together."""
    return jax.process_count()


def num_replicas(model) -> int:
    """Returns 1: what runs on several devices is one step, whose arrays are divided among them."""
    return 1


def used_optimizers(model) -> list:
    """Returns the one optimizer whose state Keras hands to a step."""
    return [model.optimizer]


def plan(model, optimizer, every: int, steps: int, is_asked: bool) -> RecordingPlan:
    """Returns how a call of a training is recorded: each step is a program of its own, which returns its numbers."""
    return RecordingPlan(slots=math.ceil(steps / every), decides="call", returns=True)


def plan_of_loop() -> RecordingPlan:
    """Raises: nothing leaves a compiled function of JAX but what it returns."""
    raise ArgumentError(
        "`attach` cannot log a custom training loop on JAX: a compiled step returns what it was written to return, and "
        "nothing else can leave it. Train with `fit`, which a custom `train_step` may be part of, or use Keras on "
        "TensorFlow."
    )


def train(model, dataset, steps: int, callbacks: Sequence | None, steps_per_execution: int, verbose: int) -> NoReturn:
    """Raises: the loop is a graph of TensorFlow's."""
    raise RuntimeError(
        "`gradlog.train` is a loop inside one graph of TensorFlow. On JAX, train with `model.fit`. "
        f"Received: backend={keras.backend.backend()!r}"
    )


def compiled(model, function: Callable, inputs) -> Callable:
    """Returns a function of inputs that does what `function` does with the weights as they are when it is called."""
    variables = [*model.trainable_variables, *model.non_trainable_variables]

    def with_weights(weights, inputs):
        return function(inputs, list(zip(variables, weights, strict=True)))

    if not model.run_eagerly and model.jit_compile:
        with_weights = jax.jit(with_weights)
    jax.eval_shape(with_weights, values(model), inputs)
    return lambda inputs: with_weights(values(model), inputs)


def constant(array) -> Any:
    """Returns a tensor with a copy of an array."""
    return jax.numpy.array(np.array(array))


def gradients(function: Callable, values: Sequence) -> tuple[Sequence, Any]:
    """Returns the gradients of a loss, and what comes beside it."""
    (_, beside), found = jax.value_and_grad(function, has_aux=True)(list(values))
    return found, beside


def undisturbed() -> contextlib.AbstractContextManager:
    """Does nothing: Keras keeps the states of its random numbers in variables."""
    return contextlib.nullcontext()


def to_numpy(tensor) -> np.ndarray:
    """Returns a tensor on the host."""
    return np.asarray(tensor)


def on_host(arrays: dict) -> dict[str, np.ndarray]:
    """Returns the arrays of a step on the host."""
    return in_float64(jax.device_get(arrays))
