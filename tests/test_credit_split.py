"""Which rows of the credit-card table are fitted, watched and held out; copies of a row that is fitted are neither."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import credit_data, credit_split

REAL = Path(__file__).parents[2] / "shared" / "data" / "credit_card"


def numbered(number=200):
    """People who differ in their row, one of ten with label 1."""
    index = np.arange(number)
    return credit_data.Applicants(pd.DataFrame({"id": index.astype(float)}), (index % 10 == 0).astype(int), "numbers")


def twins(number=200):
    """People of whom each two have one row, and labels that may differ."""
    index = np.arange(number)
    return credit_data.Applicants(pd.DataFrame({"id": index // 2 * 1.0}), (index % 7 == 0).astype(int), "twins")


def real():
    if not REAL.exists():
        pytest.skip("the real credit-card table is not here")
    return credit_data.load("files", REAL)


def rows(x):
    return set(map(tuple, x.tolist()))


@pytest.mark.parametrize("split_first", [False, True])
@pytest.mark.parametrize("table", [numbered, twins, real])
@pytest.mark.parametrize("scale", [False, True])
def test_no_watched_row_is_a_copy_of_a_fitted_one(table, split_first, scale):
    split = credit_split.split(table(), 1, split_first)
    split = split.scaled() if scale else split
    fitted, watched = rows(split.fitted[0]), rows(split.watched[0])

    assert not fitted & watched
    assert fitted | watched == rows(split.x_train)
    assert len(watched) / len(fitted | watched) == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("table", [numbered, twins, real])
def test_held_out_first_no_test_row_is_a_copy_of_a_training_row(table):
    applicants = table()
    split = credit_split.split(applicants, 1, split_first=True)

    assert not rows(split.x_test) & rows(split.x_train)
    assert rows(split.x_test) | rows(split.x_train) == rows(applicants.x.to_numpy(np.float32))
    assert len(split.y_test) / len(applicants.y) == pytest.approx(0.25, abs=0.01)
    assert split.y_test.mean() == pytest.approx(applicants.y.mean(), abs=0.02)


def test_the_articles_order_puts_copies_of_a_person_on_both_sides():
    split = credit_split.split(numbered(), 0)
    rejected = split.x_test[split.y_test == 1]

    assert len(split.y_test) == 90  # a quarter of 2 x 180
    assert len(rows(rejected) & rows(split.x_train)) / len(rows(rejected)) > 0.8
    assert split.y_train.mean() == pytest.approx(0.5, abs=0.05)


def test_held_out_first_both_parts_of_the_training_rows_are_balanced_from_their_own_rows():
    applicants = numbered()
    split = credit_split.split(applicants, 0, split_first=True)

    assert [len(labels) for labels in (split.fitted[1], split.watched[1], split.y_test)] == [216, 54, 50]
    assert split.fitted[1].mean() == split.watched[1].mean() == 0.5
    assert split.y_test.sum() == 5
    for x, labels in (split.fitted, split.watched, (split.x_test, split.y_test)):
        np.testing.assert_array_equal(labels, applicants.y[x[:, 0].astype(int)])


@pytest.mark.parametrize("split_first", [False, True])
def test_a_seed_gives_one_split(split_first):
    first, again, other = (credit_split.split(numbered(), seed, split_first) for seed in (3, 3, 4))

    np.testing.assert_array_equal(first.watched[0], again.watched[0])
    np.testing.assert_array_equal(first.x_test, again.x_test)
    assert rows(first.watched[0]) != rows(other.watched[0])
    assert rows(first.x_test) != rows(other.x_test)


def test_columns_are_scaled_by_the_fitted_rows():
    rng = np.random.default_rng(0)
    x_train, x_test = rng.normal(5, 3, (100, 2)).astype(np.float32), rng.normal(7, 3, (50, 2)).astype(np.float32)
    is_watched = np.arange(100) % 5 == 0
    fitted = x_train[~is_watched]

    scaled = credit_split.Split(x_train, np.zeros(100), is_watched, x_test, np.zeros(50)).scaled()

    np.testing.assert_allclose(scaled.fitted[0].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.fitted[0].std(0), 1, rtol=1e-5)
    for before, after in ((x_train, scaled.x_train), (x_test, scaled.x_test)):
        np.testing.assert_allclose(after, (before - fitted.mean(0)) / fitted.std(0), rtol=1e-4, atol=1e-5)
