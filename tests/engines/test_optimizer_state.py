"""On every engine, what is logged of the optimizer's memory is what the optimizers by hand say, from the gradients."""

import autograd
import keras
import networks
import numpy as np
import pytest

import gradlog

pytestmark = pytest.mark.usefixtures("without_graph_optimizer", "variables_first")

BATCH, NUM_STEPS, NUM_WORDS = 8, 6, 70
EAGER, XLA = {"run_eagerly": True}, {"jit_compile": keras.backend.backend() != "torch"}
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
COLUMNS = ("second_moment_ratio", "epsilon_fraction")
optimizers = keras.optimizers
EPSILON = {"adam": 1e-3, "nadam": 2e-2, "lamb": 2e-2, "amsgrad": 2e-2, "adamax": 1e-2}
EPSILON |= {"rmsprop": 1e-5, "centered": 1e-5, "adadelta": 5e-6, "adagrad": 0.1005, "clipped": 1e-4}
MAKE = {
    "adam": optimizers.Adam,
    "adamw": lambda **more: optimizers.AdamW(weight_decay=0.1, **more),
    "nadam": optimizers.Nadam,
    "lamb": optimizers.Lamb,
    "amsgrad": lambda **more: optimizers.Adam(amsgrad=True, beta_2=0.5, **more),
    "adamax": optimizers.Adamax,
    "rmsprop": optimizers.RMSprop,
    "centered": lambda **more: optimizers.RMSprop(centered=True, **more),
    "adadelta": optimizers.Adadelta,
    "adagrad": lambda **more: optimizers.Adagrad(initial_accumulator_value=0.1, **more),
    "clipped": lambda **more: optimizers.Adam(global_clipnorm=0.02, **more),
    "loss scale": lambda **more: optimizers.LossScaleOptimizer(optimizers.Adam(**more)),
}


ALWAYS = ("adam", "amsgrad", "centered")


def on_engines(*values):
    """The others are tried where the engines are."""
    return pytest.param(*values, marks=pytest.mark.engines)


def made(name):
    return MAKE[name](learning_rate=0.01, epsilon=EPSILON.get(name, EPSILON["adam"]))


class ByHand:
    """An optimizer's memory of one variable, in float64, as the papers and Keras' documentation have it."""

    def __init__(self, name, shape):
        self.name, self.epsilon = name, EPSILON.get(name, EPSILON["adam"])
        self.squares, self.mean, self.largest, self.time = np.zeros(shape), np.zeros(shape), np.zeros(shape), 0
        self.decay = {"amsgrad": 0.5, "rmsprop": 0.9, "centered": 0.9, "adadelta": 0.95}.get(name, 0.999)
        if name == "adagrad":
            self.squares += 0.1

    def expected(self):
        """The second moment that the next gradient is compared with."""
        if self.name == "adamax":
            return self.largest**2
        if self.name == "adagrad":
            return self.squares / self.time
        return (self.largest if self.name == "amsgrad" else self.squares) / (1 - self.decay**self.time)

    def ratio(self, gradient):
        if not self.time:
            return np.nan
        least = self.epsilon if self.name in ("rmsprop", "centered", "adadelta", "adagrad") else self.epsilon**2
        return np.sqrt(np.mean(gradient**2 / np.maximum(self.expected(), least)))

    def update(self, gradient):
        self.time += 1
        if self.name == "adagrad":
            self.squares = self.squares + gradient**2
        else:
            self.squares = self.decay * self.squares + (1 - self.decay) * gradient**2
        self.mean = self.decay * self.mean + (1 - self.decay) * gradient
        current = {"adamax": np.abs(gradient), "amsgrad": self.squares}.get(self.name, 0)
        self.largest = np.maximum(self.largest * (self.decay if self.name == "adamax" else 1), current)

    def divides(self):
        """What epsilon is added to."""
        if self.name == "adamax":
            return self.largest
        if self.name in ("rmsprop", "adadelta", "adagrad"):
            return self.squares
        if self.name == "centered":
            return self.squares - self.mean**2
        if self.name == "amsgrad":
            return np.sqrt(self.largest)
        corrected = self.name in ("nadam", "lamb")
        return np.sqrt(self.squares / (1 - self.decay**self.time if corrected else 1))


def network(optimizer, **compiling):
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(9, "tanh", name="layer1"), keras.layers.Dense(networks.NUM_CLASSES, name="layer2")]
    model = keras.Sequential([keras.Input((networks.NUM_FEATURES,)), *layers])
    model.compile(optimizer, LOSS, **compiling)
    return model


