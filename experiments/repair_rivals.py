"""Two ways to look for a repair without a diagnosis: changes at random, and Keras Tuner's Hyperband.

Both choose from the changes that `gradlog.repair` could propose for the network, up to two or three at a time, and may
spend as many trainings. Each returns what it had spent, in trainings, and the score, after every training.
"""

import contextlib
import tempfile
from pathlib import Path

import keras
import numpy as np

from gradlog.repair.changes.table import ALL, made
from gradlog.repair.data import Batches
from gradlog.repair.search import Budget, Search
from gradlog.repair.training import seeded

_MOST_CHANGES = 3  # of the random search, at a time
_NONE = "none"


def space(case, epochs):
    """Returns all changes that could be proposed for a network, whatever is wrong with it."""
    with tempfile.TemporaryDirectory() as log_dir:
        search = Search(case, epochs, Budget(1, None), 0, Path(log_dir), histograms=False)
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
        search = Search(case, epochs, Budget(trainings, None), 0, Path(log_dir), histograms=False)
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

    found, spent = [], [0.0]

    class Space(keras_tuner.HyperModel):
        """The networks with two changes."""

        def build(self, hp):
            """Returns the compiled network."""
            names = [_NONE, *map(str, range(len(changes)))]
            chosen = [hp.Choice(place, names) for place in ("first", "second")]
            drawn = [changes[int(one)] for one in dict.fromkeys(chosen) if one != _NONE]
            original = Search(case, epochs, Budget(1, None), 0, Path("."), histograms=False).original
            self.training = (original.with_changes(drawn, original) or original).training
            self.data = self.training.prepared(case.data)
            return self.training.fresh(self.data.train)

        def fit(self, hp, model, *_, epochs, initial_epoch=0, callbacks=(), **__):
            """Trains it as `gradlog.repair` does, and notes the score."""
            batches = Batches(self.data.train, self.data.batch_size, 0 if self.data.is_shuffled else None)
            fitted = model.fit(
                batches,
                epochs=epochs,
                initial_epoch=initial_epoch,
                validation_data=tuple(self.data.held_out),
                class_weight=self.training.class_weight,
                callbacks=[*callbacks, keras.callbacks.TerminateOnNaN()],
                verbose=0,
            )
            spent[0] += (epochs - initial_epoch) / case_epochs
            score = fitted.history.get("val_accuracy", [0.0])[-1]
            found.append((spent[0], score))
            if spent[0] >= trainings:
                raise Spent
            return {"val_accuracy": score}

    case_epochs = epochs
    objective = keras_tuner.Objective("val_accuracy", "max")
    with tempfile.TemporaryDirectory() as directory, seeded(seed):
        tuner = keras_tuner.Hyperband(
            Space(),
            objective=objective,
            max_epochs=epochs,
            hyperband_iterations=trainings,  # more than can be spent
            seed=seed,
            directory=directory,
            project_name="repair",
        )
        with contextlib.suppress(Spent):
            tuner.search(verbose=0)
    return found
