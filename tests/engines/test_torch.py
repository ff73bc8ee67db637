"""What is PyTorch's alone: a custom loop, several optimizers, two processes, and a compiled step."""

import socket
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
from gradlog.backends.engine import engine
from gradlog.stats import buckets

if keras.backend.backend() != "torch":
    pytest.skip("Keras runs on another engine", allow_module_level=True)

import torch

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
NUM_STEPS, BATCH = 7, 10


def network():
    keras.utils.set_random_seed(2)
    sizes = [keras.layers.Dense(8, "tanh", name="body"), keras.layers.Dense(3, name="head")]
    return keras.Sequential([keras.Input((networks.NUM_FEATURES,)), *sizes])


def loop(model, optimizer):
    """A custom loop, as Keras' guide to PyTorch writes it; yields gradients, and weights before and after."""
    x, y = networks.data(NUM_STEPS * BATCH)
    for start in range(0, len(x), BATCH):
        model.zero_grad()
        LOSS(y[start : start + BATCH], model(x[start : start + BATCH], training=True)).backward()
        variables = model.trainable_variables
        found = [one.value.grad.cpu().numpy().copy() for one in variables]
        before = [one.numpy().copy() for one in variables]
        with torch.no_grad():
            optimizer.apply([one.value.grad for one in variables], variables)
        yield found, before, [one.numpy().copy() for one in variables]


