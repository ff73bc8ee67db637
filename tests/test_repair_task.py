"""The score of a task is that of scikit-learn, and the task is what targets and loss say."""

import dataclasses

import numpy as np
import pytest
from sklearn import metrics

from gradlog.repair.proof import Proof
from gradlog.repair.task import CLASSES, LABELS, LOSS, NUMBERS, task_of

RNG = np.random.default_rng(0)
DIGITS = RNG.integers(0, 10, 200)
ONE_HOT = np.eye(10, dtype=np.float32)[DIGITS]
YES = RNG.integers(0, 2, 200)
SEVERAL = RNG.integers(0, 2, (200, 5)).astype(np.float32)
NUMBER = RNG.normal(100, 30, 200).astype(np.float32)
CROSS_ENTROPY = "sparse_categorical_crossentropy"


@pytest.mark.parametrize(
    ("loss", "units", "targets", "kind"),
    [
        (CROSS_ENTROPY, 10, DIGITS, CLASSES),
        (CROSS_ENTROPY, 10, DIGITS[:, None], CLASSES),
        ("categorical_crossentropy", 10, ONE_HOT, CLASSES),
        ("mean_squared_error", 10, ONE_HOT, CLASSES),
        ("binary_crossentropy", 1, YES, CLASSES),
        ("mean_squared_error", 1, YES, CLASSES),
        ("hinge", 1, 2 * YES - 1, CLASSES),
        ("binary_crossentropy", 1, DIGITS, CLASSES),  # a mistake: one unit for ten classes
        ("my_loss", 10, DIGITS, CLASSES),
        ("binary_crossentropy", 5, SEVERAL, LABELS),
        ("mean_squared_error", 5, SEVERAL, NUMBERS),
        ("mean_squared_error", 1, DIGITS, NUMBERS),
        ("mean_squared_error", 1, NUMBER, NUMBERS),
        ("binary_crossentropy", 64, RNG.uniform(size=(200, 64)), NUMBERS),  # an autoencoder of pixels
        ("mean_squared_error", 3, RNG.normal(size=(200, 4, 3)), LOSS),
        (CROSS_ENTROPY, 10, DIGITS.reshape(20, 10), CLASSES),  # tokens
        (CROSS_ENTROPY, 5000, np.arange(4000).reshape(200, 20), CLASSES),
        (CROSS_ENTROPY, 2000, np.arange(2000), CLASSES),
        (None, None, None, LOSS),
        (None, None, [DIGITS, YES], LOSS),
        (CROSS_ENTROPY, 10, np.array(["a"] * 200), LOSS),
    ],
)
def test_the_kind_of_task(loss, units, targets, kind):
    assert task_of(loss, units, targets).kind == kind


def test_chance_is_the_score_of_the_best_constant_answer():
    digits = task_of(CROSS_ENTROPY, 10, DIGITS)
    assert digits.chance == metrics.accuracy_score(DIGITS, np.full(200, np.bincount(DIGITS).argmax()))
    several = task_of("binary_crossentropy", 5, SEVERAL)
    constant = (SEVERAL.mean(0) > 0.5) * np.ones_like(SEVERAL)
    assert several.chance == pytest.approx((constant == SEVERAL).mean())
    assert task_of("mse", 1, NUMBER).chance == 0
    assert not digits.is_learned(digits.chance)
    assert digits.is_learned(digits.chance + 0.06)
    assert not digits.is_nearly_perfect(digits.chance + 0.89 * (1 - digits.chance))
    assert digits.is_nearly_perfect(digits.chance + 0.91 * (1 - digits.chance))


def test_classes_of_each_place_are_scored_as_if_each_were_a_row():
    tokens = DIGITS.reshape(20, 10)
    task = task_of(CROSS_ENTROPY, 10, tokens)
    assert task == dataclasses.replace(task_of(CROSS_ENTROPY, 10, DIGITS), is_sequence=True)
    predictions = RNG.normal(size=(20, 10, 10))
    expected = metrics.accuracy_score(DIGITS, predictions.reshape(200, 10).argmax(1))
    assert task.score(predictions, tokens) == expected


