"""What regularizers add to a gradient is taken off again: the loss's own gradient, derived without penalties."""

import autograd
import keras
import labelled
import networks
import numpy as np
import pytest
from marks import OF_TENSORFLOW, ONE_STEP_A_CALL, in_combinations

import gradlog

pytestmark = pytest.mark.usefixtures("without_graph_optimizer")

REGULARIZERS = {
    "one": keras.regularizers.L1(0.01),
    "two": keras.regularizers.L2(0.02),
    "three": keras.regularizers.L1L2(0.01, 0.03),
    "four": keras.regularizers.OrthogonalRegularizer(0.05),
    "five": None,
}
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class OfTheUser(keras.regularizers.Regularizer):
    """A custom regularizer that counts its calls."""

    num_calls = 0

    def __call__(self, x):
        OfTheUser.num_calls += 1
        return keras.ops.sum(keras.ops.square(x)) * 0.01


def network(regularizers=REGULARIZERS, **layer):
    """Dense layers, of which the first and the one without a regularizer have a bias."""
    keras.utils.set_random_seed(3)
    layers = [
        keras.layers.Dense(8, "tanh", kernel_regularizer=one, use_bias=name in ("one", "five"), name=name)
        for name, one in regularizers.items()
    ]
    return keras.Sequential([keras.Input((6,)), *layers, keras.layers.Dense(3, name="head", **layer)])


def compiled(model, optimizer, **arguments):
    """Returns the model with the optimizer's variables, or the first trace makes them, and there is a second."""
    model.compile(optimizer, LOSS, **arguments)
    model.optimizer.build(model.trainable_variables)
    return model


def data(rows=24):
    generator = np.random.default_rng(0)
    return generator.normal(size=(rows, 6)).astype("float32"), generator.integers(0, 3, rows)


def expected(model, x, y):
    """Mean absolute value and norm of the gradient of the loss without penalties, by the kernels' names."""
    found = zip(model.trainable_variables, autograd.gradients(model, LOSS, x, y, is_penalized=False), strict=True)
    gradients = {"/".join(variable.path.split("/")[-2:]): gradient for variable, gradient in found}
    return {name: (np.abs(one).mean(), np.sqrt(np.square(one).sum())) for name, one in gradients.items()}


def check_first_step(model, history, x, y, rtol=2e-5):
    wanted = expected(model, x, y)
    regularized = {f"{name}/kernel" for name, one in REGULARIZERS.items() if one is not None}
    for name in history.variables:
        found = [history.statistic(f"loss_gradient_{kind}", name)[0] for kind in ("mean_abs", "norm")]
        if name in regularized:
            np.testing.assert_allclose(found, wanted[name], rtol=rtol, err_msg=name)
        else:
            assert np.isnan(found).all(), name
    assert history.scalars["train/penalty"].values[0] == pytest.approx(float(sum(model.losses)), rel=1e-5)
    assert history.scalars["train/loss"].values[0] == pytest.approx(
        float(LOSS(y, model(x))) + float(sum(model.losses)), rel=1e-5
    )


WAYS = {
    "graph": {},
    "eager": {"run_eagerly": True},
    "xla": {"jit_compile": True},
    "many steps a call": {"steps_per_execution": 3},
}


@pytest.mark.parametrize(
    "way",
    [
        "graph",
        "eager",
        in_combinations("xla", marks=[OF_TENSORFLOW]),  # JAX always compiles
        in_combinations("many steps a call", marks=[ONE_STEP_A_CALL]),
    ],
)
def test_the_gradient_of_the_loss_alone(tmp_path, way):
    model, plain, (x, y) = network(), network(), data()
    for one, callbacks in ((model, [gradlog.GradientLogger(tmp_path, every=1)]), (plain, [])):
        compiled(one, keras.optimizers.SGD(0.1, clipnorm=0.1), **WAYS[way])
        one.fit(x, y, batch_size=24, epochs=3, shuffle=False, verbose=0, callbacks=callbacks)

    check_first_step(network(), gradlog.read(tmp_path), x, y)
    for one, other in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@OF_TENSORFLOW
@pytest.mark.combinations
def test_the_same_in_gradlog_train(tmp_path):
    import tensorflow as tf

    x, y = data()
    model = compiled(network(), keras.optimizers.SGD(0.1))
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(24).repeat()
    gradlog.train(model, dataset, steps=2, callbacks=[gradlog.GradientLogger(tmp_path, every=1)])
    check_first_step(network(), gradlog.read(tmp_path), x, y)


