"""An embedding's gradient is reduced as the rows that it consists of, and gives the dense tensor's numbers."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf

import gradlog
from gradlog.backends.tensorflow.embeddings import touched_rows

pytestmark = pytest.mark.usefixtures("without_graph_optimizer")

NUM_WORDS = 50


def network(**arguments):
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Embedding(NUM_WORDS, 4, name="words"), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((6,)), *layers, keras.layers.Dense(2, name="dense")])
    model.compile(keras.optimizers.SGD(0.5), "mse", **arguments)
    return model


@pytest.mark.parametrize(
    ("arguments", "num_words"),
    [
        ({}, 4),
        ({}, NUM_WORDS),
        ({"jit_compile": True}, 4),
        ({"run_eagerly": True}, 4),
        ({"run_eagerly": True}, NUM_WORDS),
    ],
)
def test_numbers_equal_those_of_the_dense_gradient(tmp_path, arguments, num_words):
    """Words come several times in a batch; with four of them there are more touched rows than words."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, num_words, (16, 6)), rng.normal(size=(16, 2)).astype(np.float32)
    model = network(**arguments)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(x) - y))
    expected = tf.convert_to_tensor(tape.gradient(loss, model.trainable_variables[0])).numpy()

    model.fit(x, y, batch_size=16, verbose=0, callbacks=[gradlog.GradientLogger(tmp_path)])

    history = gradlog.read(tmp_path)
    for name, value in reference.statistics(expected).items():
        actual = history.statistic(name, "words/embeddings")[0]
        assert actual == pytest.approx(value, rel=1e-5, abs=1e-9), name
    rows = history.histograms["gradient/words/embeddings"].values[0]
    assert rows[:, 2].sum() == NUM_WORDS * 4
    zero = rows[(rows[:, 0] < 0) & (rows[:, 1] > 0)]
    assert zero[:, 2].sum() == (expected == 0).sum() == (NUM_WORDS - len(np.unique(x))) * 4


def test_it_is_not_made_dense():
    """Of a gradient of a million rows, three are touched: what is reduced has three rows."""
    slices = tf.IndexedSlices(tf.ones([3, 2]), tf.constant([7, 9, 7]), tf.constant([1_000_000, 2]))

    assert touched_rows(slices).numpy().tolist() == [[2, 2], [1, 1], [0, 0]]
