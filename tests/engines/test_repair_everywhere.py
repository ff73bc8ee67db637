"""`gradlog.repair` on every engine: the same finding, the same change, and a proof."""

import random

import keras
import networks
import numpy as np
import pytest

import gradlog

pytestmark = pytest.mark.engines  # on TensorFlow, `tests/test_repair.py` asks for more


def barely_moving():
    """Returns a model whose steps are too small to learn, rows, and whether the sum of two columns is positive."""
    x, _ = networks.data(240)
    keras.utils.set_random_seed(1)  # with other initial weights, another learning rate may be the best
    layers = [keras.layers.Dense(16, "relu", name="hidden"), keras.layers.Dense(2, name="end")]
    model = keras.Sequential([keras.Input(x.shape[1:]), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-7), loss, metrics=["accuracy"])
    return model, x, (x[:, 0] + x[:, 1] > 0).astype(np.int64)


def test_a_training_is_repaired(tmp_path):
    model, x, y = barely_moving()
    weights, state = [one.copy() for one in model.get_weights()], random.getstate()

    found = gradlog.repair(model, x, y, epochs=20, batch_size=8, trainings=6, seeds=2, log_dir=tmp_path, verbose=0)

    assert found.verdict == "repaired"
    assert [one.name for one in found.changes] == ["learning rate"]
    assert found.changes[0].rate in (0.001, 0.003)
    assert "GL515" in [one.code for one in found.findings]
    assert max(found.proof.before) < 0.7 < 0.8 < min(found.proof.after)
    assert random.getstate() == state
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert sorted(gradlog.read(tmp_path))[:2] == ["00_original", "00_original/2"]
    found.model.fit(x, y, epochs=20, batch_size=8, verbose=0)
    assert found.model.evaluate(x, y, verbose=0, return_dict=True)["accuracy"] > 0.85


def test_what_is_right_by_chance_does_not_hide_that_nothing_moves():
    model, x, y = barely_moving()
    hidden, _, end, _ = model.get_weights()
    hidden[:, :2], end[:] = 0, 0
    # Mostly right: which side of 0 the first column is on.
    hidden[:2, :2], end[:2] = [[1, -1], [0.2, -0.2]], [[-1, 1], [1, -1]]
    model.set_weights([hidden, np.zeros(16), end, np.zeros(2)])

    found = gradlog.repair(model, x, y, epochs=20, batch_size=8, trainings=6, seeds=2, verbose=0)

    assert found.verdict == "repaired"
    assert [one.name for one in found.changes] == ["learning rate"]
    assert 0.75 < min(found.proof.before) <= max(found.proof.before) < 0.9 < min(found.proof.after)
