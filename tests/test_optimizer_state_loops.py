"""What is logged of the optimizer's memory is the same in each loop; of several optimizers, each has its own."""

import keras
import networks
import numpy as np
import own_steps
import pytest
from marks import ENGINE, NOT_ON_JAX, OF_TENSORFLOW, ONE_OPTIMIZER, ONE_STEP_A_CALL, in_combinations
from on_engine import program
from test_several_optimizers import Adversarial, fit

import gradlog

pytestmark = pytest.mark.usefixtures("without_graph_optimizer")

EVERY, NUM_STEPS = 3, 12
SCHEDULE = keras.optimizers.schedules.PolynomialDecay(0.1, 10, 0.01)


def network(**arguments):
    return networks.dense_network(optimizer=keras.optimizers.Adam(SCHEDULE, global_clipnorm=0.5), **arguments)


def logger(tmp_path):
    return gradlog.GradientLogger(tmp_path, every=EVERY, optimizer_state=True, rules=[])


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    log_dir = tmp_path_factory.mktemp("fit")
    model = network()
    networks.fit(model, [logger(log_dir)], NUM_STEPS)
    return gradlog.read(log_dir), model.get_weights()


def with_calls_of_several_steps(tmp_path):
    model = network(steps_per_execution=4)
    networks.fit(model, [logger(tmp_path)], NUM_STEPS)
    return model


def with_train(tmp_path):
    model = network()
    gradlog.train(model, networks.dataset(), steps=NUM_STEPS, callbacks=[logger(tmp_path)])
    return model


def with_attach(tmp_path):
    model, loss_of = network(), keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @program
    def step(x, y):
        own_steps.update(lambda: loss_of(y, model(x, training=True)), model.optimizer, model.trainable_variables)

    with logger(tmp_path).attach(model):
        for x, y in networks.batches(NUM_STEPS):
            step(x, y)
    return model


@pytest.mark.parametrize(
    "train",
    [
        in_combinations(with_calls_of_several_steps, marks=[ONE_STEP_A_CALL]),
        pytest.param(with_train, marks=OF_TENSORFLOW),
        pytest.param(with_attach, marks=NOT_ON_JAX),
    ],
)
def test_every_loop_logs_what_fit_logs(tmp_path, fitted, train):
    (expected, weights), model = fitted, train(tmp_path)
    history = gradlog.read(tmp_path)

    assert history.columns == expected.columns
    assert history.steps.tolist() == expected.steps.tolist() == list(range(0, NUM_STEPS, EVERY))
    np.testing.assert_allclose(history.statistics, expected.statistics, rtol=1e-4, atol=1e-6)
    rates = [0.1 - 0.09 * min(step, 10) / 10 for step in history.steps]
    for one in (history, expected):
        np.testing.assert_allclose(one.scalars["train/learning_rate"].values, rates, rtol=1e-5)
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


@ONE_OPTIMIZER
@pytest.mark.parametrize(
    "steps", [1 if ENGINE == "torch" else in_combinations(1), pytest.param(4, marks=ONE_STEP_A_CALL)]
)
def test_of_several_optimizers_one_has_a_memory(tmp_path, steps):
    keras.utils.set_random_seed(3)
    model = Adversarial()
    model.compile(steps_per_execution=steps)
    model.critic_optimizer = keras.optimizers.SGD(0.01)
    model.generator_optimizer = keras.optimizers.Adam(0.05)
    model.critic_optimizer.build(model.critic.trainable_variables)
    model.generator_optimizer.build(model.generator.trainable_variables)
    fit(model, [logger(tmp_path)])

    history = gradlog.read(tmp_path)
    ratios = history.statistic("second_moment_ratio")
    is_of_generator = np.array([name.startswith("generator") for name in history.variables])
    assert history.columns[-2:] == ("second_moment_ratio", "epsilon_fraction")
    assert np.isnan(ratios[:, ~is_of_generator]).all()
    assert np.isfinite(ratios[history.steps > 0][:, is_of_generator]).all()
    # The critic's: that of `compile` comes first, but makes no step.
    assert set(history.scalars["train/learning_rate"].values) == {np.float32(0.01)}
