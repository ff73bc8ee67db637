"""Two ways to look for a repair without a diagnosis: changes at random, and Keras Tuner's Hyperband.

Both choose from the changes that `gradlog.repair` could propose for the network, up to two or three at a time, and may
spend as many trainings. Each returns what it had spent, in trainings, and the score, after every training.
"""

import contextlib
import tempfile
from pathlib import Path

import keras
import numpy as np

from gradlog.repair.budget import Budget
from gradlog.repair.candidate import Candidate
from gradlog.repair.changes.table import ALL, made
from gradlog.repair.data import Batches
from gradlog.repair.search import Search
from gradlog.repair.training import seeded

_MOST_CHANGES = 3  # of the random search, at a time
_NONE = "none"
_OBJECTIVE = "val_accuracy"


def space(case, epochs):
    """Returns all changes that could be proposed for a network, whatever is wrong with it."""
    with tempfile.TemporaryDirectory() as log_dir:
        search = Search(case, epochs, Budget(1, None), 1, Path(log_dir), is_kept=False)
        search.run(search.original, 0, 1)
        return list(dict.fromkeys(made(ALL, search.original.trial.observed())))


def random_search(case, changes, epochs, trainings, seed):
    """Trains with one to three changes, drawn at random, again and again.

    Args:
        case: `gradlog.repair.case.Case`.
        changes: List of changes, the space.
        epochs: Integer, of a training.
        trainings: Integer, how many are spent.
        seed: Integer, of what is drawn.

    Returns:
        A list of pairs: trainings spent, and the score of the last one.
    """
    random, found = np.random.default_rng(seed), []
    with tempfile.TemporaryDirectory() as log_dir:
        search = Search(case, epochs, Budget(trainings, None), 1, Path(log_dir), is_kept=False)
        while len(found) < trainings:
            number = min(random.integers(1, _MOST_CHANGES + 1), len(changes))
            drawn = [changes[index] for index in random.choice(len(changes), number, replace=False)]
            candidate = search.original.with_changes(drawn, search.original)
            if candidate is None:
                continue
            outcome = search.run(candidate, 0, epochs)
            candidate.trial.forget()
            found.append((len(found) + 1, outcome.score if np.isfinite(outcome.score) else 0.0))
    return found


def hyperband(case, changes, epochs, trainings, seed):
    """Searches with Keras Tuner's Hyperband (Li et al. 2018) for two changes, of which each may be none.

    Takes and returns what `random_search` does; a score is that of a trial's last epoch, and a trial of a few epochs
    counts as such a part of a training.
    """
    import keras_tuner

    class Spent(keras_tuner.errors.FatalError):
        """All trainings are spent."""

    class Space(keras_tuner.HyperModel):
        """The networks with two changes."""

        def build(self, hp):
            """Returns the compiled network."""
            names = [_NONE, *map(str, range(len(changes)))]
            return trials.model([hp.Choice(place, names) for place in ("first", "second")])

        def fit(self, hp, model, *_, epochs, initial_epoch=0, callbacks=(), **__):
            """Trains it, and returns the score."""
            score = trials.train(model, epochs, initial_epoch, callbacks)
            if trials.spent >= trainings:
                raise Spent
            return {_OBJECTIVE: score}

    trials = _Trials(case, changes, epochs)
    with tempfile.TemporaryDirectory() as directory, seeded(seed), contextlib.suppress(Spent):
        keras_tuner.Hyperband(
            Space(),
            objective=keras_tuner.Objective(_OBJECTIVE, "max"),
            max_epochs=epochs,
            hyperband_iterations=trainings,  # more than can be spent
            seed=seed,
            directory=directory,
        ).search(verbose=0)
    return trials.found


class _Trials:
    """The trials of Hyperband: builds and trains as `gradlog.repair` does, and notes what was spent and reached."""

    def __init__(self, case, changes, epochs):
        self.found, self.spent = [], 0.0
        self._case, self._changes, self._epochs = case, changes, epochs
        self._training = self._data = None

    def model(self, chosen):
        """Returns the compiled network with the changes of some numbers."""
        drawn = [self._changes[int(one)] for one in dict.fromkeys(chosen) if one != _NONE]
        original = Candidate((), self._case.training)
        self._training = (original.with_changes(drawn, original) or original).training
        self._data = self._training.prepared(self._case.data)
        model = self._training.fresh(self._data.train)
        model.optimizer.build(model.trainable_variables)  # so that a trial which goes on finds its state again
        return model

    def train(self, model, epochs, initial_epoch, callbacks):
        """Trains the network that was made last, and returns its accuracy on the rows held out."""
        fitted = model.fit(
            Batches(self._data.train, self._data.batch_size, 0 if self._data.is_shuffled else None),
            epochs=epochs,
            initial_epoch=initial_epoch,
            validation_data=tuple(self._data.held_out),
            class_weight=self._training.class_weight,
            callbacks=[*callbacks, keras.callbacks.TerminateOnNaN()],
            verbose=0,
        )
        self.spent += (epochs - initial_epoch) / self._epochs
        score = fitted.history.get(_OBJECTIVE, [0.0])[-1]
        self.found.append((self.spent, score))
        return score
