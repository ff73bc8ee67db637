"""Several replicas: what is written is the reduced gradient, that of one process on the same global batch.

TensorFlow takes seconds to start, so one process trains on the two replicas whatever is to be trained there.
"""

import json
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import activations_case as of_activations
import numpy as np
import pytest

import gradlog

TRAINING = """
import json, os, sys
kind, log_dir = sys.argv[1:3]
import tensorflow as tf
if kind == "mirrored":
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
else:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
import keras
import numpy as np
import gradlog

rng = np.random.default_rng(0)
x, y = rng.normal(size=(64, 6)).astype(np.float32), rng.normal(size=(64, 2)).astype(np.float32)
dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
options = tf.data.Options()
options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA


def train(strategy, callbacks):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(5, "tanh", name="layer1"), keras.layers.Dense(2, name="layer2")]
        model = keras.Sequential([keras.Input((6,)), *layers])
        model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    if kind == "workers":  # as the README says it
        with strategy.scope():
            model._symbolic_build(data_batch=(tf.constant(x[:8]), tf.constant(y[:8])))
        model._maybe_symbolic_build = lambda **arguments: None
        train_step = model.train_step
        model.train_step = lambda batch: {name: tf.expand_dims(value, 0) for name, value in train_step(batch).items()}
    model.fit(dataset.with_options(options), epochs=2, verbose=0, callbacks=callbacks)
    return [v.numpy().tolist() for v in model.trainable_variables]


plain = train(strategy, [])
logged = train(strategy, [gradlog.GradientLogger(log_dir, every=3)])
if kind == "workers":
    class FullDisk:
        def write(self, snapshot):
            if strategy.cluster_resolver.task_id == 0 and snapshot.step == 3:
                raise OSError("no space left")

        def write_scalars(self, step, scalars):
            pass

        def write_text(self, step, tag, markdown):
            pass

        def close(self):
            pass

    logger = gradlog.GradientLogger(log_dir + "_full", every=3, writers=[FullDisk()])
    assert train(strategy, [logger]) == plain
    assert type(logger.error) is (OSError if strategy.cluster_resolver.task_id == 0 else type(None)), logger.error
    try:
        train(strategy, [gradlog.GradientLogger(log_dir, on_finding="stop")])
        raise AssertionError("not refused")
    except ValueError as error:
        assert 'on_finding="stop" cannot stop a training of several processes' in str(error), error
if kind == "mirrored":
    train(tf.distribute.get_strategy(), [gradlog.GradientLogger(sys.argv[3], every=3)])

    import pickle
    sys.path.insert(0, sys.argv[5])
    import activations_case
    with strategy.scope():
        model = activations_case.network(is_new=True)
    weights = activations_case.KeepWeights()
    logger = gradlog.GradientLogger(sys.argv[4], every=3, activations=activations_case.X)
    activations_case.train("graph", model, [logger, weights])
    assert logger.error is None, logger.error
    with open(os.path.join(sys.argv[4], "weights"), "wb") as file:
        pickle.dump(weights.by_step, file)
print("weights", json.dumps([plain, logged]))
"""


def train(kind, *log_dirs, environment=None):
    """Starts a process that trains plain and logged.

    Where `kind` is mirrored, it trains logged on one device as well, and on the replicas with activations.
    """
    return subprocess.Popen(
        [sys.executable, "-c", TRAINING, kind, *map(str, log_dirs)],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def weights_of(process):
    """Returns the weights of the plain training and of the logged one."""
    out, error = process.communicate(timeout=240)
    assert process.returncode == 0, error[-3000:]
    line = next(line for line in out.splitlines() if line.startswith("weights "))
    return [[np.array(values) for values in each] for each in json.loads(line.removeprefix("weights "))]


def check_equal(log_dir, expected_dir):
    actual, expected = gradlog.read(log_dir), gradlog.read(expected_dir)
    assert actual.steps.tolist() == expected.steps.tolist() == [0, 3, 6]
    assert actual.variables == expected.variables
    np.testing.assert_allclose(actual.statistics, expected.statistics, rtol=2e-5, atol=1e-7)
    for tag in ("train/loss", "train/mae", "gradient_norm/global"):
        np.testing.assert_allclose(actual.scalars[tag].values, expected.scalars[tag].values, rtol=2e-5)
    for tag, series in expected.histograms.items():
        for one, other in zip(series.values, actual.histograms[tag].values, strict=True):
            assert one[:, 2].sum() == other[:, 2].sum()


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    """The logs of two replicas, of one device, and of activations, and the weights without and with a logger."""
    log_dirs = [tmp_path_factory.mktemp(name) for name in ("mirrored", "one", "activations")]
    return *log_dirs, weights_of(train("mirrored", *log_dirs, Path(__file__).parent))


def test_two_replicas_log_the_reduced_gradient_and_train_as_without(mirrored):
    log_dir, expected_dir, _, (plain, logged) = mirrored

    for one, other in zip(logged, plain, strict=True):
        np.testing.assert_array_equal(one, other)
    check_equal(log_dir, expected_dir)


def test_two_replicas_log_the_activations_of_a_forward_pass(mirrored):
    log_dir = mirrored[2]

    of_activations.check_activations(gradlog.read(log_dir), pickle.loads((log_dir / "weights").read_bytes()))


def free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def train_two_workers(log_dirs):
    """Trains in two processes on 127.0.0.1; returns the weights that each ends with, without and with a logger."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = []
    for index, log_dir in enumerate(log_dirs):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        processes.append(train("workers", log_dir, environment={"TF_CONFIG": json.dumps(config)}))
    try:
        return [weights_of(process) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_two_workers_log_the_reduced_gradient_and_only_the_first_writes_and_may_fail(tmp_path, mirrored):
    (plain, first), (_, second) = train_two_workers([tmp_path / "0", tmp_path / "1"])

    for one, other, without in zip(first, second, plain, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, without)
    check_equal(tmp_path / "0", mirrored[1])
    assert not (tmp_path / "1").exists()
    assert gradlog.read(tmp_path / "0_full").steps.tolist() == [0, 3]  # the file comes ahead of the writer that fails
