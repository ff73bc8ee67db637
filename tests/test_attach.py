"""`attach`: a custom loop, compiled or not, is logged as `fit` is; on JAX it is refused: tests/engines/test_jax.py."""

import time
import warnings

import keras
import networks
import numpy as np
import own_steps
import pytest
from marks import NOT_ON_JAX, OF_TENSORFLOW, in_combinations
from on_engine import program

import gradlog
from gradlog.backends import recorded
from gradlog.backends.engine import engine

pytestmark = NOT_ON_JAX
NUM_STEPS = 12


def own_loop(model, optimizer, step_of, num_steps=NUM_STEPS):
    """A custom loop as people write it: a loss, its gradients, which the optimizer applies."""
    loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def step(x, y):
        loss, _ = own_steps.update(
            lambda: loss_function(y, model(x, training=True)), optimizer, model.trainable_variables
        )
        return loss

    step = step_of(step)
    for x, y in networks.batches(num_steps):
        step(x, y)
    return step


STEPS = {"eager": lambda f: f, "compiled": program, "xla": lambda f: program(f, jit_compile=True)}


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    """What `gradlog.train` logs of the same steps, or `fit` where there is none."""
    log_dir = tmp_path_factory.mktemp("loop")
    callbacks = [gradlog.GradientLogger(log_dir, every=5)]
    if networks.IS_TENSORFLOW:
        gradlog.train(networks.dense_network(), networks.dataset(), steps=NUM_STEPS, callbacks=callbacks)
    else:
        networks.fit(networks.dense_network(), callbacks, NUM_STEPS)
    return gradlog.read(log_dir)


@pytest.mark.parametrize(
    "kind",
    ["eager", pytest.param("compiled", marks=OF_TENSORFLOW), in_combinations("xla", marks=[OF_TENSORFLOW])],
)
def test_an_own_loop_logs_what_fit_logs_and_trains_as_without(tmp_path, loop, kind):
    model, plain = networks.dense_network(), networks.dense_network()
    optimizers = [networks.momentum(), networks.momentum()]
    own_loop(plain, optimizers[0], STEPS[kind])
    attributes = set(optimizers[1].__dict__)
    optimizers[1].build(model.trainable_variables)

    with gradlog.GradientLogger(tmp_path, every=5).attach(model, optimizers[1]):
        own_loop(model, optimizers[1], STEPS[kind])

    assert not {"apply", "_clip_gradients", "scale_loss"} & set(optimizers[1].__dict__) - attributes
    for one, other in zip(plain.trainable_variables, model.trainable_variables, strict=True):
        np.testing.assert_allclose(np.array(one), np.array(other), rtol=1e-6, atol=1e-8)
    own = gradlog.read(tmp_path)
    assert own.steps.tolist() == loop.steps.tolist() == [0, 5, 10]
    assert own.variables == loop.variables
    np.testing.assert_allclose(own.statistics, loop.statistics, rtol=1e-3, atol=1e-7)
    assert own.histograms.keys() == loop.histograms.keys()
    assert "train/loss" not in own.scalars


@pytest.mark.parametrize("every", [1, 3])
def test_steps_of_one_kind_can_be_reduced_together(tmp_path, monkeypatch, every):
    """Also in a loop that runs as it is written, where each step says anew what its numbers mean."""
    model, optimizer, kinds = networks.dense_network(), networks.momentum(), []

    def snapshots(steps):
        kinds.extend(map(recorded._kind, steps))
        return recorded.snapshots(steps)

    monkeypatch.setattr("gradlog.session.writing.snapshots", snapshots)
    with gradlog.GradientLogger(tmp_path, every=every).attach(model, optimizer):
        own_loop(model, optimizer, STEPS["eager"])

    assert len(kinds) == len(range(0, NUM_STEPS, every))
    assert len(set(kinds)) == 1


def test_layers_that_take_turns_have_gradients_of_their_own_steps(tmp_path):
    """Several steps of a fast loop are read together, and which variables have a gradient changes from step to step."""
    model, optimizer = networks.ByTurns(), networks.momentum()
    model.build((None, networks.NUM_FEATURES))
    optimizer.build(model.trainable_variables)
    loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    batches, signs = list(networks.batches(4)), [-1, 1, -1, 1]

    with gradlog.GradientLogger(tmp_path, every=1).attach(model, optimizer):
        for (x, y), sign in zip(batches, signs, strict=True):
            inputs = keras.ops.abs(x) * sign
            own_steps.update(
                lambda inputs=inputs, y=y: loss_function(y, model(inputs)),
                optimizer,
                model.trainable_variables,
            )

    history = gradlog.read(tmp_path)
    for name, expected in (("layer+", [False, True, False, True]), ("layer-", [True, False, True, False])):
        assert (history.statistic("gradient_norm", f"{name}/kernel") > 0).tolist() == expected


