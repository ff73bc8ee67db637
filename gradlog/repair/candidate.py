"""Candidate: a training with changes, and what came of it."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gradlog.repair.changes.change import Change
from gradlog.repair.training import Training
from gradlog.repair.trial import Outcome, Trial


@dataclass(frozen=True)
class Tried:
    """One training that was tried: a row of the report.

    Attributes:
        changes: The `Change`s; none for the original.
        seed: Integer.
        outcome: `Outcome`.
        cost: Number, the trainings that it took: a part of one, or more than one if it was begun anew.
        spent: Number, the trainings that were spent in all when it ended.
        log_dir: String, the directory of its run; empty if it is not kept.
    """

    changes: tuple[Change, ...]
    seed: int
    outcome: Outcome
    cost: float
    spent: float
    log_dir: str

    @property
    def name(self) -> str:
        """What was tried: `original`, or the names of the changes."""
        return " + ".join(said(one) for one in self.changes) or "original"


class Candidate:
    """A training with changes, and what came of it.

    Args:
        changes: The `Change`s, in the order in which they are made.
        training: The changed `Training`.

    Attributes:
        trial: The `Trial` of its trainings, or `None` where none has begun.
        codes: Tuple of the lines of code of each change.
        remade: Frozen set of those changes that make another model, or prepare the data, which have no equality.
        outcomes: Dictionary of pairs of a seed and a number of epochs to `Outcome`s.
    """

    def __init__(self, changes: tuple[Change, ...], training: Training):
        self.changes, self.training = changes, training
        self.trial: Trial | None = None
        self.outcomes: dict[tuple[int, int], Outcome] = {}
        self.codes: tuple[str, ...] = ()
        self.remade: frozenset[Change] = frozenset()

    def outcome(self, epochs: int, seed: int = 0) -> Outcome:
        """Returns what had come of it after so many epochs."""
        return self.outcomes[seed, epochs]

    def with_changes(self, added: Sequence[Change], original: "Candidate") -> "Candidate | None":
        """Returns a candidate with more changes, or `None` where the model cannot be changed so.

        A change takes the place of an earlier one of its name, and of those that it overrides.
        """
        changes, training, codes, remade = self.changes, original.training, [], []
        for one in added:
            gone = {one.name, *getattr(one, "overrides", ())}
            changes = (*(other for other in changes if other.name not in gone), one)
        try:
            for one in changes:
                codes.append(one.code(training))
                before, training = training, one.applied(training)
                remade += [one] if _parts(training) != _parts(before) else []
        except (ValueError, TypeError, AttributeError):  # of a layer that Keras cannot make so
            return None
        candidate = Candidate(changes, training)
        candidate.codes, candidate.remade = tuple(codes), frozenset(remade)
        return candidate

    def without(self, change: Change, original: "Candidate") -> "Candidate | None":
        """Returns a candidate with the same changes but one, or `None` where the others cannot be made without it."""
        return original.with_changes([one for one in self.changes if one is not change], original)

    def is_changed_by(self, change: Change) -> bool:
        """Whether a change makes another training of it: Adam at 0.001 does not, where that is the optimizer."""
        try:
            return change.applied(self.training) != self.training
        except (ValueError, TypeError, AttributeError):  # as above
            return True

    @property
    def key(self) -> tuple:
        """What tells it from others, without its model: its changes in any order, and the training they come to."""
        settings = dataclasses.replace(self.training, model=None, preparations=(), restore=None)
        return frozenset(self.changes), (self.remade, settings)

    def is_one_of(self, keys: Iterable[tuple]) -> bool:
        """Whether its changes are among those of others, or come to the same training as theirs.

        Adam at 0.001 is the same as a learning rate of 0.001, where Adam is the optimizer.
        """
        changes, training = self.key
        return any(changes == of_other or training == to_other for of_other, to_other in keys)

    def keeps_model(self, other: "Candidate") -> bool:
        """Whether the model is that of another candidate."""
        return self.training.model is other.training.model


def _parts(training):
    """Returns the parts of a training that are equal only if they are the same."""
    return id(training.model), training.preparations, training.restore


def said(change: Change) -> str:
    """Returns a change in a few words: its name and its arguments, such as `learning rate 0.001`."""
    values = [one for one in dataclasses.astuple(change) if isinstance(one, (str, int, float))]
    return " ".join([change.name, *(f"{one:g}" if isinstance(one, float) else str(one) for one in values)])
