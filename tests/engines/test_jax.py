"""What is JAX's alone: steps that are functions of their state, several devices in one process, and what is refused."""

import subprocess
import sys

import autograd
import keras
import networks
import numpy as np
import pytest
import reference
from processes import environment

import gradlog

if keras.backend.backend() != "jax":
    pytest.skip("Keras runs on another engine", allow_module_level=True)

import jax

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Stateless(keras.Model):
    """A custom `train_step`, as in Keras' guide to JAX."""

    def __init__(self, is_hidden=False):
        super().__init__()
        self.hidden, self.head = keras.layers.Dense(8, "relu", name="hidden"), keras.layers.Dense(3, name="head")
        self.is_hidden = is_hidden

    def call(self, x, training=False):
        return self.head(self.hidden(x))

    def loss_and_updates(self, trainable_variables, non_trainable_variables, x, y):
        predictions, others = self.stateless_call(trainable_variables, non_trainable_variables, x, training=True)
        return LOSS(y, predictions), (predictions, others)

    def train_step(self, state, data):
        trainable, others, of_optimizer, of_metrics = state
        x, y = data[:2]
        gradient_of = jax.value_and_grad(self.loss_and_updates, has_aux=True)
        (loss, (_, others)), gradients = gradient_of(trainable, others, x, y)
        apply = jax.jit(self.optimizer.stateless_apply) if self.is_hidden else self.optimizer.stateless_apply
        trainable, of_optimizer = apply(of_optimizer, gradients, trainable)
        return {"loss": loss}, (trainable, others, of_optimizer, of_metrics)


def trained(callbacks, is_hidden=False):
    keras.utils.set_random_seed(2)
    model = Stateless(is_hidden)
    model.compile("adam", LOSS)
    x, y = networks.data(60)
    model.fit(x, y, batch_size=10, shuffle=False, verbose=0, callbacks=callbacks)
    return model


def assert_same(model, plain):
    for one, other in zip(model.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_a_custom_step(tmp_path):
    logger = gradlog.GradientLogger(tmp_path, every=2)
    model, plain = trained([logger]), trained([])

    assert logger.error is None
    assert_same(model, plain)
    logged = gradlog.read(tmp_path)
    assert logged.steps.tolist() == [0, 2, 4]
    assert [name.partition("/")[0] for name in logged.variables] == ["hidden", "hidden", "head", "head"]
    x, y = networks.data(10)
    keras.utils.set_random_seed(2)
    np.testing.assert_allclose(logged.scalars["train/loss"].values[0], LOSS(y, Stateless()(x)), rtol=1e-6)
    assert (logged.statistic("gradient_norm") > 0).all()


def test_a_step_that_hides_its_update_is_trained_and_said(tmp_path):
    logger = gradlog.GradientLogger(tmp_path, every=2)
    with pytest.warns(UserWarning, match=r"gradlog stopped logging.*training continues.*`jax\.jit`"):
        model = trained([logger], is_hidden=True)

    assert_same(model, trained([], is_hidden=True))
    assert isinstance(logger.error, RuntimeError)


def test_a_custom_loop_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"`attach` cannot log a custom training loop on JAX.*Train with `fit`"):
        gradlog.GradientLogger(tmp_path).attach(model, keras.optimizers.SGD())
    with pytest.raises(RuntimeError, match=r"On JAX, train with `model\.fit`"):
        gradlog.train(model, None, steps=3)
    assert list(tmp_path.iterdir()) == []


NNX = """
import sys
import keras, networks
import gradlog
assert keras.config.is_nnx_enabled()
model = networks.dense_network()
print("A model is built.")
model.fit(*networks.data(), verbose=0, callbacks=[gradlog.GradientLogger(sys.argv[1])])
print("It was trained.")
"""


def test_the_nnx_mode_is_refused(tmp_path):
    pytest.importorskip("flax", reason="Keras' NNX mode needs `pip install flax`")
    command = [sys.executable, "-c", NNX, str(tmp_path / "run")]
    ended = subprocess.run(command, env=environment(KERAS_NNX_ENABLED="1"), capture_output=True, text=True)

    said = ended.stderr.splitlines()[-1]
    assert said.startswith("RuntimeError: gradlog does not support Keras' NNX mode. Unset the environment variable")
    assert (ended.returncode, ended.stdout) == (1, "A model is built.\n")
    assert list(tmp_path.iterdir()) == []


DEVICES = """
import sys
import keras, jax, numpy as np, networks, gradlog
log_dir = sys.argv[1]
assert len(jax.devices()) == 8
def trained(is_parallel, callbacks=()):
    keras.distribution.set_distribution(keras.distribution.DataParallel() if is_parallel else None)
    keras.utils.set_random_seed(0)
    model = networks.dense_network()
    x, y = networks.data(96)
    model.fit(x, y, batch_size=16, shuffle=False, verbose=0, callbacks=list(callbacks))
    return [one.numpy() for one in model.weights]
logger = gradlog.GradientLogger(log_dir + "/eight", every=2, activations=networks.data(16)[0])
with_logger, plain = trained(True, [logger]), trained(True)
assert logger.error is None, repr(logger.error)
for one, other in zip(with_logger, plain): np.testing.assert_array_equal(one, other)
trained(False, [gradlog.GradientLogger(log_dir + "/one", every=2, activations=networks.data(16)[0])])
"""


def test_eight_devices_in_one_process(tmp_path):
    eight = environment(XLA_FLAGS="--xla_force_host_platform_device_count=8")
    subprocess.run([sys.executable, "-c", DEVICES, str(tmp_path)], env=eight, check=True)

    eight, one = gradlog.read(tmp_path / "eight"), gradlog.read(tmp_path / "one")
    assert eight.steps.tolist() == one.steps.tolist() == [0, 2, 4]
    np.testing.assert_allclose(eight.statistics, one.statistics, rtol=1e-5, atol=1e-7)
    for tag in ("activation_saturated/layer1", "gradient_norm/global"):
        np.testing.assert_allclose(eight.scalars[tag].values, one.scalars[tag].values, rtol=1e-5)
    for tag, rows in one.histograms.items():  # an element on an edge may lie in the next bucket
        for mine, other in zip(eight.histograms[tag].values, rows.values, strict=True):
            assert mine[:, 2].sum() == other[:, 2].sum()
            assert len(mine) == pytest.approx(len(other), abs=1)
    x, y = networks.data(16)
    keras.utils.set_random_seed(0)
    for row, gradient in enumerate(autograd.gradients(networks.dense_network(), LOSS, x, y)):
        for name, value in reference.statistics(gradient).items():
            np.testing.assert_allclose(eight.statistics[0, row, eight.columns.index(name)], value, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(eight.scalars["train/loss"].values, one.scalars["train/loss"].values, rtol=1e-5)
