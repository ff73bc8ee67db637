"""On JAX, two processes train one model: gradlog logs it with `DataParallel`, and refuses weights that are divided."""

import re
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

if keras.backend.backend() != "jax":
    pytest.skip("Keras runs on another engine", allow_module_level=True)

SECONDS = 240  # that the two may take; where one of them ends early, the other waits for it
PROCESS = """
import functools, os, sys, warnings
import jax
from jaxlib import _jax
rank, port, log_dir = int(sys.argv[1]), *sys.argv[2:]
jax.config.update("jax_cpu_collectives_implementation", "gloo")
_jax.make_gloo_tcp_collectives = functools.partial(_jax.make_gloo_tcp_collectives, hostname="127.0.0.1")
address = f"127.0.0.1:{port}"
jax.distributed.initialize(address, num_processes=2, process_id=rank, coordinator_bind_address=address)
import keras, networks, numpy as np
import gradlog
assert (jax.process_count(), jax.device_count(), jax.local_device_count()) == (2, 2, 1)
x, y = networks.data(96)
class Steps(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("step", batch, flush=True)
def trained(x, y, batch_size, callbacks=()):
    keras.utils.set_random_seed(0)
    model = networks.dense_network()
    model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, callbacks=list(callbacks))
    return model
"""
DATA_PARALLEL = """
keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
own = np.arange(96).reshape(6, 2, 8)[:, rank].ravel()  # of each batch of 16 rows, a half
class FullDisk:
    def write(self, snapshot):
        if rank == 0 and snapshot.step == 2:
            raise OSError("no space left")
    def write_scalars(self, step, scalars): pass
    def write_text(self, step, tag, markdown): pass
    def close(self): pass
def logger_of(directory, **options):
    return gradlog.GradientLogger(f"{log_dir}/{directory}", every=2, activations=x[:16], **options)
full, logger = logger_of("full", writers=[FullDisk()]), logger_of("run")
for name, callbacks in {"plain": [], "logged": [logger], "full": [full]}.items():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = trained(x[own], y[own], 8, callbacks)
    said = [str(one.message) for one in said if "gradlog stopped" in str(one.message)]
    is_full = rank == 0 and name == "full"
    assert len(said) == is_full and all("OSError: no space left" in one for one in said), said
    assert [type(one.error) for one in callbacks] == [OSError if is_full else type(None)] * len(callbacks)
    state = [*model.variables, *model.optimizer.variables]
    np.savez(f"{log_dir}/{name}{rank}.npz", *[np.asarray(one.value) for one in state])
try:
    trained(x[own], y[own], 8, [logger_of("stop", on_finding="stop")])
except ValueError as error:
    print(os.getpid(), "refused:", error)
"""
MODEL_PARALLEL = """
mesh = keras.distribution.DeviceMesh((1, 2), ("batch", "model"), keras.distribution.list_devices())
layouts = keras.distribution.LayoutMap(mesh)
layouts["layer1/kernel"] = (None, "model")
divided = keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch", auto_shard_dataset=False)
keras.distribution.set_distribution(divided)
assert not networks.dense_network().get_layer("layer1").kernel.value.is_fully_addressable
trained(x, y, 16, [gradlog.GradientLogger(log_dir + "/run", every=2), Steps()])
"""


def in_two_processes(code, log_dir):
    """Runs code in two connected processes of JAX; returns exit code, output and errors of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    variables = environment(JAX_PLATFORMS="cpu")
    variables.pop("XLA_FLAGS", None)
    commands = [[sys.executable, "-c", PROCESS + code, str(rank), port, str(log_dir)] for rank in range(2)]
    how = {"env": variables, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **how) for command in commands]
    try:
        said = [process.communicate(timeout=SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *texts) for process, texts in zip(processes, said, strict=True)]


def test_a_data_parallel_training_is_logged_by_the_first_process_and_goes_on_if_that_fails(tmp_path):
    ids = []
    for code, printed, errors in in_two_processes(DATA_PARALLEL, tmp_path):
        assert code == 0, errors[-3000:]
        said = re.search(r'(\d+) refused: on_finding="stop" cannot stop a training of several processes', printed)
        ids.append(said[1])

    states = [np.load(tmp_path / f"{name}{rank}.npz") for name in ("plain", "logged", "full") for rank in range(2)]
    for name in states[0].files:
        for state in states[1:]:
            np.testing.assert_array_equal(state[name], states[0][name])
    assert not (tmp_path / "stop").exists()
    for log_dir in (tmp_path / "run", tmp_path / "full"):
        (path,) = log_dir.rglob("*tfevents*")
        assert path.name.split(".")[-3] == ids[0]  # the process that wrote it
    assert gradlog.read(tmp_path / "full").steps.tolist() == [0, 2]  # the file comes ahead of the writer that fails
    logged = gradlog.read(tmp_path / "run")
    assert logged.steps.tolist() == [0, 2, 4]
    assert logged.run.batch_size == 16

    x, y = networks.data(96)
    model = networks.dense_network()
    hidden = np.tanh(x[:16].astype(np.float64) @ model.weights[0].numpy() + model.weights[1].numpy())
    for row, gradient in enumerate(autograd.gradients(model, model.loss, x[:16], y[:16])):
        for name, value in reference.statistics(gradient).items():
            found = logged.statistics[0, row, logged.columns.index(name)]
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-7)
        histogram = logged.histograms[f"gradient/{logged.variables[row]}"].values[0]
        assert histogram[:, 2].sum() == gradient.size
    saturated = logged.scalars["activation_saturated/layer1"].values[0]
    np.testing.assert_allclose(saturated, np.mean(np.abs(hidden) > 0.97), rtol=1e-6)
    alone = gradlog.GradientLogger(tmp_path / "alone", every=2)
    model.fit(x, y, batch_size=16, shuffle=False, verbose=0, callbacks=[alone])
    alone = gradlog.read(tmp_path / "alone")
    np.testing.assert_allclose(logged.statistics, alone.statistics, rtol=1e-5, atol=1e-7)
    for tag in ("train/loss", "train/accuracy", "gradient_norm/global"):
        np.testing.assert_allclose(logged.scalars[tag].values, alone.scalars[tag].values, rtol=1e-5)


def test_weights_divided_among_processes_are_refused_before_the_first_step(tmp_path):
    for code, printed, errors in in_two_processes(MODEL_PARALLEL, tmp_path):
        (said,) = [line for line in errors.splitlines() if "ArgumentError: " in line]
        assert "gradlog cannot log a model whose weights are divided among several processes. Expected one" in said
        assert "Received: 2 processes, <ModelParallel" in said
        assert code == 1
        assert "step" not in printed
    assert list(tmp_path.iterdir()) == []
