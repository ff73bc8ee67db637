"""Repair: finds what is wrong with a training, tries changes, and returns the one that is proven to help."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import keras

from gradlog.backends.checks import ArgumentError
from gradlog.backends.engine import check_supported
from gradlog.diagnosis.finding import Finding
from gradlog.repair import report
from gradlog.repair.budget import Budget
from gradlog.repair.candidate import Candidate, Tried
from gradlog.repair.case import case_of
from gradlog.repair.changes.change import Change
from gradlog.repair.data import Data, data_of
from gradlog.repair.proof import Proof
from gradlog.repair.search import Search
from gradlog.repair.task import Task
from gradlog.repair.training import seeded
from gradlog.repair.trial import Outcome, directory
from gradlog.session.checks import checked_integer

HEALTHY, REPAIRED = "nothing to repair", "repaired"
NOT_HEALED, NOT_PROVEN = "nothing that was tried helps", "what helped once did not help with other seeds"
STOPPED = "stopped"
_MIN_TRAININGS = 4  # the original, a change, and both with another seed


@dataclass(frozen=True)
class Repair:
    """What `gradlog.repair` found; `print` shows the change as code, and the table that proves it.

    Attributes:
        verdict: String: `"nothing to repair"`, `"repaired"`, `"nothing that was tried helps"`, `"what helped once did
            not help with other seeds"`, or `"stopped"`, if Ctrl-C ended it before a change was proven.
        changes: Tuple of the changes, in the order in which they are made; empty unless it is `"repaired"`.
        code: Tuple of the lines of code of each change.
        model: The changed model, compiled, with fresh weights; of the same kind where nothing changed.
        findings: Tuple of the `Finding`s of the original training, causes first, and of `gradlog.check`.
        findings_after: The same of the changed one.
        proof: `Proof`, the scores of original and change by seed; `None` where no change came so far.
        tried: Tuple of `Tried`, every training in its order.
        score_name: String, what the scores are.
        chance: Number, the score of guessing; minus infinity where it is not known.
        spent: Number of trainings that were spent; a part of one counts as that part.
        seconds: Number.
        note: String, what a reader of the results must know, or empty.
    """

    verdict: str
    changes: tuple[Change, ...]
    code: tuple[str, ...]
    model: keras.Model
    findings: tuple[Finding, ...]
    findings_after: tuple[Finding, ...]
    proof: Proof | None
    tried: tuple[Tried, ...]
    score_name: str
    chance: float
    spent: float
    seconds: float
    note: str = ""

    def __str__(self):
        return report.text(self)

    def to_dict(self) -> dict:
        """Returns everything but the model as a dictionary for JSON."""
        return report.to_dict(self)


def repair(
    model: keras.Model,
    x,
    y=None,
    *,
    validation_data=None,
    epochs: int,
    batch_size: int | None = None,
    trainings: int = 12,
    seeds: int = 3,
    log_dir: str | os.PathLike | None = None,
    seconds: float | None = None,
    verbose: int = 1,
) -> Repair:
    """Finds out what is wrong with a training, tries changes, and returns the one that is proven to help.

    The model is trained as it is, once. Where that training learns, nothing is found and no setting is unusual, or
    where it comes to nearly perfect in the end, nothing is changed. Otherwise the findings decide which changes are
    tried; the best are trained to their end, and the one that heals is trained with other seeds beside the original. A
    change is handed over only if every pair improves, or an exact paired permutation test says so.

    The model, its weights, its optimizer and the random states stay as they are: every training is of a model like it.
    Trainings of the same architecture start from the model's own weights with the first seed, and from fresh ones with
    the others; of a model that already predicts much better than guessing, all start from its own. The same seeds give
    the same result, as far as the engine computes the same.

    Args:
        model: A compiled Keras model. Layers can be changed in `Sequential` and functional models; other classes need
            `get_config`, and get the changes that leave the layers as they are.
        x: Array, or a list, tuple or dictionary of them: the inputs. Or a `tf.data.Dataset` or another iterable of
            batches (inputs, targets), of which up to 1 GiB is read into memory.
        y: The targets, like `x`; `None` if `x` has them.
        validation_data: A pair (inputs, targets), or a dataset, to compare trainings by. Defaults to a fifth of the
            rows, which are held out.
        epochs: Integer, passes through the data of a whole training.
        batch_size: Integer. Defaults to that of the dataset, else to 32, as in `fit`.
        trainings: Integer, how many trainings may be spent, 4 or more; parts of one count as such. Defaults to 12.
        seeds: Integer, how many seeds the proof compares, 2 or more. With few trainings there are fewer. Defaults to 3.
        log_dir: String or path: each training is logged to its own directory there, so that the tab Gradients shows
            them beside each other. Defaults to a temporary directory, which is deleted.
        seconds: Number, after which no further changes are tried. Defaults to no limit.
        verbose: Integer, 0 for no progress bar. Defaults to 1.

    Returns:
        A `Repair`.

    Raises:
        ValueError: The model is not compiled or cannot be made anew, a number is out of range, or there are too few
            rows.
        TypeError: `model` is not a Keras model, or the data are neither arrays nor batches.

    Example:
    ```python
    repair = gradlog.repair(model, x, y, epochs=20)
    print(repair)
    model = repair.model
    ```
    """
    check_supported()
    _check_model(model)
    epochs = checked_integer("epochs", epochs, 1, "passes through the data")
    trainings = checked_integer("trainings", trainings, _MIN_TRAININGS, "trainings")
    seeds = checked_integer("seeds", seeds, 2, "seeds")
    if batch_size is not None:
        batch_size = checked_integer("batch_size", batch_size, 1, "rows")
    data = data_of(x, y, validation_data, batch_size)
    case = case_of(model, data)
    with seeded(0), directory(log_dir) as path, _Progress(trainings * epochs, verbose) as progress:
        budget = Budget(trainings, seconds)
        seeds = 1 + min(seeds - 1, max(1, (trainings - 2) // 4))
        search = Search(case, epochs, budget, seeds, path, progress.advance, is_kept=log_dir is not None)
        work = _Work(search, case.task, epochs, seeds)
        work.carry_out()
        return work.result(model, data, budget)


class _Work:
    """The search and the proof, as far as they come."""

    def __init__(self, search: Search, task: Task, epochs: int, seeds: int):
        self._search, self._task, self._epochs, self._seeds = search, task, epochs, seeds
        self._verdict, self._proof = STOPPED, None

    def carry_out(self) -> None:
        """Searches and proves; Ctrl-C ends it with what is known so far."""
        try:
            self._verdict = self._outcome()
        except KeyboardInterrupt:
            self._verdict = STOPPED

    def result(self, model, data: Data, budget: Budget) -> Repair:
        """Returns the `Repair`."""
        search, is_repaired = self._search, self._verdict == REPAIRED
        best = search.best if is_repaired else search.original
        with seeded(0):
            made = _handed_over(model, best, data)
        return Repair(
            verdict=self._verdict,
            changes=best.changes,
            code=best.codes,
            model=made,
            findings=search.findings,
            findings_after=search.best.outcomes.get((0, self._epochs), Outcome(0.0)).findings,
            proof=self._proof,
            tried=tuple(search.tried.values()),
            score_name=self._task.score_name,
            chance=self._task.chance,
            spent=budget.spent,
            seconds=budget.elapsed,
            note=data.note if self._verdict == HEALTHY else search.note,
        )

    def _outcome(self):
        search = self._search
        search.train_original()
        if search.is_original_healthy():
            return HEALTHY
        search.improve()
        if search.best is search.original:
            return NOT_HEALED
        return REPAIRED if self._is_proven() else NOT_PROVEN

    def _is_proven(self):
        """Whether the best change is better with every seed; both are trained with each."""
        search, pairs = self._search, []
        for seed in range(self._seeds):
            for candidate in (search.original, search.best):
                if (seed, self._epochs) not in candidate.outcomes:
                    search.run(candidate, seed, self._epochs)
            pairs.append(tuple(one.outcome(self._epochs, seed).score for one in (search.original, search.best)))
            self._proof = Proof(tuple(range(seed + 1)), *zip(*pairs, strict=True))
        return self._proof.is_better(search.margin)


class _Progress:
    """A progress bar over epochs, of as many trainings as may be spent."""

    def __init__(self, epochs: int, verbose: int):
        self._bar = keras.utils.Progbar(epochs, unit_name="epoch") if verbose else None
        self._target, self._done = epochs, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._bar is not None and self._done:
            self._bar.target = self._done  # most repairs need fewer
            self._bar.update(self._done, finalize=True)

    def advance(self) -> None:
        """Counts an epoch."""
        self._done += 1
        if self._bar is not None and self._done < self._target:
            self._bar.update(self._done)


def _check_model(model):
    if not hasattr(model, "layers") or not hasattr(model, "compile"):
        raise TypeError(f"Expected a Keras model. Received: {model!r}")
    if getattr(model, "loss", None) is None or getattr(model, "optimizer", None) is None:
        raise ArgumentError(
            "The model has no loss to train with. Expected a compiled model; call `model.compile(optimizer=..., "
            f"loss=...)` first. Received: {model.name!r}"
        )


def _handed_over(model, best: Candidate, data: Data) -> keras.Model:
    """Returns the changed model, compiled with the metrics of the one that was given, where they still fit."""
    made = best.training.changed(metrics=_metrics(model) or best.training.metrics)
    try:
        return made.fresh(best.training.prepared(data).train)
    except Exception:  # metrics of another kind of output
        return best.training.fresh(best.training.prepared(data).train)


def _metrics(model) -> tuple:
    """Returns the metrics that a model was compiled with, made anew; none that Keras cannot make of a configuration."""
    try:
        found: Sequence = keras.saving.deserialize_keras_object(model.get_compile_config().get("metrics") or [])
    except Exception:
        return ()
    return tuple(found) if isinstance(found, (list, tuple)) else ()
