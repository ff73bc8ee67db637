"""`gradlog.repair` on every engine: the same finding, the same change, and a proof."""

import random

import keras
import networks
import numpy as np
import pytest

import gradlog

pytestmark = pytest.mark.engines  # on TensorFlow, `tests/test_repair.py` asks for more


def test_a_training_is_repaired(tmp_path):
    x, _ = networks.data(240)
    y = (x[:, 0] + x[:, 1] > 0).astype(np.int64)
    keras.utils.set_random_seed(1)  # with other initial weights, another learning rate may be the best
    layers = [keras.layers.Dense(16, "relu", name="hidden"), keras.layers.Dense(2, name="end")]
    model = keras.Sequential([keras.Input(x.shape[1:]), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-7), loss, metrics=["accuracy"])
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
