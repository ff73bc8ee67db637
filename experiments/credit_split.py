"""Which people of the credit-card table are fitted, watched for early stopping, and held out."""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils import resample

_QUARTER, _FIFTH = 4, 5


@dataclass(frozen=True)
class Split:
    """What is trained on and what is held out; no row that is watched equals one that is fitted.

    Attributes:
        x_train: float32 array [n, d].
        y_train: Integer array [n] of labels 0 and 1.
        is_watched: Boolean array [n], true for rows that a network with early stopping watches instead of fitting.
        x_test: float32 array [m, d].
        y_test: Integer array [m].
    """

    x_train: np.ndarray
    y_train: np.ndarray
    is_watched: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @property
    def fitted(self):
        """Rows and labels that a network with early stopping is fitted to."""
        return self.x_train[~self.is_watched], self.y_train[~self.is_watched]

    @property
    def watched(self):
        """Rows and labels whose loss decides when it stops."""
        return self.x_train[self.is_watched], self.y_train[self.is_watched]

    def scaled(self):
        """Returns the same with every column of mean 0 and deviation 1 on the fitted rows."""
        scaler = StandardScaler().fit(self.fitted[0])
        x_train, x_test = (scaler.transform(x).astype(np.float32) for x in (self.x_train, self.x_test))
        return Split(x_train, self.y_train, self.is_watched, x_test, self.y_test)


def split(applicants, seed, split_first=False):
    """Holds a quarter out, chooses a fifth of the rest to watch, and repeats rows of the rare class.

    Rows are repeated until both classes are of one size. A watched row never equals a fitted one: all copies of a row,
    and all people whose rows are equal, go to one part.

    Args:
        applicants: `credit_data.Applicants`.
        seed: Integer.
        split_first: Boolean. The article repeats rows first and holds a quarter out then, so that copies of one person
            stand on both sides. True holds out and chooses what to watch first, and then repeats rows of the fitted
            part and of the watched part, each from its own rows; the test rows stay as they are. Defaults to `False`.
    """
    x, y = applicants.x.to_numpy(np.float32), applicants.y
    return _split_first(x, y, seed) if split_first else _repeat_first(x, y, seed)


def _repeat_first(x, y, seed):
    x_train, x_test, y_train, y_test = train_test_split(*_balanced(x, y, seed), test_size=0.25, random_state=seed)
    return Split(x_train, y_train, _apart(x_train, y_train, _FIFTH, seed), x_test, y_test)


def _split_first(x, y, seed):
    is_test = _apart(x, y, _QUARTER, seed)
    x_train, y_train = x[~is_test], y[~is_test]
    is_watched = _apart(x_train, y_train, _FIFTH, seed)
    parts = [_balanced(x_train[part], y_train[part], seed) for part in (~is_watched, is_watched)]
    is_watched = np.repeat([False, True], [len(labels) for _, labels in parts])
    x_train, y_train = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Split(x_train, y_train, is_watched, x[is_test], y[is_test])


def _apart(x, y, num_parts, seed):
    """Returns a boolean array [n], true for one part of `num_parts`; equal rows are all in it or all out of it."""
    _, group = np.unique(x, axis=0, return_inverse=True)
    folds = StratifiedGroupKFold(num_parts, shuffle=True, random_state=seed)
    _, chosen = next(folds.split(x, y, group.ravel()))
    return np.isin(np.arange(len(y)), chosen)


def _balanced(x, y, seed):
    rare = int(np.sum(y == 1) < np.sum(y == 0))
    number = abs(int(np.sum(y == 0)) - int(np.sum(y == 1)))
    if not number:
        return x, y
    more_x, more_y = resample(x[y == rare], y[y == rare], n_samples=number, random_state=seed)
    return np.concatenate([x, more_x]), np.concatenate([y, more_y])