def test_the_score_of_classes():
    predictions = RNG.normal(size=(200, 10))
    for targets in (DIGITS, DIGITS[:, None], ONE_HOT):
        task = task_of(CROSS_ENTROPY, 10, targets)
        expected = metrics.accuracy_score(DIGITS, predictions.argmax(1))
        assert task.score(predictions, targets) == pytest.approx(expected)
    predictions[:50] = np.nan  # which `argmax` would take for the first class
    right = (predictions[50:].argmax(1) == DIGITS[50:]).sum()
    assert task_of(CROSS_ENTROPY, 10, DIGITS).score(predictions, DIGITS) == right / 200


@pytest.mark.parametrize(("values", "cut"), [((0, 1), 0.5), ((-1, 1), 0.0), ((3, 7), 5.0)])
def test_the_score_of_one_unit(values, cut):
    targets = np.choose(YES, values)
    predictions = RNG.normal(cut, 1, (200, 1))
    task = task_of("binary_crossentropy", 1, targets)
    expected = metrics.accuracy_score(targets, np.choose((predictions[:, 0] > cut).astype(int), values))
    assert task.score(predictions, targets, cut) == pytest.approx(expected)


def test_the_score_of_labels_and_of_numbers():
    predictions = RNG.uniform(size=(200, 5))
    expected = metrics.accuracy_score(SEVERAL.ravel(), predictions.ravel() > 0.5)
    assert task_of("binary_crossentropy", 5, SEVERAL).score(predictions, SEVERAL) == pytest.approx(expected)
    predictions = NUMBER + RNG.normal(0, 20, 200)
    task = task_of("mse", 1, NUMBER)
    assert task.score(predictions[:, None], NUMBER) == pytest.approx(metrics.r2_score(NUMBER, predictions))
    assert task.score(np.full((200, 1), np.nan), NUMBER) == -1
    assert task.score(np.full((200, 1), 1e9), NUMBER) == -1


@pytest.mark.parametrize("number", [2, 3, 5, 8])
def test_the_permutation_test_is_that_of_scipy(number):
    from scipy import stats

    before, after = RNG.normal(0.5, 0.2, number), RNG.normal(0.6, 0.2, number)
    proof = Proof(tuple(range(number)), tuple(before), tuple(after))
    exact = stats.permutation_test(
        (after, before),
        lambda one, other: (one - other).sum(),
        permutation_type="samples",
        alternative="greater",
        n_resamples=np.inf,
    )
    assert proof.p_value == pytest.approx(exact.pvalue)


def test_what_is_better():
    assert Proof((0, 1, 2), (0.1, 0.1, 0.2), (0.9, 0.8, 0.9)).is_better(0.05)
    assert not Proof((0,), (0.1,), (0.9,)).is_better(0.05)  # one pair may be chance
    assert not Proof((0, 1, 2), (0.1, 0.1, 0.9), (0.9, 0.8, 0.8)).is_better(0.05)  # one is worse, and three are few
    assert Proof(tuple(range(9)), (0.5,) * 9, (0.9,) * 8 + (0.4,)).is_better(0.05)  # one is worse, and nine are many
    assert not Proof((0, 1, 2), (0.5, 0.5, 0.5), (0.51, 0.52, 0.51)).is_better(0.05)  # too little
    assert Proof((0, 1), (float("-inf"), 0.1), (0.9, 0.8)).is_better(0.05)  # the original fails with one seed
    assert not Proof((0, 1), (0.1, 0.1), (0.9, float("-inf"))).is_better(0.05)
    assert Proof((0, 1, 2), (0.1,) * 3, (0.9,) * 3).smallest_p_value == 1 / 8
