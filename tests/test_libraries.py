"""Libraries that train Keras models of their own: a logger among their callbacks logs, and changes nothing.

Run with `pytest -m libraries` where they are installed: `pip install bayesflow keras-tuner scikeras wandb mlflow`.
"""

import os
import re
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import networks
import numpy as np
import pytest

import gradlog

pytestmark = pytest.mark.libraries


def library(name, distribution):
    """Returns a library, or skips the test."""
    return pytest.importorskip(name, reason=f"needs `pip install {distribution}`", exc_type=ImportError)


def check_equal(weights, others):
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(one, other)


def runs_below(log_dir):
    """The directories that hold event files of a logger."""
    return sorted({path.parent for path in log_dir.rglob("*.gradlog")})


def simulated(number=64):
    """Two parameters [number, 2], and observations [number, 3] that depend on them."""
    rng = np.random.default_rng(0)
    parameters = rng.normal(size=(number, 2)).astype(np.float32)
    return {"theta": parameters, "x": np.float32(parameters @ rng.normal(size=(2, 3)) + rng.normal(size=(number, 3)))}


def bayesflow_weights(bayesflow, callbacks):
    keras.utils.set_random_seed(0)
    network = bayesflow.networks.CouplingFlow(depth=2, subnet_kwargs={"widths": (8,)})
    workflow = bayesflow.BasicWorkflow(
        inference_network=network, inference_variables=["theta"], inference_conditions=["x"]
    )
    workflow.fit_offline(simulated(), epochs=2, batch_size=16, verbose=0, callbacks=callbacks)
    return workflow.approximator.get_weights()


@pytest.mark.filterwarnings("ignore")
def test_bayesflow(tmp_path):
    bayesflow = library("bayesflow", "bayesflow")
    logger = gradlog.GradientLogger(tmp_path / "run", every=2)

    observed = bayesflow_weights(bayesflow, [logger])

    assert logger.error is None
    logged = gradlog.read(tmp_path / "run")
    assert logged.steps.tolist() == [0, 2, 4, 6]
    assert len(logged.variables) > 4
    assert logged.scalars["train/loss"].steps.tolist() == [0, 2, 4, 6]
    norms = logged.scalars["gradient_norm/global"].values
    assert np.isfinite(norms).all()
    assert (norms > 0).all()
    check_equal(bayesflow_weights(bayesflow, []), observed)


def searched(keras_tuner, directory, callbacks):
    """Returns the weights that two trials of a search end with, trial by trial."""
    weights = []

    class Keep(keras.callbacks.Callback):
        def __deepcopy__(self, memo):
            return Keep()

        def on_train_end(self, logs=None):
            weights.append(self.model.get_weights())

    def build(parameters):
        activation = parameters.Choice("activation", ["tanh", "relu"])
        return networks.dense_network(activation=activation)

    tuner = keras_tuner.RandomSearch(
        build, "val_accuracy", max_trials=2, seed=0, directory=directory, project_name="search"
    )
    arguments = {"epochs": 2, "batch_size": 16, "shuffle": False, "verbose": 0}
    tuner.search(*networks.data(), **arguments, validation_data=networks.data(), callbacks=[*callbacks, Keep()])
    return weights


def test_keras_tuner(tmp_path):
    keras_tuner = library("keras_tuner", "keras-tuner")
    log_dir = tmp_path / "logs" / "run"
    searched(keras_tuner, tmp_path / "first", [])  # the first search of a process has other weights than the next
    plain = searched(keras_tuner, tmp_path / "plain", [])

    with pytest.warns(UserWarning, match="holds an earlier run") as caught:
        observed = searched(keras_tuner, tmp_path / "observed", [gradlog.GradientLogger(log_dir, every=2)])

    said = [str(warning.message) for warning in caught if "earlier run" in str(warning.message)]
    assert len(said) == 1
    assert runs_below(log_dir) == [log_dir, log_dir / "2"]
    assert str(log_dir / "2") in said[0]
    for run in runs_below(log_dir):
        logged = gradlog.read(run)
        assert logged.steps.tolist() == [0, 2, 4, 6, 8, 10]
        assert len(list(run.glob("*.gradlog"))) == 1
    assert len(plain) == len(observed) == 2
    for one, other in zip(plain, observed, strict=True):
        check_equal(one, other)


def classifier_weights(wrappers, callbacks):
    def build():
        return networks.dense_network()

    x, y = networks.data()
    arguments = {"epochs": 2, "batch_size": 16, "shuffle": False, "verbose": 0}
    classifier = wrappers.KerasClassifier(model=build, callbacks=callbacks, random_state=0, **arguments)
    return classifier.fit(x, y).model_.get_weights()


def test_scikeras(tmp_path):
    wrappers = library("scikeras.wrappers", "scikeras")
    logger = gradlog.GradientLogger(tmp_path / "run", every=2)

    observed = classifier_weights(wrappers, [logger])

    assert gradlog.read(tmp_path / "run").steps.tolist() == [0, 2, 4, 6, 8, 10]
    check_equal(classifier_weights(wrappers, None), observed)


def test_trackers_take_the_numbers(tmp_path, monkeypatch):
    """What the documentation says of Weights & Biases and of MLflow."""
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    page = (Path(__file__).parents[1] / "docs" / "guides" / "beside.md").read_text()
    namespace = {}
    for _, code in re.findall(r"^```(\w*)\n(.*?)^```$", page, re.S | re.M):
        exec(compile(code, "beside.md", "exec"), namespace)

    numbers = namespace["numbers"]
    last = max(numbers)
    (run,) = mlflow.search_runs().to_dict("records")
    assert run["metrics.train/loss"] == pytest.approx(numbers[last]["train/loss"])
    assert list((tmp_path / "wandb").glob("offline-run-*"))
