"""Trial: one training that is tried, its score on data held out, and what was found."""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from gradlog.backends.checks import in_short
from gradlog.diagnosis.diagnose import diagnose
from gradlog.diagnosis.finding import Finding
from gradlog.history.history import History
from gradlog.repair.changes.change import Observed
from gradlog.repair.data import Batches, Data, Rows
from gradlog.repair.task import LOSS, Task
from gradlog.repair.training import Training, seeded
from gradlog.session.callback import GradientLogger
from gradlog.session.describe import described
from gradlog.writers.memory import MemoryWriter

_LOGGED_STEPS = 60  # of a whole training
_PREDICTED_AT_ONCE = 256  # rows
_WORST = float("-inf")


@dataclass(frozen=True)
class Outcome:
    """What came of a training.

    Attributes:
        score: Number, `Task.score` on the rows held out; minus infinity if the training failed.
        findings: The `Finding`s, causes first.
        epochs: Number, passes through the data; fewer than were wanted where the loss was no longer finite.
        failure: String, the error that ended it; empty if it came to its end.
    """

    score: float
    findings: tuple[Finding, ...] = ()
    epochs: float = 0.0
    failure: str = ""

    @property
    def problems(self) -> list[Finding]:
        """What is wrong at the end, causes first; no notes."""
        return [one for one in self.findings if not one.is_note and one.last_step is None]

    @property
    def codes(self) -> str:
        """The codes of what is wrong at the end, or `none`."""
        return " ".join(dict.fromkeys(one.code for one in self.problems)) or "none"


class Start(NamedTuple):
    """What trainings of the model that was given start with.

    Attributes:
        weights: Arrays, its own weights.
        is_learned: Boolean, whether it predicts much better than guessing. Then every training starts with them, else
            only that of the first seed: the others start with fresh ones.
    """

    weights: list
    is_learned: bool


class Trial:
    """The trainings of one `Training`, a seed after the other; each can be continued.

    They share a compiled model, whose weights and optimizer are set anew for every seed.

    Args:
        training: `Training`.
        data: `Data`, not prepared.
        task: `Task`.
        epochs: Integer, passes through the data that a whole training makes.
        log_dir: Path, the directory of the runs.
        start: `Start`, or `None` for fresh weights.
        advance: Function that is called after every epoch.
        histograms: Boolean, whether they are logged.
    """

    def __init__(
        self,
        training: Training,
        data: Data,
        task: Task,
        epochs: int,
        log_dir: Path,
        start: Start | None = None,
        advance: Callable[[], None] = lambda: None,
        histograms: bool = True,
    ):
        self.training, self._data, self._task, self._epochs = training, data, task, epochs
        self._log_dir, self._start, self._advance, self._histograms = log_dir, start, advance, histograms
        self._memory, self._model, self._logger, self._batches = _Exchangeable(), None, None, None
        self._seed: int | None = None
        self._done, self._steps = 0, _Steps()
        self.outcome = Outcome(_WORST)

    @property
    def log_dir(self) -> str:
        """The directory of the training from the last seed."""
        session = getattr(self._logger, "_session", None)
        return str(self._log_dir) if session is None else session.directory

    @property
    def history(self) -> History:
        """What was logged from the last seed."""
        return self._memory.target.history()

    def train(self, seed: int, epochs: int) -> Outcome:
        """Trains from a seed until so many epochs are done, unless that has failed before; returns what came of it."""
        if seed != self._seed:
            self._seed, self._done, self.outcome = seed, 0, Outcome(_WORST)
            self._memory.target, self._steps = MemoryWriter(), _Steps()
        if self.outcome.failure or epochs <= self._done:
            return self.outcome
        failure, score = "", _WORST
        with warnings.catch_warnings(), seeded(seed):
            warnings.simplefilter("ignore")
            try:
                if not self._done:
                    self._begin()
                self._fit(epochs)
                score = self._score()
            except Exception as error:  # a candidate that fails is a row of the table
                failure = in_short(error)
        self._done = epochs
        findings = tuple(diagnose(self.history))
        self.outcome = Outcome(score if np.isfinite(score) else _WORST, findings, self.done(seed), failure)
        return self.outcome

    def done(self, seed: int) -> float:
        """Returns the passes through the data that the training from a seed has made; 0 if it has to begin anew."""
        if seed != self._seed:
            return 0.0
        return self._steps.number / len(self._batches) if self._batches is not None else 0.0

    def observed(self, mistakes: tuple[Finding, ...] = ()) -> Observed:
        """Returns what changes are proposed from; `mistakes` are findings before the first step."""
        known = {one.code for one in self.outcome.findings}
        findings = (*self.outcome.findings, *(one for one in mistakes if one.code not in known))
        run = described(self._model or self.training.model)
        return Observed(self.training, self._task, self._data, run, findings, self.history, self._epochs)

    def forget(self) -> None:
        """Lets go of the model; another seed would make it anew."""
        self._model = self._logger = self._batches = self._seed = None

    def _begin(self):
        """Sets everything to the start of a training from the seed."""
        data = self.training.prepared(self._data)
        fresh = self.training.fresh(data.train)
        if self._start is not None and (self._seed == 0 or self._start.is_learned):
            fresh.set_weights(self._start.weights)
        fresh.optimizer.build(fresh.trainable_variables)
        self._batches = Batches(data.train, data.batch_size, self._seed if data.is_shuffled else None)
        if self._model is not None:
            for of_one, of_other in zip(_state(self._model), _state(fresh), strict=True):
                of_one.assign(of_other)
            return
        self._model = fresh
        every = max(1, len(self._batches) * self._epochs // _LOGGED_STEPS)
        logging = {"histograms": self._histograms, "on_finding": "ignore", "writers": [self._memory]}
        self._logger = GradientLogger(self._log_dir, every, **logging)

    def _fit(self, epochs):
        advance = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: self._advance())
        self._model.fit(
            self._batches,
            epochs=epochs,
            initial_epoch=self._done,
            verbose=0,
            class_weight=self.training.class_weight,
            callbacks=[self._logger, self._steps, advance],
        )

    def _score(self):
        if self._task.kind == LOSS:
            held_out = self.training.prepared(self._data).held_out
            found = self._model.evaluate(*held_out, batch_size=_PREDICTED_AT_ONCE, verbose=0, return_dict=True)
            return self._penalty() - float(found["loss"])
        predictions = predicted(self._model, self._data.held_out)
        if self.training.restore is not None:
            predictions = self.training.restore(predictions)
        return self._task.score(predictions, self._data.held_out.y, self._cut(), self.training.classes)

    def _penalty(self):
        """Returns what regularizers add to the loss: a weaker one makes it smaller, and nothing better."""
        found = [one.regularizer(one) for one in self._model.trainable_variables if one.regularizer is not None]
        return sum(map(float, found))

    def _cut(self):
        """Returns the number above which one unit says yes: of logits and of margins 0."""
        output = described(self._model).outputs[0]
        if output.from_logits or "hinge" in (output.loss or ""):
            return 0.0
        if self.training.classes:
            return 0.5
        return float(np.mean(self._task.classes)) if len(self._task.classes) == 2 else 0.5


