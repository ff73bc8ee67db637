"""Case: what is known of a training that is to be repaired, before the first trial."""

from typing import NamedTuple

import keras
import numpy as np

from gradlog.backends.optimizers import inner_optimizer
from gradlog.diagnosis.finding import Finding
from gradlog.repair.data import Data
from gradlog.repair.surgery import flattened
from gradlog.repair.task import LOSS, Task, task_of
from gradlog.repair.training import Training, seeded
from gradlog.repair.trial import Start, predicted
from gradlog.session.check import check
from gradlog.session.describe import described


class Case(NamedTuple):
    """What is known of a training before the first trial.

    Attributes:
        training: The `Training`, without changes.
        data: `Data`, not prepared.
        task: `Task`.
        start: `Start` of trainings of the same model, or `None` for fresh weights.
        mistakes: The `Finding`s of `gradlog.check`.
    """

    training: Training
    data: Data
    task: Task
    start: Start | None
    mistakes: tuple[Finding, ...]


def case_of(model: keras.Model, data: Data) -> Case:
    """Returns what is known of the training of a compiled model.

    Raises:
        ValueError: Keras cannot make the model anew.
    """
    with seeded(0):
        task = _task(model, data)
        training = Training.of(model, data, ("accuracy",) if task.kind in ("classes", "labels") else ())
        start = _start(model, data, task)
    return Case(training, data, task, start, _mistakes(model, data))


def _task(model, data) -> Task:
    outputs = described(model).outputs
    if len(outputs) != 1 or not hasattr(data.train.y, "dtype"):
        return task_of(None, None, None)
    task = task_of(outputs[0].loss, outputs[0].units, data.train.y)
    return Task(LOSS) if task.is_sequence and _leaves_places_out(model, task) else task


def _leaves_places_out(model, task) -> bool:
    """Whether some places of a sequence do not count: those of a negative class, or masked ones."""
    masks = (getattr(one, "mask_zero", False) or isinstance(one, keras.layers.Masking) for one in flattened(model))
    return min(task.classes) < 0 or any(masks)


def _mistakes(model, data) -> tuple[Finding, ...]:
    """Returns what `gradlog.check` finds, of rows that are shuffled or not."""
    if data.is_shuffled:
        return tuple(check(model, *data.train, batch_size=data.batch_size))
    starts = range(0, len(data.train), data.batch_size)
    return tuple(check(model, (tuple(data.train.at(slice(one, one + data.batch_size))) for one in starts)))


def _start(model, data, task) -> Start | None:
    """Returns the weights of a model that has not been trained yet, or has learned something, else `None`."""
    if not model.built:
        return None
    weights = [np.array(one) for one in model.get_weights()]
    try:
        score = task.score(predicted(model, data.held_out), data.held_out.y)
    except Exception:  # a model that cannot predict has learned nothing
        score = float("-inf")
    is_learned = task.is_good(score)
    is_new = int(inner_optimizer(model.optimizer).iterations) == 0 and all(np.isfinite(one).all() for one in weights)
    return Start(weights, is_learned) if is_learned or is_new else None