@OF_TENSORFLOW
def test_a_step_compiled_before_is_warned_of(tmp_path):
    model, optimizer = networks.dense_network(), keras.optimizers.SGD()
    step = own_loop(model, optimizer, program, num_steps=1)
    ((x, y),) = networks.batches(1)

    with (
        pytest.warns(UserWarning, match=r"logged nothing.*first time inside"),
        gradlog.GradientLogger(tmp_path, every=1).attach(model, optimizer),
    ):
        step(x, y)


def test_a_step_traced_inside_goes_on_without_recording(tmp_path):
    model, optimizer = networks.dense_network(), keras.optimizers.SGD()
    optimizer.build(model.trainable_variables)
    with gradlog.GradientLogger(tmp_path, every=1).attach(model, optimizer):
        step = own_loop(model, optimizer, program, num_steps=2)

    for x, y in networks.batches(3):
        step(x, y)

    assert gradlog.read(tmp_path).steps.tolist() == [0, 1]


def test_an_error_in_the_loop_goes_through_and_loses_nothing(tmp_path):
    model, optimizer = networks.dense_network(), keras.optimizers.SGD()

    def fail():
        with gradlog.GradientLogger(tmp_path, every=1).attach(model, optimizer):
            own_loop(model, optimizer, lambda f: f, num_steps=3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert gradlog.read(tmp_path).steps.tolist() == [0, 1, 2]
    assert "apply" not in optimizer.__dict__


@pytest.mark.parametrize(
    ("model", "optimizer", "message"),
    [("resnet", None, "Expected a Keras model"), (keras.Sequential(), "adam", r"attach\(model, optimizer\)")],
)
def test_errors(tmp_path, model, optimizer, message):
    with pytest.raises(TypeError, match=message):
        gradlog.GradientLogger(tmp_path).attach(model, optimizer)


def counting_loop(num_steps):
    """A model of one weight, and a compiled loop whose step number `n` has a gradient of exactly `n`."""
    import tensorflow as tf

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, name="layer")])
    optimizer = keras.optimizers.SGD(0.0)
    optimizer.build(model.trainable_variables)

    @tf.function
    def loop():
        for step in tf.range(num_steps):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(model(tf.fill([1, 1], tf.cast(step, tf.float32))))
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    return model, optimizer, loop


@OF_TENSORFLOW
def test_a_step_that_was_overtaken_is_left_out_and_counted(tmp_path):
    num_steps = 3000
    model, optimizer, loop = counting_loop(num_steps)

    with (
        pytest.warns(UserWarning, match=r"logged \d[\d,]* of 3,000 steps.*overwritten") as caught,
        gradlog.GradientLogger(tmp_path, every=1, rules=[]).attach(model, optimizer),
    ):
        loop()

    history = gradlog.read(tmp_path)
    gradients = history.statistic("gradient_mean_abs", "layer/kernel")
    assert 16 <= len(history.steps) < num_steps
    np.testing.assert_array_equal(gradients, history.steps)
    said = next(str(one.message) for one in caught if "overwritten" in str(one.message))
    assert f"logged {len(history.steps):,} of" in said


def test_a_finding_cannot_stop_a_custom_loop_and_says_so(tmp_path):
    model, optimizer = networks.dense_network(), keras.optimizers.SGD(float("nan"))
    model.stop_training = False

    with (
        pytest.warns(UserWarning, match=r"cannot stop a custom training loop.*set `model\.stop_training`"),
        gradlog.GradientLogger(tmp_path, every=1, on_finding="stop").attach(model, optimizer),
    ):
        own_loop(model, optimizer, lambda f: f, num_steps=4)

    assert model.stop_training
    assert int(optimizer.iterations) == 4


def test_a_failure_in_the_thread_is_warned_of_where_nothing_swallows_it(tmp_path, monkeypatch):
    model, optimizer = networks.dense_network(), keras.optimizers.SGD()
    logger = gradlog.GradientLogger(tmp_path, every=1)
    monkeypatch.setattr(engine().recorder, "fetch", lambda self, tap: 1 / 0)

    with (  # noqa: PT031, what is said at the end of the context counts
        pytest.warns(UserWarning, match="ZeroDivisionError") as said,
        logger.attach(model, optimizer),
        warnings.catch_warnings(record=True),
    ):
        own_loop(model, optimizer, program)
        waiting = iter(range(1000))
        while logger.error is None and next(waiting, None) is not None:
            time.sleep(0.01)

    assert [str(one.message) for one in said if "gradlog" in str(one.message)] == [
        f"gradlog stopped logging to '{tmp_path}'; training continues: ZeroDivisionError: division by zero"
    ]
    assert [one.filename for one in said if "gradlog" in str(one.message)] == [__file__]
