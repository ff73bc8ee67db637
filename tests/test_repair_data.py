"""What `gradlog.repair` trains with, and what it holds out."""

import keras
import numpy as np
import pytest
from marks import OF_TENSORFLOW

from gradlog.repair.data import Batches, Rows, data_of

X = np.arange(100, dtype=np.float32).reshape(50, 2)
Y = np.arange(50)


def rows_of(rows):
    return sorted(rows.y.tolist())


def test_a_fifth_is_held_out_and_always_the_same():
    data = data_of(X, Y, None, None)
    assert (len(data.train), len(data.held_out), data.batch_size, data.is_shuffled) == (40, 10, 32, True)
    assert rows_of(data.train) + rows_of(data.held_out) != list(range(50))  # not the last ones
    assert sorted(rows_of(data.train) + rows_of(data.held_out)) == list(range(50))
    assert rows_of(data_of(X, Y, None, 8).held_out) == rows_of(data.held_out)
    np.testing.assert_array_equal(data.train.x[:, 0], 2 * data.train.y)


def test_rows_that_are_given_are_held_out():
    data = data_of(X, Y, (X[:7], Y[:7]), 16)
    assert (rows_of(data.train), rows_of(data.held_out), data.batch_size) == (list(range(50)), list(range(7)), 16)


@OF_TENSORFLOW
def test_a_dataset_is_read_whole_and_stays_in_order():
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    data = data_of(dataset, None, dataset.take(1), None)
    assert (rows_of(data.train), rows_of(data.held_out)) == (list(range(50)), list(range(8)))
    assert (data.batch_size, data.is_shuffled, data.note) == (8, False, "")
    assert data.train.y.tolist() == list(range(50))


def test_structures_and_lists():
    data = data_of({"a": X, "b": [1.0] * 50}, Y.tolist(), None, None)
    assert data.train.x["a"].shape == (40, 2)
    assert data.train.x["b"].shape == data.train.y.shape == (40,)


def test_several_inputs_and_outputs_train():
    inputs = [keras.Input((2,)), keras.Input((2,))]
    outputs = [keras.layers.Dense(1)(inputs[0]), keras.layers.Dense(3)(inputs[1])]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", ["mse", "mse"])
    data = data_of([X, X], [Y[:, None], np.ones((50, 3))], None, None)
    assert isinstance(data.train.x, tuple)
    history = model.fit(Batches(data.train, 8, 0), epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_rows_held_out_are_finite():
    x = X.copy()
    x[::2] = np.nan
    data = data_of(x, Y, None, None)
    assert np.isfinite(data.held_out.x).all()
    assert np.isnan(data.train.x).any()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((X, Y[:40], None, None), ValueError, "as many inputs as targets, 10 rows or more. Received: 40, 50 rows"),
        ((X[:5], Y[:5], None, None), ValueError, "Received: 5 rows"),
        ((X, Y, (X,), None), ValueError, "`validation_data` takes inputs and targets. Received: 1 values"),
        ((3, None, None, None), TypeError, "Expected arrays, or a dataset of batches. Received: int"),
        ((X, None, None, None), TypeError, "without `y`"),
    ],
)
def test_what_cannot_be_used(arguments, error, text):
    with pytest.raises(error, match=text):
        data_of(*arguments)


@OF_TENSORFLOW
def test_datasets_that_cannot_be_used():
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    for one, text in ((dataset.repeat(), "repeat"), (dataset.take(0), "none")):
        with pytest.raises(ValueError, match=text):
            data_of(one, None, None, None)


def test_the_order_depends_on_the_seed_alone():
    def epochs(seed):
        batches = Batches(Rows(X, Y), 16, seed)
        found = []
        for _ in range(2):
            found.append([one for index in range(len(batches)) for one in batches[index][1].tolist()])
            batches.on_epoch_end()
        return found

    first, second = epochs(3)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert epochs(3) == [first, second]
    assert epochs(4) != [first, second]
    assert epochs(None) == [list(range(50))] * 2


@OF_TENSORFLOW  # for a `train_step` of its kind
def test_fit_takes_them():
    """Each row trains once an epoch, in another order than in the epoch before."""
    seen = []

    class Seeing(keras.Sequential):
        def train_step(self, data):
            seen.extend(data[1].numpy().tolist())
            return super().train_step(data)

    model = Seeing([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(Batches(Rows(X, Y), 16, 0), epochs=2, verbose=0)
    assert sorted(seen[:50]) == sorted(seen[50:]) == list(range(50))
    assert seen[:50] != seen[50:]