def of_words(optimizer, **compiling):
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Embedding(NUM_WORDS, 4, name="words"), keras.layers.Flatten(), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((5,)), *layers])
    model.compile(optimizer, LOSS, **compiling)
    return model


def data():
    return networks.data(NUM_STEPS * BATCH)


def words():
    """Each word once in a batch: of one that comes twice, Keras on TensorFlow squares each part of the gradient."""
    rng = np.random.default_rng(2)
    batches = [rng.permutation(NUM_WORDS - 10)[: 5 * BATCH] for _ in range(NUM_STEPS)]
    return np.reshape(batches, (-1, 5)), rng.integers(0, 3, NUM_STEPS * BATCH)


def logged(tmp_path, model, data, **options):
    x, y = data
    logger = gradlog.GradientLogger(tmp_path, **{"every": 1, "optimizer_state": True, "rules": []} | options)
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[logger])
    assert logger.error is None
    return gradlog.read(tmp_path)


def gradients(model, data):
    """Trains batch by batch; yields the gradients of each."""
    x, y = data
    for start in range(0, len(x), BATCH):
        part = x[start : start + BATCH], y[start : start + BATCH]
        yield autograd.gradients(model, LOSS, *part)
        model.train_on_batch(*part)


@pytest.mark.parametrize("name", [name if name in ALWAYS else on_engines(name) for name in MAKE])
def test_what_the_optimizer_remembers(tmp_path, name):
    history = logged(tmp_path, network(made(name)), data())

    assert history.columns[-2:] == COLUMNS
    assert history.steps.tolist() == list(range(NUM_STEPS))
    by_hand, seen = None, []
    for index, found in enumerate(gradients(network(made(name)), data())):
        if name == "clipped":
            joint = np.sqrt(sum(np.sum(one**2) for one in found))
            found = [one * min(1, 0.02 / joint) for one in found]
        by_hand = by_hand or [ByHand(name, one.shape) for one in found]
        for row, (one, gradient) in enumerate(zip(by_hand, found, strict=True)):
            expected = one.ratio(gradient)
            one.update(gradient)
            np.testing.assert_allclose(history.statistic(COLUMNS[0])[index, row], expected, rtol=1e-3)
            seen.append(np.mean(one.divides() < one.epsilon))
            # Rounding may move an element across.
            near = np.mean(np.abs(one.divides() / one.epsilon - 1) < 1e-3)
            np.testing.assert_allclose(history.statistic(COLUMNS[1])[index, row], seen[-1], atol=near + 1e-6)
    assert min(seen) < 0.9, seen
    assert max(seen) > 0.1, seen


@pytest.mark.parametrize("name", ["sgd", "lion", "adafactor", "own"])
def test_without_a_second_moment_nothing_is_new(tmp_path, name):
    class Own(keras.optimizers.Adam):
        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, learning_rate * gradient)

        _parallel_update_step = None

        def _backend_update_step(self, grads, trainable_variables, learning_rate):
            for one in zip(grads, trainable_variables, strict=True):
                self.update_step(*one, learning_rate)

    optimizer = Own(0.01) if name == "own" else keras.optimizers.get(name)
    with_state = logged(tmp_path / "with", network(optimizer, **EAGER), data())

    assert with_state.columns[-1] == "update_ratio"
    assert not {*with_state.columns} & {*COLUMNS, "unused_rows"}
    assert not [tag for tag in with_state.scalars if tag.startswith((*COLUMNS, "unused_rows"))]


def test_it_is_read_by_default_where_steps_are_rare(tmp_path):
    for name, options, expected in (
        ("rare", {"every": 50}, True),
        ("often", {"every": 49}, False),
        ("asked", {"every": 9, "optimizer_state": True}, True),
        ("refused", {"every": 50, "optimizer_state": False}, False),
    ):
        options = {"optimizer_state": None} | options
        history = logged(tmp_path / name, network("adam", **EAGER), data(), **options)
        assert ("second_moment_ratio" in history.columns) == expected, name


