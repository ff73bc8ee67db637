"""A `train_step` with several optimizers, as a GAN has: one callback logs all, and tells their variables apart."""

import functools

import keras
import networks
import numpy as np
import own_steps
import pytest
import reference
from marks import OF_TENSORFLOW, ONE_OPTIMIZER, ONE_STEP_A_CALL, in_combinations

import gradlog

pytestmark = [pytest.mark.usefixtures("without_graph_optimizer"), ONE_OPTIMIZER]

VARIABLES = ["generator/kernel", "generator/bias", "critic/kernel", "critic/bias"]


class Adversarial(keras.Model):
    """A generator and a critic of one layer each, without anything random.

    The critic is updated `critic_steps` times a batch, then the generator once.
    """

    def __init__(self, critic_steps=1):
        super().__init__()
        self.generator = keras.layers.Dense(networks.NUM_FEATURES, "tanh", name="generator")
        self.critic = keras.layers.Dense(1, name="critic")
        self.critic_steps = critic_steps
        self.built = not networks.IS_TENSORFLOW  # else Keras on PyTorch calls the model, which has no `call`
        self.generator.build((None, networks.NUM_FEATURES))
        self.critic.build((None, networks.NUM_FEATURES))

    def compile(self, is_new=False, **arguments):
        """Where optimizers are not new, they have their variables ahead of the first trace, which is then the last."""
        super().compile(**arguments)
        self.critic_optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
        self.generator_optimizer = keras.optimizers.SGD(0.05, clipnorm=0.5)
        if not is_new:
            self.critic_optimizer.build(self.critic.trainable_variables)
            self.generator_optimizer.build(self.generator.trainable_variables)

    def critic_loss(self, x):
        return keras.ops.mean(self.critic(self.generator(x)) - self.critic(x))

    def generator_loss(self, x):
        return -keras.ops.mean(self.critic(self.generator(x)))

    def train_step(self, data):
        x = data[0]
        parts = [(self.critic_loss, self.critic, self.critic_optimizer)] * self.critic_steps
        parts += [(self.generator_loss, self.generator, self.generator_optimizer)]
        for loss_of, layer, optimizer in parts:
            loss, _ = own_steps.update(functools.partial(loss_of, x), optimizer, layer.trainable_variables)
        return {"critic_loss": self.critic_loss(x), "generator_loss": loss}


def make(critic_steps=1, **arguments):
    keras.utils.set_random_seed(3)
    model = Adversarial(critic_steps)
    model.compile(**arguments)
    return model


def fit(model, callbacks, num_steps=8):
    networks.fit(model, callbacks, num_steps)
    optimizers = [model.critic_optimizer, model.generator_optimizer]
    return [np.array(v) for v in (*model.variables, *(v for one in optimizers for v in one.variables))]


def critic_update(model, x):
    """Updates the critic once, and returns the gradients."""
    return _updated(model.critic_loss, x, model.critic_optimizer, model.critic)


def _updated(loss_of, x, optimizer, layer):
    _, gradients = own_steps.update(functools.partial(loss_of, x), optimizer, layer.trainable_variables)
    return [keras.ops.convert_to_numpy(one) for one in gradients]


@functools.cache
def plainly_trained():
    """What a training without a logger ends with; however it is compiled, to within rounding."""
    return fit(make(), [])


@functools.cache
def gradients_by_step():
    """The gradients of eight steps, of an eager training that knows nothing of gradlog."""
    model, steps = make(run_eagerly=True), []
    for x, _ in networks.batches(8):
        of_critic = critic_update(model, x)
        of_generator = _updated(model.generator_loss, x, model.generator_optimizer, model.generator)
        steps.append([*of_generator, *of_critic])
    return steps


@pytest.mark.parametrize(
    ("every", "arguments"),
    [
        (1, {"is_new": True}),
        (3, {}),
        in_combinations(3, {"jit_compile": True}, marks=[OF_TENSORFLOW]),
        (3, {"run_eagerly": True}),
        pytest.param(3, {"steps_per_execution": 4}, marks=ONE_STEP_A_CALL),
    ],
    ids=str,
)
def test_one_callback_logs_the_variables_of_both(tmp_path, every, arguments):
    observed = fit(make(**arguments), [gradlog.GradientLogger(tmp_path, every=every)])

    for one, other in zip(plainly_trained(), observed, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-8)
    history = gradlog.read(tmp_path)
    assert history.variables == tuple(VARIABLES)
    assert history.steps.tolist() == list(range(0, 8, every))
    for time, step in enumerate(history.steps):
        expected = gradients_by_step()[step]
        for name, gradient in zip(VARIABLES, expected, strict=True):
            for statistic, value in reference.statistics(gradient).items():
                actual = history.statistic(statistic, name)[time]
                np.testing.assert_allclose(actual, value, rtol=1e-5, atol=1e-7, err_msg=f"{statistic} of {name}")
        norm = np.sqrt(sum(np.sum(gradient.astype(float) ** 2) for gradient in expected))
        assert history.scalars["gradient_norm/global"].values[time] == pytest.approx(norm, rel=1e-5)
    assert (history.statistic("update_ratio", "critic/kernel") > 0).all()
    assert len(history.scalars["train/critic_loss"].values) >= 1


