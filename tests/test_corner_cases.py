"""What went wrong once, and what few people do but some will."""

import keras
import networks
import numpy as np
import own_steps
import pytest
from marks import NOT_ON_JAX, OF_TENSORFLOW, ONE_STEP_A_CALL
from on_engine import program, tensor

import gradlog

pytestmark = pytest.mark.usefixtures("without_graph_optimizer")


@OF_TENSORFLOW
@pytest.mark.parametrize("compiled", [True, False])
def test_no_row_of_an_unknown_number_is_left_out(compiled):
    """An embedding's gradient has as many rows as a batch has words; of a million elements, all are summed."""
    import tensorflow as tf

    from gradlog.backends.tensorflow.moments import totals

    signature = [tf.TensorSpec([None, 2], tf.float32)]
    function = tf.function(lambda rows: totals([rows]), input_signature=signature, jit_compile=compiled)
    values = np.ones((1 << 19, 2), np.float32)
    values[-1] = 3, np.nan

    assert function(values).numpy().tolist() == [[(1 << 20) + 1, (1 << 20) + 7]]


@NOT_ON_JAX
def test_a_large_update_is_known_before_its_step_is_seen(tmp_path):
    """A thread looks at a compiled loop: whoever sees a step must find how far it moved the weights."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1200,)), keras.layers.Dense(1200, use_bias=False, name="layer1")])
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    x, kernel, ratios = tensor(np.random.default_rng(0).normal(size=(4, 1200))), model.layers[0].kernel, []

    def loss_of():
        return keras.ops.mean(keras.ops.square(model(x)))

    @program
    def step():
        own_steps.update(loss_of, optimizer, model.trainable_variables)

    with gradlog.GradientLogger(tmp_path, every=1).attach(model, optimizer):
        for _ in range(12):
            before = np.array(kernel)
            step()
            ratios.append(np.linalg.norm(np.array(kernel) - before) / np.linalg.norm(before))

    history = gradlog.read(tmp_path)
    assert history.steps.tolist() == list(range(12))
    np.testing.assert_allclose(history.statistic("update_ratio", "layer1/kernel"), ratios, rtol=1e-3)


@pytest.mark.parametrize("steps_per_execution", [1, pytest.param(2, marks=ONE_STEP_A_CALL)])
def test_a_metric_that_is_a_vector_is_left_out(tmp_path, recwarn, steps_per_execution):
    model = networks.dense_network(steps_per_execution=steps_per_execution)
    metrics = [keras.metrics.CategoricalAccuracy(), keras.metrics.F1Score()]
    model.compile("adam", "mse", metrics=metrics, steps_per_execution=steps_per_execution)
    x = networks.data()[0]
    y = keras.utils.to_categorical(networks.data()[1], 3)

    model.fit(x, y, verbose=0, validation_data=(x, y), callbacks=[gradlog.GradientLogger(tmp_path, every=1)])

    history = gradlog.read(tmp_path)
    assert history.steps.tolist() == [0, 1, 2]
    assert {"train/categorical_accuracy", "validation/categorical_accuracy"} <= history.scalars.keys()
    assert not [tag for tag in history.scalars if "f1" in tag]
    assert not [warning for warning in recwarn if "gradlog" in str(warning.message)]


@NOT_ON_JAX
def test_fit_attach_and_fit_again_with_one_logger(tmp_path):
    model, logger = networks.dense_network(), gradlog.GradientLogger(tmp_path, every=1)
    networks.fit(model, [logger], steps=2)
    with logger.attach(model):
        ((x, y),) = networks.batches(1)
        own_steps.update(
            lambda: model.compute_loss(x, y, model(x, training=True)), model.optimizer, model.trainable_variables
        )

    networks.fit(model, [logger], steps=2)

    assert gradlog.read(tmp_path).steps.tolist() == [0, 1, 2, 3, 4]


@OF_TENSORFLOW
def test_a_step_that_applies_gradients_to_plain_variables(tmp_path):
    import tensorflow as tf

    class Watched(keras.Sequential):
        def train_step(self, batch):
            x, y = batch
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x, y, self(x, training=True))
            variables = tape.watched_variables()
            self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            return {"loss": loss}

    layers = [keras.layers.Dense(4, "tanh", name="layer1"), keras.layers.Dense(3, name="layer2")]
    keras.utils.set_random_seed(0)
    model = Watched([keras.Input((12,)), *layers])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)

    networks.fit(model, [gradlog.GradientLogger(tmp_path, every=1)], steps=2)

    history = gradlog.read(tmp_path)
    norms = history.statistic("gradient_norm").astype(float)
    assert (norms > 0).all()
    joint = np.sqrt((norms**2).sum(1))
    np.testing.assert_allclose(history.scalars["gradient_norm/global"].values, joint, rtol=1e-5)


def test_an_optimizer_that_is_an_attribute_as_well_is_one(tmp_path):
    model = networks.dense_network()
    inner = keras.optimizers.SGD(0.1)
    model.compile(
        keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.my_optimizer = inner

    networks.fit(model, [gradlog.GradientLogger(tmp_path, every=1)], steps=4)

    history = gradlog.read(tmp_path)
    norms = history.statistic("gradient_norm").astype(float)
    assert history.steps.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(history.scalars["gradient_norm/global"].values, np.sqrt((norms**2).sum(1)), rtol=1e-5)


def test_one_logger_given_twice_and_a_call_that_does_not_come(tmp_path):
    model, logger = networks.dense_network(), gradlog.GradientLogger(tmp_path, every=1)

    networks.fit(model, [logger, logger], steps=4)
    logger.set_model(model)
    logger.on_train_begin()
    logger.on_train_batch_begin(0)  # a loop of somebody's own that calls callbacks, and no program of Keras'
    logger.on_train_begin()
    logger.on_train_end()

    networks.fit(model, [])
    assert gradlog.read(tmp_path).steps.tolist() == [0, 1, 2, 3]


@OF_TENSORFLOW
def test_train_keeps_a_step_that_was_put_on_the_model(tmp_path):
    model, calls = networks.dense_network(run_eagerly=True), []
    step = model.train_step

    def counted(batch):
        calls.append(1)
        return step(batch)

    model.train_step = counted

    gradlog.train(model, networks.dataset(), steps=3, callbacks=[gradlog.GradientLogger(tmp_path, every=2)])

    assert len(calls) == 3
    assert model.train_step is counted
    assert gradlog.read(tmp_path).steps.tolist() == [0, 2]


def test_an_evaluation_after_a_training_that_was_interrupted(tmp_path):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise KeyboardInterrupt

    model, logger = networks.dense_network(), gradlog.GradientLogger(tmp_path, every=1)
    with pytest.raises(KeyboardInterrupt):
        networks.fit(model, [logger, Interrupt()], steps=4)

    x, y = networks.data()
    model.evaluate(x, y, verbose=0, callbacks=[logger])

    history = gradlog.read(tmp_path)
    assert history.scalars["test/loss"].steps.tolist() == [2]
    assert "validation/loss" not in history.scalars


def test_a_writer_that_fails_after_a_training_is_said(tmp_path):
    class Broken:
        def write_scalars(self, step, scalars):
            raise OSError("no more")

        def close(self):
            pass

    model, logger = networks.dense_network(), gradlog.GradientLogger(tmp_path, writers=[Broken()])
    x, y = networks.data()

    with pytest.warns(UserWarning, match="gradlog stopped logging.*no more"):
        model.evaluate(x, y, verbose=0, callbacks=[logger])

    assert isinstance(logger.error, OSError)