@pytest.mark.parametrize(
    ("name", "compiling"),
    [
        ("adam", {}),
        *(on_engines(*one) for one in (("adam", XLA), ("adagrad", {}), ("clipped", {}), ("adam", EAGER))),
    ],
)
def test_rows_of_an_embedding(tmp_path, name, compiling):
    history = logged(tmp_path, of_words(made(name), **compiling), words())

    assert history.columns[-3:] == (*COLUMNS, "unused_rows")
    one, seen, row = ByHand(name, (NUM_WORDS, 4)), set(), 0
    x, _ = words()
    for index, found in enumerate(gradients(of_words(made(name), **compiling), words())):
        joint = np.sqrt(sum(np.sum(part**2) for part in found))
        gradient = found[row] * (min(1, 0.02 / joint) if name == "clipped" else 1)
        np.testing.assert_allclose(history.statistic("unused_rows")[index, row], 1 - len(seen) / NUM_WORDS, rtol=1e-6)
        batch = {*x[index * BATCH : (index + 1) * BATCH].ravel().tolist()}
        known, seen = sorted(batch & seen), seen | batch
        if known:
            least = one.epsilon if name == "adagrad" else one.epsilon**2
            squares = gradient[known] ** 2 / np.maximum(one.expected()[known], least)
            expected = np.sqrt(np.mean(squares))
            np.testing.assert_allclose(history.statistic(COLUMNS[0])[index, row], expected, rtol=1e-3)
        else:
            assert np.isnan(history.statistic(COLUMNS[0])[index, row])
        one.update(gradient)
        near = np.mean(np.abs(one.divides() / one.epsilon - 1) < 1e-3)
        expected = np.mean(one.divides() < one.epsilon)
        np.testing.assert_allclose(history.statistic(COLUMNS[1])[index, row], expected, atol=near + 1e-6)
    assert np.isnan(history.statistic("unused_rows")[:, 1:]).all()


@pytest.mark.combinations
def test_accumulated_gradients(tmp_path):
    def optimizer():
        return optimizers.Adam(0.01, gradient_accumulation_steps=3)

    history = logged(tmp_path, network(optimizer()), data())

    steps = list(gradients(network(optimizer()), data()))
    first, second = (np.mean([found[0] for found in group], axis=0) for group in (steps[:3], steps[3:]))
    expected = np.sqrt(np.mean(second**2 / first**2))  # with the bias corrected, v is the square of the first
    assert history.steps.tolist() == [0, 1]
    np.testing.assert_allclose(history.statistic(COLUMNS[0])[1, 0], expected, rtol=1e-3)
    assert history.scalars["train/learning_rate"].values.tolist() == pytest.approx([0.01, 0.01])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(tmp_path, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = network("adam")
    finally:
        keras.config.set_dtype_policy(before)
    history = logged(tmp_path, model, data())

    assert isinstance(model.optimizer, optimizers.LossScaleOptimizer) == (policy == "mixed_float16")
    ratios = history.statistic(COLUMNS[0])[history.steps > 0]
    assert np.isfinite(ratios).all()
    assert (ratios > 0).all()
    assert np.median(ratios) < 10
    assert (history.statistic(COLUMNS[1]) == 0).all()


@pytest.mark.parametrize(
    ("name", "compiling"),
    [("adam", {}), ("adam", EAGER), *(on_engines(*one) for one in (("adagrad", {}), ("nadam", {}), ("adam", XLA)))],
)
def test_weights_are_those_without(tmp_path, name, compiling):
    found = []
    for state in (True, False, None):
        model = of_words(made(name), **compiling)
        x, y = words()
        options = {"every": 1, "optimizer_state": state, "rules": []}
        loggers = [] if state is None else [gradlog.GradientLogger(tmp_path / str(state), **options)]
        model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=loggers)
        found.append([*model.get_weights(), *(keras.ops.convert_to_numpy(one) for one in model.optimizer.variables)])
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