@pytest.mark.combinations
def test_the_same_with_accumulation(tmp_path):
    x, y = data()
    model = compiled(network(), keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
    model.fit(x, y, batch_size=12, verbose=0, callbacks=[gradlog.GradientLogger(tmp_path, every=1)])
    history = gradlog.read(tmp_path)
    wanted = expected(network(), x, y)  # the mean of both halves is that of the whole
    for name in ("one/kernel", "two/kernel", "three/kernel", "four/kernel"):
        assert history.statistic("loss_gradient_norm", name)[0] == pytest.approx(wanted[name][1], rel=2e-5)


def test_what_layers_add_themselves_counts_as_penalty_but_has_no_gradient_of_its_own(tmp_path):
    x, y = data()
    model = network({"one": None}, activity_regularizer=keras.regularizers.L2(0.1))
    model.compile(keras.optimizers.SGD(0.1), LOSS)
    model.fit(x, y, batch_size=24, verbose=0, callbacks=[gradlog.GradientLogger(tmp_path, every=1)])

    history, fresh = gradlog.read(tmp_path), network({"one": None}, activity_regularizer=keras.regularizers.L2(0.1))
    logits = np.float64(keras.ops.convert_to_numpy(fresh(x)))
    divisor = 24 if keras.__version__ != "3.7.0" else 1  # Keras 3.7 does not divide by the rows of the batch
    expected = 0.1 * np.square(logits).sum() / divisor
    assert history.scalars["train/penalty"].values[0] == pytest.approx(expected, rel=1e-5)
    assert "loss_gradient_norm" not in history.columns


def test_nothing_is_added_where_nothing_is_known(tmp_path):
    x, y = data()

    class Custom(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def call(self, x):
            return self.inner(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return LOSS(y, y_pred)  # which leaves the penalties out

    plain, custom = network(dict.fromkeys(("one", "two"))), Custom()
    for model, name in ((plain, "plain"), (custom, "custom")):
        model.compile(keras.optimizers.SGD(0.1), LOSS)
        model.fit(x, y, verbose=0, callbacks=[gradlog.GradientLogger(tmp_path / name, every=1)])
        history = gradlog.read(tmp_path / name)
        assert not [column for column in history.columns if column.startswith("loss_")]
        assert "train/penalty" not in history.scalars


def test_a_regularizer_of_the_user_is_not_called_once_more(tmp_path):
    x, y = data()
    counts = []
    for callbacks in ([], [gradlog.GradientLogger(tmp_path, every=1)]):
        model = network({"one": OfTheUser(), "two": keras.regularizers.L2(0.02)})
        model.compile(keras.optimizers.SGD(0.1), LOSS, run_eagerly=True)
        OfTheUser.num_calls = 0
        model.fit(x, y, batch_size=8, verbose=0, callbacks=callbacks)
        counts.append(OfTheUser.num_calls)

    assert counts[0] == counts[1]
    history = gradlog.read(tmp_path)
    assert "train/penalty" not in history.scalars
    assert np.isnan(history.statistic("loss_gradient_norm", "one/kernel")).all()
    assert np.isfinite(history.statistic("loss_gradient_norm", "two/kernel")).all()


def deep(activation, optimizer, **arguments):
    regularizer = keras.regularizers.L2(1e-4)
    return labelled.mlp(activation, 10, 32, optimizer, kernel_regularizer=regularizer, **arguments)


def test_a_penalty_no_longer_hides_that_gradients_vanish(tmp_path):
    x, y = labelled.digits()
    keras.utils.set_random_seed(1)
    model = networks.with_variables(deep("sigmoid", labelled.sgd(0.01)))()
    logger = gradlog.GradientLogger(tmp_path, every=8, on_finding="ignore")
    model.fit(x, y, epochs=3, verbose=0, callbacks=[logger])

    history = gradlog.read(tmp_path)
    applied, of_loss = (
        history.statistic(f"{kind}_mean_abs", "layer1/kernel")[0] for kind in ("gradient", "loss_gradient")
    )
    assert of_loss < applied / 100
    (found,) = (one for one in gradlog.diagnose(history) if one.code == "GL101")
    assert found.severity == "alarm"
    assert found.message.startswith("The gradient of the loss vanishes towards the input: in layer1")
    assert gradlog.diagnose(history) == logger.findings


@pytest.mark.combinations
@pytest.mark.parametrize("strength", [1e-4, 1e-2])
def test_a_healthy_network_with_strong_decay_is_silent(tmp_path, strength):
    x, y = labelled.digits()
    keras.utils.set_random_seed(1)
    regularizer = keras.regularizers.L2(strength)
    model = networks.with_variables(labelled.mlp("relu", 4, 32, labelled.adam(3e-3), kernel_regularizer=regularizer))()
    logger = gradlog.GradientLogger(tmp_path, every=8)
    model.fit(x, y, epochs=15, verbose=0, callbacks=[logger])

    assert model.evaluate(x, y, verbose=0)[1] > 0.9
    assert gradlog.diagnose(gradlog.read(tmp_path)) == []
