"""An embedding's gradient gives the dense tensor's numbers; on TensorFlow it is reduced as the rows it consists of."""

import autograd
import keras
import numpy as np
import pytest
import reference
from marks import OF_TENSORFLOW

import gradlog

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
        pytest.param({"jit_compile": True}, 4, marks=OF_TENSORFLOW),  # JAX always compiles
        ({"run_eagerly": True}, 4),
        ({"run_eagerly": True}, NUM_WORDS),
    ],
)
def test_numbers_equal_those_of_the_dense_gradient(tmp_path, arguments, num_words):
    """Words come several times in a batch; with four of them there are more touched rows than words."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, num_words, (16, 6)), rng.normal(size=(16, 2)).astype(np.float32)
    model = network(**arguments)
    expected = autograd.gradients(
        model, lambda y, predictions: keras.ops.mean(keras.ops.square(keras.ops.subtract(predictions, y))), x, y
    )[0]

    model.fit(x, y, batch_size=16, verbose=0, callbacks=[gradlog.GradientLogger(tmp_path)])

    history = gradlog.read(tmp_path)
    for name, value in reference.statistics(expected).items():
        actual = history.statistic(name, "words/embeddings")[0]
        assert actual == pytest.approx(value, rel=1e-5, abs=1e-9), name
    rows = history.histograms["gradient/words/embeddings"].values[0]
    assert rows[:, 2].sum() == NUM_WORDS * 4
    zero = rows[(rows[:, 0] < 0) & (rows[:, 1] > 0)]
    assert zero[:, 2].sum() == (expected == 0).sum() == (NUM_WORDS - len(np.unique(x))) * 4


@OF_TENSORFLOW
def test_it_is_not_made_dense():
    """Of a gradient of a million rows, three are touched: what is reduced has three rows."""
    import tensorflow as tf

    from gradlog.backends.tensorflow.embeddings import touched_rows

    slices = tf.IndexedSlices(tf.ones([3, 2]), tf.constant([7, 9, 7]), tf.constant([1_000_000, 2]))

    assert touched_rows(slices).numpy().tolist() == [[2, 2], [1, 1], [0, 0]]
