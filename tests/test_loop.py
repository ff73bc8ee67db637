"""`gradlog.train`: the numbers of `fit`, Keras callbacks between its calls, clear words where something is off."""

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf

import gradlog


class Journal(keras.callbacks.Callback):
    """Writes down which method was called, with which number."""

    def __init__(self, num_calls=None):
        super().__init__()
        self.entries, self.logs, self.num_calls = [], [], num_calls  # after so many it stops the training

    def on_train_begin(self, logs=None):
        self.entries.append("train begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.entries.append(f"epoch begin {epoch}")

    def on_train_batch_begin(self, batch, logs=None):
        self.entries.append(f"begin {batch}")

    def on_train_batch_end(self, batch, logs=None):
        self.entries.append(f"end {batch}")
        self.logs.append(logs)
        if len(self.logs) == self.num_calls:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        self.entries.append(f"epoch end {epoch}")

    def on_train_end(self, logs=None):
        self.entries.append("train end")


@pytest.mark.parametrize("arguments", [{}, {"jit_compile": True}, {"run_eagerly": True}])
def test_trains_as_fit_does(arguments):
    fitted, looped = (networks.random_network(**arguments) for _ in range(2))
    x, y = networks.data()

    expected = fitted.fit(x, y, batch_size=16, epochs=1, shuffle=False, verbose=0)
    history = gradlog.train(looped, networks.dataset(), steps=6)

    for one, other in zip(networks.state(fitted), networks.state(looped), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    assert history.history.keys() == expected.history.keys()
    for name, values in expected.history.items():
        assert history.history[name] == pytest.approx(values, rel=1e-5)


def test_sample_weights_count():
    x, y = networks.data()
    weight = np.linspace(0, 2, len(y)).astype(np.float32)
    fitted, looped = networks.dense_network(), networks.dense_network()

    fitted.fit(x, y, batch_size=16, sample_weight=weight, shuffle=False, verbose=0)
    gradlog.train(looped, tf.data.Dataset.from_tensor_slices((x, y, weight)).batch(16), steps=6)

    for one, other in zip(networks.state(fitted), networks.state(looped), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_callbacks_are_called_as_keras_calls_them():
    fitted, looped = Journal(), Journal()
    x, y = networks.data(128)

    networks.dense_network(steps_per_execution=4).fit(x, y, batch_size=16, shuffle=False, verbose=0, callbacks=[fitted])
    dataset = networks.dataset(128)
    gradlog.train(networks.dense_network(), dataset, steps=8, steps_per_execution=4, callbacks=[looped])

    assert looped.entries == fitted.entries
    for one, other in zip(looped.logs, fitted.logs, strict=True):
        assert one == pytest.approx({name: float(value) for name, value in other.items()}, rel=1e-5)


def test_a_callback_can_stop_it():
    journal = Journal(num_calls=2)
    model = networks.dense_network()

    gradlog.train(model, networks.dataset(), steps=100, steps_per_execution=2, callbacks=[journal])

    assert int(model.optimizer.iterations.numpy()) == 4
    assert len(journal.logs) == 2
    assert journal.entries[-2:] == ["epoch end 0", "train end"]


def test_a_logged_step_is_the_first_of_its_call(tmp_path):
    """So the others, many to a call, run a step that knows nothing of the logger."""
    journal, model = Journal(), networks.dense_network()
    logger = gradlog.GradientLogger(tmp_path, every=5)

    gradlog.train(model, networks.dataset(), steps=12, steps_per_execution=3, callbacks=[logger, journal])

    begins = [int(entry.split()[1]) for entry in journal.entries if entry.startswith("begin ")]
    assert begins == [0, 3, 5, 8, 10]
    assert gradlog.read(tmp_path).steps.tolist() == [0, 5, 10]


@pytest.mark.parametrize("every", [1, 5])
def test_a_dataset_that_ends_early_ends_the_training_in_order(tmp_path, every):
    journal, model = Journal(), networks.dense_network()
    dataset = tf.data.Dataset.from_tensor_slices(networks.data()).batch(16)  # six batches
    logger = gradlog.GradientLogger(tmp_path, every=every)

    with pytest.warns(UserWarning, match=r"ran out after 6 of 10 steps.*`dataset\.repeat\(\)`"):
        gradlog.train(model, dataset, steps=10, steps_per_execution=4, callbacks=[logger, journal])

    assert int(model.optimizer.iterations.numpy()) == 6
    assert journal.entries[-2:] == ["epoch end 0", "train end"]
    assert gradlog.read(tmp_path).steps.tolist() == list(range(0, 6, every))


def test_the_model_is_left_as_it_was():
    model = networks.dense_network(steps_per_execution=7)
    model.make_train_function()
    attributes, function = set(model.__dict__), model.train_function

    gradlog.train(model, networks.dataset(), steps=3)

    assert set(model.__dict__) - {"history", "stop_training"} == attributes - {"history", "stop_training"}
    assert model.train_function is function
    assert model.steps_per_execution == 7


def test_a_model_with_its_own_step_keeps_it():
    class Doubled(keras.Sequential):
        def train_step(self, batch):
            super().train_step(batch)
            return super().train_step(batch)

    model = networks.compiled(Doubled([keras.Input((12,)), keras.layers.Dense(3)]))

    gradlog.train(model, networks.dataset(), steps=5)

    assert int(model.optimizer.iterations.numpy()) == 10


def test_a_lazily_built_model_is_built_first(tmp_path):
    model = networks.compiled(keras.Sequential([keras.layers.Dense(4, name="layer1"), keras.layers.Dense(3, name="b")]))

    gradlog.train(model, networks.dataset(), steps=3, callbacks=[gradlog.GradientLogger(tmp_path)])

    assert gradlog.read(tmp_path).variables == ("layer1/kernel", "layer1/bias", "b/kernel", "b/bias")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"steps": 0}, ValueError, "`steps`.*Expected an integer, 1 or more. Received: steps=0"),
        ({"steps": 2.5}, TypeError, r"Received: steps=2\.5"),
        ({"steps_per_execution": -1}, ValueError, "Received: steps_per_execution=-1"),
        ({"dataset": networks.data()}, TypeError, "`tf.data.Dataset`.*Received: dataset of type tuple"),
        ({"dataset": tf.data.Dataset.range(3)}, ValueError, r"Expected elements \(x, y\) or \(x, y, sample_weight\)"),
        ({"model": "resnet"}, TypeError, "Expected a Keras model. Received: 'resnet'"),
        ({"model": keras.Sequential([keras.layers.Dense(1)])}, ValueError, r"call `model\.compile"),
    ],
)
def test_errors_say_what_was_expected(arguments, error, message):
    arguments = {"model": networks.dense_network(), "dataset": networks.dataset(), "steps": 3, **arguments}
    with pytest.raises(error, match=message):
        gradlog.train(arguments.pop("model"), arguments.pop("dataset"), **arguments)