def test_a_custom_loop_is_logged_with_attach(tmp_path):
    model, optimizer = network(), keras.optimizers.Adam(0.01, gradient_accumulation_steps=None)
    attributes = set(vars(optimizer))
    with gradlog.GradientLogger(tmp_path, every=2).attach(model, optimizer):
        steps = list(loop(model, optimizer))

    plain = network()
    list(loop(plain, keras.optimizers.Adam(0.01)))
    for one, other in zip(model.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert not {"apply", "_clip_gradients", "scale_loss"} & (set(vars(optimizer)) - attributes)
    logged = gradlog.read(tmp_path)
    assert logged.steps.tolist() == [0, 2, 4, 6]
    for index, step in enumerate(logged.steps):
        found, before, after = steps[step]
        for row in range(len(logged.variables)):
            expected = reference.statistics(found[row]) | reference.weight_statistics(before[row], after[row])
            for name, value in expected.items():
                number = logged.statistics[index, row, logged.columns.index(name)]
                np.testing.assert_allclose(number, value, rtol=1e-5, atol=1e-7)


def test_what_pytorch_says_of_keras_is_no_finding():
    """Each time, and not once a process: a metric's use of `Tensor.T` is deprecated."""
    model = network()
    model.compile("sgd", LOSS, metrics=["accuracy"])
    torch.set_warn_always(True)
    try:
        assert [one.code for one in gradlog.check(model, *networks.data(64)) if one.code == "GL516"] == []
    finally:
        torch.set_warn_always(False)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("number", [0, 1, 3])
def test_histograms_of_numbers_that_lie_anyhow(number, dtype):
    """The gradient of a sum is one number in memory, whatever its shape."""
    weights = torch.zeros(number, dtype=dtype, requires_grad=True)
    (expanded,) = torch.autograd.grad((2 * weights.double()).sum(), weights)
    both = [expanded, torch.full((), 2, dtype=dtype).expand(number), torch.full((number, 2), 2, dtype=dtype)[:, 0]]
    for counts in engine().histograms(both):
        assert buckets.rows(counts.numpy()).tolist() == ([[2.0, 2.5, number]] if number else [])


class TwoOptimizers(keras.Model):
    """Its head and its body have an optimizer each; the head's moves twice a step."""

    def __init__(self):
        super().__init__()
        self.body, self.head = keras.layers.Dense(8, "tanh", name="body"), keras.layers.Dense(3, name="head")
        self.of_head = keras.optimizers.SGD(0.1)

    def call(self, x):
        return self.head(self.body(x))

    def train_step(self, data):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        for layer, optimizer in ((self.head, self.of_head), (self.body, self.optimizer), (self.head, self.of_head)):
            self.zero_grad()
            loss = LOSS(y, self(x))
            loss.backward()
            with torch.no_grad():
                optimizer.apply([one.value.grad for one in layer.trainable_variables], layer.trainable_variables)
        return {"loss": loss}


def two_optimizers(callbacks):
    keras.utils.set_random_seed(2)
    model = TwoOptimizers()
    model.build((None, networks.NUM_FEATURES))
    model.compile(keras.optimizers.SGD(0.2), LOSS)
    x, y = networks.data(60)
    model.fit(x, y, batch_size=10, shuffle=False, verbose=0, callbacks=callbacks)
    return model


def test_several_optimizers(tmp_path):
    logger = gradlog.GradientLogger(tmp_path, every=2)
    model, plain = two_optimizers([logger]), two_optimizers([])

    assert logger.error is None
    for one, other in zip(model.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    logged = gradlog.read(tmp_path)
    assert logged.steps.tolist() == [0, 2, 4]
    assert [name.partition("/")[0] for name in logged.variables] == ["body", "body", "head", "head"]
    assert (logged.statistic("gradient_norm") > 0).all()


def test_there_is_no_compiled_loop():
    with pytest.raises(RuntimeError, match=r"On PyTorch, train with `model\.fit`"):
        gradlog.train(network(), None, steps=3)


def test_logged_steps_of_a_compiled_model_are_not_compiled_and_it_is_said(tmp_path, monkeypatch):
    """To compile takes a C++ compiler, which is not everywhere; so the step that would be compiled runs as it is."""
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function: compiled.append(function) or function)
    model = network()
    model.compile("sgd", LOSS, jit_compile=True)
    with pytest.warns(UserWarning, match=r"without `torch\.compile`"):
        model.fit(*networks.data(40), batch_size=10, verbose=0, callbacks=[gradlog.GradientLogger(tmp_path, every=2)])

    assert len(compiled) == 1
    assert model.jit_compile
    assert gradlog.read(tmp_path).steps.tolist() == [0, 2]


PROCESS = """
import contextlib, os, sys
import keras, networks, numpy as np, torch
import gradlog
rank, log_dir, is_logged = int(os.environ["RANK"]), sys.argv[1], sys.argv[2] == "logged"
torch.distributed.init_process_group("gloo")
keras.utils.set_random_seed(0)
layers = [keras.layers.Dense(8, "tanh", name="body"), keras.layers.Dense(3, name="head")]
model = keras.Sequential([keras.Input((networks.NUM_FEATURES,)), *layers])
optimizer = keras.optimizers.SGD(0.1)
loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
parallel = torch.nn.parallel.DistributedDataParallel(model)
x, y = networks.data(96)
with gradlog.GradientLogger(log_dir, every=2).attach(model, optimizer) if is_logged else contextlib.nullcontext():
    for start in range(0, 96, 16):
        rows = slice(start + 8 * rank, start + 8 * rank + 8)
        model.zero_grad()
        loss_of(y[rows], parallel(torch.tensor(x[rows]))).backward()
        with torch.no_grad():
            optimizer.apply([one.value.grad for one in model.trainable_variables], model.trainable_variables)
np.savez(f"{log_dir}/{sys.argv[2]}{rank}.npz", *[one.numpy() for one in model.weights])
torch.distributed.destroy_process_group()
"""


def test_two_processes(tmp_path):
    """`DistributedDataParallel` has averaged the gradients; the first process writes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = environment(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE="2")
    for kind in ("logged", "plain"):
        arguments = [sys.executable, "-c", PROCESS, str(tmp_path / "run"), kind]
        processes = [subprocess.Popen(arguments, env=variables | {"RANK": str(rank)}) for rank in range(2)]
        assert [process.wait(timeout=300) for process in processes] == [0, 0]

    ends = [np.load(tmp_path / "run" / f"{kind}{rank}.npz") for kind in ("plain", "logged") for rank in range(2)]
    for name in ends[0].files:
        for end in ends[1:]:
            np.testing.assert_array_equal(end[name], ends[0][name])
    assert len(list((tmp_path / "run").glob("*.gradlog"))) == 1
    logged = gradlog.read(tmp_path / "run")
    assert logged.steps.tolist() == [0, 2, 4]
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(8, "tanh", name="body"), keras.layers.Dense(3, name="head")]
    model = keras.Sequential([keras.Input((networks.NUM_FEATURES,)), *layers])
    x, y = networks.data(96)
    for row, gradient in enumerate(autograd.gradients(model, LOSS, x[:16], y[:16])):
        for name, value in reference.statistics(gradient).items():
            found = logged.statistics[0, row, logged.columns.index(name)]
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-7)
    model.compile(keras.optimizers.SGD(0.1), LOSS)
    logger = gradlog.GradientLogger(tmp_path / "one", every=2)
    model.fit(x, y, batch_size=16, shuffle=False, verbose=0, callbacks=[logger])
    one = gradlog.read(tmp_path / "one")
    for name in ("gradient_mean_abs", "gradient_norm", "weight_norm", "update_ratio"):
        np.testing.assert_allclose(logged.statistic(name), one.statistic(name), rtol=1e-5, atol=1e-7)