def of_one_number(optimizer, scale, **compiling):
    """A network whose gradient is -scale at each step."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(optimizer, lambda y, predicted: keras.ops.sum(predicted * y), **compiling)
    return model, (np.full((4, 1), 1, np.float32), np.full((4, 1), -scale, np.float32))


@pytest.mark.parametrize(
    ("scale", "epsilon", "ratio", "fraction"),
    [
        (1e-20, 1e-7, 1e-13, 1.0),  # its square is no float32: the second moment is 0, and epsilon divides
        (1e-38, 1e-7, 0.0, 1.0),  # nor is the square of its ratio
        (1e-25, 0.0, 1e5, 0.0),  # without an epsilon, nothing is below it; 1e-30 stands in its place
        (1e-12, 0.0, 1.0, 0.0),
        (1e17, 1e-7, 1.0, 0.0),
        (0.0, 1e-7, 0.0, 1.0),
        (0.0, 0.0, 0.0, 0.0),
    ],
)
def test_numbers_that_leave_float32(tmp_path, scale, epsilon, ratio, fraction):
    compiling = {} if scale == 1e-38 else EAGER  # one in a graph, which takes longer
    model, (x, y) = of_one_number(optimizers.Adam(0.0, epsilon=epsilon), scale, **compiling)
    logger = gradlog.GradientLogger(tmp_path, every=1, optimizer_state=True, rules=[])
    model.fit(x, y, batch_size=1, shuffle=False, verbose=0, callbacks=[logger])
    history = gradlog.read(tmp_path)

    assert history.statistic(COLUMNS[0])[1:, 0].tolist() == pytest.approx([ratio] * 3, rel=1e-3)
    assert history.statistic(COLUMNS[1])[:, 0].tolist() == [fraction] * 4


def test_a_gradient_far_beyond_its_memory(tmp_path):
    """The fourth is infinite: it is left out, and so is the memory that is infinite ever after."""
    model, (x, y) = of_one_number(optimizers.Adam(0.0, epsilon=0.0), 1.0)
    y[:] = np.array([[-1e-20], [-1e18], [-np.inf], [-1.0]], np.float32)
    logger = gradlog.GradientLogger(tmp_path, every=1, optimizer_state=True, rules=[])
    model.fit(x, y, batch_size=1, shuffle=False, verbose=0, callbacks=[logger])
    ratios = gradlog.read(tmp_path).statistic(COLUMNS[0])[:, 0]

    assert np.isnan(ratios[[0, 2, 3]]).all()
    assert ratios[1] == pytest.approx(1e15)


RATES = {
    "number": (lambda: 0.02, [0.02] * NUM_STEPS),
    "schedule": (
        lambda: keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5),
        [0.1 * 0.5 ** (step / 2) for step in range(NUM_STEPS)],
    ),
    "warmup": (
        lambda: keras.optimizers.schedules.CosineDecay(0.0, 4, warmup_target=0.1, warmup_steps=2),
        [0.0, 0.05, *(0.1 * (1 + np.cos(np.pi * step / 4)) / 2 for step in range(4))],
    ),
}


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("kind", [on_engines("sgd"), "adam", on_engines("loss scale")])
def test_the_learning_rate_is_the_schedules(tmp_path, name, kind):
    make, expected = RATES[name]
    optimizer = {"sgd": optimizers.SGD, "adam": optimizers.Adam}.get(kind, optimizers.SGD)(make())
    optimizer = optimizers.LossScaleOptimizer(optimizer) if kind == "loss scale" else optimizer
    history = logged(tmp_path, network(optimizer), data(), every=1, optimizer_state=False)

    rates = history.scalars["train/learning_rate"]
    assert rates.steps.tolist() == list(range(NUM_STEPS))
    np.testing.assert_allclose(rates.values, expected, rtol=1e-5, atol=1e-9)
    assert not {"learning_rate", "penalty", "loss"} & {*history.run.metrics}


def test_a_schedule_of_ones_own_is_called_no_more_often(tmp_path):
    class Counted(keras.optimizers.schedules.LearningRateSchedule):
        calls = 0

        def __call__(self, step):
            type(self).calls += 1
            return 0.25 / (1 + keras.ops.cast(step, "float32"))

    found = {}
    for with_logger in (False, True):
        Counted.calls = 0
        model, (x, y) = network(optimizers.SGD(Counted()), run_eagerly=True), networks.data(3 * BATCH)
        loggers = [gradlog.GradientLogger(tmp_path, every=1)] if with_logger else []
        model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=loggers)
        found[with_logger] = Counted.calls
    assert found[True] == found[False] + 1  # the description of the run asks for the first
    values = gradlog.read(tmp_path).scalars["train/learning_rate"].values
    np.testing.assert_allclose(values, [0.25, 0.125, 0.25 / 3], rtol=1e-6)


def test_a_callback_that_lowers_the_rate(tmp_path):
    model, (x, y) = network(optimizers.SGD(0.5)), data()
    lower = keras.callbacks.ReduceLROnPlateau("loss", 0.1, patience=0, min_delta=1e9, cooldown=0)
    logger = gradlog.GradientLogger(tmp_path, every=NUM_STEPS)
    model.fit(x, y, batch_size=BATCH, epochs=3, verbose=0, callbacks=[logger, lower])

    rates = gradlog.read(tmp_path).scalars["train/learning_rate"]
    assert rates.steps.tolist() == [0, NUM_STEPS, 2 * NUM_STEPS]
    assert rates.values.tolist() == pytest.approx([0.5, 0.5, 0.05])
