"""Errors are early, and say what happened, what was expected and how to mend it."""

import keras
import networks
import pytest

import gradlog


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"every": 0}, ValueError, r"`every` counts steps\. Expected an integer, 1 or more\. Received: every=0"),
        ({"every": -3}, ValueError, "Received: every=-3"),
        ({"every": 2.0}, TypeError, r"Expected an integer, 1 or more\. Received: every=2\.0"),
        ({"every": True}, TypeError, "Received: every=True"),
        ({"every": "often"}, TypeError, "Received: every='often'"),
        ({"log_dir": None}, TypeError, r"Expected a string or a path\. Received: log_dir=None"),
        ({"log_dir": ""}, TypeError, "Received: log_dir=''"),
        ({"variables": 3}, TypeError, r"Expected `None`, a regular expression.*Received: variables=3"),
        ({"variables": "("}, ValueError, r"Invalid regular expression.*: .*Received: variables='\('"),
    ],
)
def test_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        gradlog.GradientLogger(**{"log_dir": "logs", **arguments})


def test_a_model_without_trainable_variables_is_trained_and_not_logged(tmp_path):
    """Keras counts its loss and its metrics."""
    model = networks.dense_network()
    model.trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = networks.data(8)
    plain = model.fit(x, y, verbose=0).history

    logger = gradlog.GradientLogger(tmp_path)
    said = r"stopped logging.*training continues.*no trainable variables.*layer\.trainable = True.*compile again"
    with pytest.warns(UserWarning, match=said):
        history = model.fit(x, y, verbose=0, callbacks=[logger]).history
    assert history == plain
    assert isinstance(logger.error, ValueError)
    assert list(tmp_path.iterdir()) == []


def test_no_variable_is_chosen(tmp_path):
    x, y = networks.data(8)
    with pytest.raises(ValueError, match=r"chooses none of the model's variables.*layer1/kernel"):
        networks.dense_network().fit(x, y, verbose=0, callbacks=[gradlog.GradientLogger(tmp_path, variables="encoder")])


def test_a_log_directory_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    x, y = networks.data(8)
    model = networks.dense_network()

    with pytest.raises(OSError, match="log directory cannot be written"):
        model.fit(x, y, verbose=0, callbacks=[gradlog.GradientLogger(tmp_path / "file")])
    assert int(model.optimizer.iterations.numpy()) == 0


def test_an_uncompiled_model(tmp_path):
    logger = gradlog.GradientLogger(tmp_path)
    logger.set_model(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))

    with pytest.raises(ValueError, match=r"Expected a compiled model; call `model\.compile"):
        logger.on_train_begin()


def test_another_backend(monkeypatch):
    """OpenVINO trains nothing, and is not installed with gradlog; so Keras is made to say that it runs on it."""
    monkeypatch.setattr(keras.backend, "backend", lambda: "openvino")

    with pytest.raises(RuntimeError, match=r"KERAS_BACKEND.* before Keras is imported\. Received: backend='openvino'"):
        gradlog.GradientLogger("logs")
