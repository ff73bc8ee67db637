"""Task: what a network is to learn, and how well its predictions do, whatever its loss is.

Two trainings with different losses can be compared by this score alone.
"""

from dataclasses import dataclass

import numpy as np

from gradlog.diagnosis.checks.setup import CROSS_ENTROPIES, HINGES, REGRESSION, SPARSE

CLASSES, LABELS, NUMBERS, LOSS = "classes", "labels", "numbers", "loss"
_SCORES = {CLASSES: "accuracy", LABELS: "accuracy of labels", NUMBERS: "R²", LOSS: "-loss"}
_MAX_CLASSES = 1000
_MARGIN = 0.05  # of the way from guessing to perfect, which is more than chance
_GOOD, _FAR = 0.5, 0.75  # of the same way
_NEARLY_PERFECT = 0.9


@dataclass(frozen=True)
class Task:
    """What a network is to learn.

    Attributes:
        kind: String: `"classes"`, one for each row, or for each place of a sequence; `"labels"`, several that are true
            or not; `"numbers"`; or `"loss"`, of which nothing is known but the loss.
        classes: The class numbers that occur; of one-hot rows their columns.
        is_one_hot: Boolean, whether the targets are one-hot rows.
        chance: Number, the score of guessing: of always saying the most frequent class, or the mean.
        is_sequence: Boolean, whether a row has a class for each of several places.
    """

    kind: str
    classes: tuple[int, ...] = ()
    is_one_hot: bool = False
    chance: float = float("-inf")
    is_sequence: bool = False

    @property
    def score_name(self) -> str:
        """The name of the score, which is higher where predictions are better."""
        return _SCORES[self.kind]

    @property
    def margin(self) -> float:
        """How far two scores have to differ to count."""
        return 0.0 if self.kind == LOSS else _MARGIN * (1 - self.chance)

    def is_learned(self, score: float) -> bool:
        """Whether a score is better than guessing."""
        return self.kind == LOSS or score > self.chance + self.margin

    def is_good(self, score: float) -> bool:
        """Whether a score is halfway from guessing to perfect; never where guessing has no score."""
        return self._has_come(_GOOD, score)

    def has_come_far(self, score: float) -> bool:
        """Whether a score is three quarters of that way."""
        return self._has_come(_FAR, score)

    def is_nearly_perfect(self, score: float) -> bool:
        """Whether a score is nine tenths of that way, which leaves little to gain."""
        return self._has_come(_NEARLY_PERFECT, score)

    def score(
        self, predictions: np.ndarray, targets: np.ndarray, cut: float = 0.5, classes: tuple[int, ...] = ()
    ) -> float:
        """Returns how good predictions are.

        Args:
            predictions: Array [n, ...] of what the model returned.
            targets: Array [n, ...]; of classes [n], [n, 1], one-hot [n, k], or [n, t] of each place of a sequence.
            cut: Number, above which a single unit says yes.
            classes: Tuple of the class numbers that class 0, 1 … of the predictions stand for. Defaults to those.

        Returns:
            The accuracy, in [0, 1]; of numbers the coefficient of determination R², at least -1.
        """
        predictions, targets = np.asarray(predictions, np.float64), np.asarray(targets)
        if self.is_sequence:
            predictions, targets = predictions.reshape(targets.size, -1), targets.reshape(-1)
        predictions = predictions.reshape(len(predictions), -1)
        if self.kind == NUMBERS:
            return _explained(predictions, np.asarray(targets, np.float64).reshape(len(targets), -1))
        is_finite = np.isfinite(predictions)
        if self.kind == LABELS:
            return float((((predictions > cut) == (_rows(targets) > 0.5)) & is_finite).mean())
        is_right = self._predicted(predictions, cut, classes) == class_numbers(targets)
        return float((is_right & is_finite.all(axis=1)).mean())

    def _has_come(self, share, score):
        return self.kind != LOSS and score >= self.chance + share * (1 - self.chance)

    def _predicted(self, predictions, cut, classes):
        if predictions.shape[1] > 1:
            found = np.argmax(predictions, axis=1)
            # A unit beyond the classes stands for none of them.
            return np.array([*classes, min(classes) - 1])[np.minimum(found, len(classes))] if classes else found
        if len(self.classes) == 2:
            return np.where(predictions[:, 0] > cut, self.classes[1], self.classes[0])
        return np.round(predictions[:, 0])


def task_of(loss: str | None, units: int | None, targets) -> Task:
    """Returns the task of a network with one output.

    Args:
        loss: String, Keras' name of the loss.
        units: Integer, of the output, or `None` if it is not known.
        targets: Array [n, ...]; anything else, such as the targets of several outputs, is a task of which nothing is
            known but its loss.
    """
    if not hasattr(targets, "dtype") or (not np.issubdtype(targets.dtype, np.number) and targets.dtype != bool):
        return Task(LOSS)
    rows = _rows(targets)
    is_sequence = loss in SPARSE and rows.shape[1] > 1 and not _is_one_hot(rows)
    if is_sequence:
        rows = rows.reshape(-1, 1)
    rows = rows[np.isfinite(rows).all(axis=1)]
    if not len(rows) or (np.ndim(targets) > 2 and not is_sequence):
        return Task(LOSS)
    kind = _kind(loss, units, rows)
    if kind == NUMBERS:
        return Task(NUMBERS, chance=0.0)
    if kind == LABELS:
        return Task(LABELS, chance=float(np.maximum(rows.mean(0), 1 - rows.mean(0)).mean()))
    found, counts = np.unique(class_numbers(rows), return_counts=True)
    is_one_hot, chance = rows.shape[1] > 1, float(counts.max() / len(rows))
    classes = tuple(range(rows.shape[1])) if is_one_hot else tuple(int(one) for one in found)
    return Task(CLASSES, classes, is_one_hot, chance, is_sequence)


def class_numbers(targets) -> np.ndarray:
    """Returns the class of each row: one-hot rows are decoded."""
    rows = _rows(targets)
    return rows.argmax(axis=1) if rows.shape[1] > 1 else rows[:, 0]


def _kind(loss, units, rows):
    is_whole = (rows == np.round(rows)).all()
    if rows.shape[1] > 1:
        if _is_one_hot(rows):
            return CLASSES
        return LABELS if _is_binary(rows) and loss not in REGRESSION else NUMBERS
    number = len(np.unique(rows[:, 0])) if is_whole else 0
    if loss in SPARSE and number >= 2:
        return CLASSES
    if not 2 <= number <= min(_MAX_CLASSES, max(2, len(rows) // 2)):
        return NUMBERS
    if loss in (*CROSS_ENTROPIES, *HINGES) or number == 2:
        return CLASSES
    return CLASSES if (units or 1) >= number else NUMBERS


def _is_binary(rows):
    return bool(((rows == 0) | (rows == 1)).all())


def _is_one_hot(rows):
    return rows.shape[1] > 1 and _is_binary(rows) and bool((rows.sum(axis=1) == 1).all())


def _rows(targets):
    return np.asarray(targets, np.float64).reshape(len(targets), -1)


def _explained(predictions, targets):
    """Returns R²: 1 less the squared error over the variance."""
    if predictions.shape != targets.shape or not np.isfinite(predictions).all():
        return -1.0
    errors, around = ((targets - predictions) ** 2).sum(), ((targets - targets.mean(axis=0)) ** 2).sum()
    return float(max(-1.0, 1 - errors / around)) if around > 0 else 0.0