class _Steps(keras.callbacks.Callback):
    """Counts the steps of a training, and stops it once the loss is not finite; `TerminateOnNaN` would print a line.

    Attributes:
        number: Integer.
    """

    def __init__(self):
        super().__init__()
        self.number = self._before = 0

    def on_epoch_begin(self, epoch, logs=None):
        """Counts on from the epochs before."""
        self._before = self.number

    def on_train_batch_end(self, batch, logs=None):
        """Counts the steps of a call, whose last one is `batch`, or would be if there were as many."""
        self.number = self._before + min(batch + 1, self.params.get("steps") or batch + 1)
        if not np.isfinite(float((logs or {}).get("loss", 0.0))):
            self.model.stop_training = True


class _Exchangeable:
    """A writer that hands on to a `MemoryWriter`, which is exchanged between two trainings."""

    def __init__(self):
        self.target = MemoryWriter()

    def __getattr__(self, name):
        return getattr(self.target, name)


def predicted(model: keras.Model, rows: Rows) -> np.ndarray:
    """Returns what a model with one output predicts; at once, since to compile it would take longer."""
    found = []
    for start in range(0, len(rows), _PREDICTED_AT_ONCE):
        x = rows.at(slice(start, start + _PREDICTED_AT_ONCE)).x
        found.append(keras.ops.convert_to_numpy(model(keras.tree.map_structure(keras.ops.convert_to_tensor, x))))
    return np.concatenate(found)


def _state(model):
    """Returns the variables of a model and of its optimizer."""
    return [*model.variables, *model.optimizer.variables]


@contextlib.contextmanager
def directory(log_dir: str | os.PathLike | None) -> Iterator[Path]:
    """Gives the directory of the runs; a temporary one, which is deleted, where none is asked for."""
    if log_dir is not None:
        yield Path(log_dir)
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="gradlog-repair-") as temporary:
        yield Path(temporary)
