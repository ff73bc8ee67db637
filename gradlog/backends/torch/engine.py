"""PyTorch, as `gradlog.backends.engine.Engine` describes an engine."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NoReturn

import keras
import numpy as np
import torch

from gradlog.backends import optimizers
from gradlog.backends.optimizers import inner_optimizer
from gradlog.backends.options import RecordingPlan
from gradlog.backends.returning import ReturningRecorder
from gradlog.backends.torch.histograms import histograms
from gradlog.backends.torch.program import TorchProgram
from gradlog.backends.torch.sums import counted_totals, element_sums, end_to_end, square_distances, totals
from gradlog.backends.torch.tap import TorchTap

__all__ = ["counted_totals", "element_sums", "end_to_end", "histograms", "square_distances", "totals"]

_SCALARS = ("others", "clipped")  # arrays of a step that are sums of squares over several tensors
recorder, tap, program = ReturningRecorder, TorchTap, TorchProgram
used_optimizers = optimizers.optimizers
IS_STEP_BY_STEP = False


def check_supported() -> None:
    """Does nothing: Keras itself refuses a PyTorch that is too old."""


def check_training(model) -> None:
    """Does nothing: whatever Keras trains here can be logged."""


def version() -> dict[str, str]:
    """Returns PyTorch's version."""
    return {"torch": torch.__version__}


def private_names() -> tuple:
    """Returns nothing: what is used on PyTorch is used everywhere."""
    return ()


def is_chief(model) -> bool:
    """Whether this process writes: of several, the first."""
    distributed = torch.distributed
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0


def num_processes(model) -> int:
    """Returns 1: processes that train together meet in the backward pass alone, of which nothing is gradlog's."""
    return 1


def num_replicas(model) -> int:
    """Returns 1: gradients that reach the optimizer are those of all processes."""
    return 1


def num_batches(model, optimizer) -> int:
    """Returns how many batches an optimizer has seen."""
    return int(inner_optimizer(optimizer)._iterations.value)


def sync(model) -> None:
    """Does nothing: variables always have their values."""


def plan(model, optimizer, every: int, steps: int, is_asked: bool) -> RecordingPlan:
    """Returns how a call of a training is recorded: it is one step, which returns its numbers."""
    return RecordingPlan(slots=1, decides="call", returns=True)


def plan_of_loop() -> RecordingPlan:
    """Returns how the steps of a custom training loop are recorded: as they run, and a thread writes them."""
    return RecordingPlan(slots=1, decides="update", returns=False, is_only_optimizer=False, is_watched=True)


def due_steps(recorders: Sequence, state: Any, steps: int) -> set[int]:
    """Returns nothing: a call is one step."""
    return set()


def train(model, dataset, steps: int, callbacks: Sequence | None, steps_per_execution: int, verbose: int) -> NoReturn:
    """Raises: the loop is a graph of TensorFlow's."""
    raise RuntimeError(
        "`gradlog.train` is a loop inside one graph of TensorFlow. On PyTorch, train with `model.fit`, or log a custom "
        f"loop with `logger.attach(model, optimizer)`. Received: backend={keras.backend.backend()!r}"
    )


def compiled(model, function: Callable, inputs) -> Callable:
    """Returns a function of inputs that does what `function` does, without gradients."""

    def run(inputs):
        with torch.no_grad(), undisturbed():
            return function(inputs)

    run(inputs)
    return run


def scope() -> None:
    """Returns `None`: whatever is computed can be seen."""


def constant(array) -> torch.Tensor:
    """Returns a tensor with a copy of an array."""
    return keras.ops.convert_to_tensor(array).detach().clone()


def gradients(function: Callable, values: Sequence) -> tuple[Sequence, Any]:
    """Returns the gradients of a loss, and what comes beside it."""
    with torch.enable_grad():
        values = [one.detach().clone().requires_grad_() for one in values]
        loss, beside = function(values)
        found = torch.autograd.grad(loss, values, allow_unused=True)
    return list(found), keras.tree.map_structure(lambda one: None if one is None else one.detach(), beside)


def undisturbed() -> AbstractContextManager:
    """Leaves the random numbers of the processor and of the present device as they are."""
    return torch.random.fork_rng(devices=[torch.cuda.current_device()] if torch.cuda.is_available() else [])


def to_numpy(tensor) -> np.ndarray:
    """Returns a tensor on the host."""
    return tensor.detach().cpu().numpy()


def on_host(arrays: dict) -> dict[str, np.ndarray]:
    """Returns the arrays of a step on the host."""
    found = {name: to_numpy(array) for name, array in arrays.items()}
    return found | {name: found[name].sum() for name in _SCALARS if name in found}