def test_a_critic_that_moves_more_often_is_logged_at_the_steps_of_the_generator(tmp_path):
    """Two updates of the critic a batch: the last of them stands beside the generator's one."""
    plain = fit(make(critic_steps=2), [])

    observed = fit(make(critic_steps=2), [gradlog.GradientLogger(tmp_path, every=4)])

    for one, other in zip(plain, observed, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-8)
    history = gradlog.read(tmp_path)
    assert history.steps.tolist() == [0, 4]
    assert history.variables == tuple(VARIABLES)
    assert not np.isnan(history.statistic("gradient_norm")).any()
    reference_model = make(critic_steps=2)
    ((x, _),) = networks.batches(1)
    critic_update(reference_model, x)
    last = critic_update(reference_model, x)
    assert history.statistic("gradient_norm", "critic/kernel")[0] == pytest.approx(np.linalg.norm(last[0]), rel=1e-5)


def test_variables_of_one_of_them_can_be_chosen(tmp_path):
    fit(make(), [gradlog.GradientLogger(tmp_path, every=2, variables="generator")])

    history = gradlog.read(tmp_path)
    assert history.variables == ("generator/kernel", "generator/bias")
    assert history.steps.tolist() == [0, 2, 4, 6]


def test_several_fits_go_on_counting(tmp_path):
    model, logger = make(), gradlog.GradientLogger(tmp_path, every=5)

    for _ in range(3):
        fit(model, [logger], num_steps=4)

    assert gradlog.read(tmp_path).steps.tolist() == [0, 5, 10]


def test_each_can_be_attached_to_a_loop_of_ones_own(tmp_path):
    model = make(run_eagerly=True)
    loggers = {name: gradlog.GradientLogger(tmp_path / name, every=2) for name in ("critic", "generator")}

    with (
        loggers["critic"].attach(model, model.critic_optimizer),
        loggers["generator"].attach(model, model.generator_optimizer),
    ):
        for batch in networks.batches(5):
            model.train_step(batch)

    for name in loggers:
        history = gradlog.read(tmp_path / name)
        assert history.variables == (f"{name}/kernel", f"{name}/bias")
        assert history.steps.tolist() == [0, 2, 4]


def test_an_optimizer_that_moves_only_now_and_then_leads(tmp_path):
    """The generator moves in every third batch: those of its steps that are due are logged, with the critic's."""

    class Seldom(Adversarial):
        def train_step(self, data):
            self.critic_steps, steps = 1, self.critic_optimizer.iterations
            if int(steps) % 3 == 2:
                return super().train_step(data)
            critic_update(self, data[0])
            return {"critic_loss": 0.0, "generator_loss": 0.0}

    keras.utils.set_random_seed(3)
    model = Seldom()
    model.compile(run_eagerly=True)

    fit(model, [gradlog.GradientLogger(tmp_path, every=2)], num_steps=15)

    history = gradlog.read(tmp_path)
    norms = history.statistic("gradient_norm", "generator/kernel")
    assert history.steps[~np.isnan(norms)].tolist() == [0, 2, 4]


def test_the_validation_stands_at_the_steps_of_the_training(tmp_path):
    model = make()
    model.test_step = lambda data: {"critic_loss": model.critic_loss(data[0])}
    validation = networks.batches(4) if networks.IS_TENSORFLOW else networks.data(64)

    networks.fit(model, [gradlog.GradientLogger(tmp_path)], steps=4, epochs=2, validation_data=validation)

    assert gradlog.read(tmp_path).scalars["validation/critic_loss"].steps.tolist() == [4, 8]


@ONE_STEP_A_CALL
@pytest.mark.parametrize("critic_steps", [1, in_combinations(2)])
def test_every_step_of_a_long_call_is_logged(tmp_path, critic_steps):
    model = make(critic_steps=critic_steps, steps_per_execution=40)

    fit(model, [gradlog.GradientLogger(tmp_path, every=1, rules=[])], num_steps=80)

    history = gradlog.read(tmp_path)
    norms = history.statistic("gradient_norm", "generator/kernel")
    assert history.steps[~np.isnan(norms)].tolist() == list(range(80))


def test_the_clipped_norm_is_that_of_all_optimizers(tmp_path):
    fit(make(), [gradlog.GradientLogger(tmp_path, every=1)], num_steps=4)

    history = gradlog.read(tmp_path)
    for time, gradients in enumerate(gradients_by_step()[:4]):
        generator, critic = (
            np.sqrt(sum(np.sum(one.astype(float) ** 2) for one in part)) for part in (gradients[:2], gradients[2:])
        )
        # `clipnorm` clips each variable of the generator by itself; the critic does not clip.
        clipped = [min(0.5, np.linalg.norm(one.astype(float))) for one in gradients[:2]]
        assert generator > np.hypot(*clipped) or time > 0
        expected = np.sqrt(clipped[0] ** 2 + clipped[1] ** 2 + critic**2)
        actual = history.scalars["gradient_norm/global_clipped"].values[time]
        assert actual == pytest.approx(expected, rel=1e-5)


def test_steps_rise_where_one_optimizer_moves_seldom(tmp_path):
    class Seldom(Adversarial):
        def train_step(self, data):
            if int(self.critic_optimizer.iterations) % 4 == 3:
                return super().train_step(data)
            critic_update(self, data[0])
            return {"critic_loss": 0.0, "generator_loss": 0.0}

    keras.utils.set_random_seed(3)
    model, written = Seldom(), []
    model.compile(run_eagerly=True)

    class Steps:
        def write(self, snapshot):
            written.append(snapshot.step)

        def write_scalars(self, step, scalars):
            pass

        def write_text(self, step, tag, markdown):
            pass

        def close(self):
            pass

    fit(model, [gradlog.GradientLogger(tmp_path, every=1, writers=[Steps()])], num_steps=16)

    assert written == [0, 1, 2, 3]  # the generator's
