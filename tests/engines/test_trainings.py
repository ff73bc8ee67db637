"""On every engine, a training with a logger is the one without it, bit for bit, and nothing is left behind."""

import keras
import networks
import numpy as np
import pytest

import gradlog

pytestmark = pytest.mark.engines
ENGINE = keras.backend.backend()
ROWS, BATCH = 60, 8  # the last batch is smaller
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
layers = keras.layers


def images(num=ROWS):
    rng = np.random.default_rng(1)
    return rng.normal(size=(num, 8, 8, 2)).astype(np.float32), rng.integers(0, 3, num)


def sequences(num=ROWS):
    rng = np.random.default_rng(1)
    return rng.normal(size=(num, 5, 4)).astype(np.float32), rng.integers(0, 3, num)


def words(num=ROWS):
    rng = np.random.default_rng(1)
    return rng.integers(0, 20, (num, 6)), rng.integers(0, 3, num)


def two_inputs(num=ROWS):
    x, y = networks.data(num)
    return {"left": x[:, :5], "right": x[:, 5:]}, {"class": y, "number": x[:, :1]}


def with_two_inputs():
    left, right = keras.Input((5,), name="left"), keras.Input((7,), name="right")
    shared = layers.Dense(7, "tanh", name="shared")
    joined = layers.Concatenate()([shared(layers.Dense(7)(left)), shared(right)])
    outputs = {"class": layers.Dense(3, name="class")(joined), "number": layers.Dense(1, name="number")(joined)}
    return keras.Model({"left": left, "right": right}, outputs)


class Subclassed(keras.Model):
    """Its head is declared before its body, and it has a metric of its own."""

    def __init__(self):
        super().__init__()
        self.head, self.body = layers.Dense(3, name="head"), layers.Dense(8, "relu", name="body")
        self.dropout = layers.Dropout(0.2)

    def call(self, x, training=False):
        return self.head(self.dropout(self.body(x), training=training))


def frozen():
    model = dense()
    model.layers[0].trainable = False
    return model


def dense():
    return keras.Sequential(
        [
            keras.Input((networks.NUM_FEATURES,)),
            layers.Dense(8, "relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(3),
        ]
    )


def of_shape(shape, *inner):
    return lambda: keras.Sequential([keras.Input(shape), *(make() for make in inner), layers.Dense(3)])


MODELS = {
    "dense": (dense, networks.data),
    "frozen": (frozen, networks.data),
    "subclassed": (Subclassed, networks.data),
    "two inputs and outputs": (with_two_inputs, two_inputs),
    "convolution": (
        of_shape((8, 8, 2), lambda: layers.Conv2D(4, 3, activation="relu"), layers.LayerNormalization, layers.Flatten),
        images,
    ),
    "separable": (of_shape((8, 8, 2), lambda: layers.SeparableConv2D(4, 3), layers.GlobalAveragePooling2D), images),
    "lstm": (of_shape((5, 4), lambda: layers.LSTM(6)), sequences),
    "gru": (of_shape((5, 4), lambda: layers.Bidirectional(layers.GRU(4))), sequences),
    "attention": (
        lambda: (lambda x: keras.Model(x, layers.Dense(3)(layers.Flatten()(layers.MultiHeadAttention(2, 4)(x, x)))))(
            keras.Input((5, 4))
        ),
        sequences,
    ),
    "embedding": (of_shape((6,), lambda: layers.Embedding(20, 4), layers.Flatten), words),
    "activity regularizer": (
        of_shape((12,), lambda: layers.Dense(6, "relu", activity_regularizer="l2", kernel_regularizer="l1")),
        networks.data,
    ),
}


def compiled(build, optimizer="adam", **compiling):
    keras.utils.set_random_seed(4)
    model = build()
    loss = {"class": LOSS, "number": "mse"} if build is with_two_inputs else LOSS
    metrics = None if build is with_two_inputs else ["accuracy"]
    model.compile(keras.optimizers.get(optimizer), loss, metrics=metrics, **compiling)
    return model


def fit(model, data, callbacks=(), **arguments):
    x, y = data
    arguments = {"batch_size": BATCH, "epochs": 2, "verbose": 0} | arguments
    keras.utils.set_random_seed(7)  # of the order of the rows
    return model.fit(x, y, callbacks=list(callbacks), **arguments)


def state(model):
    return [keras.ops.convert_to_numpy(one.value) for one in (*model.variables, *model.optimizer.variables)]


def assert_same(model, plain):
    for one, other in zip(state(model), state(plain), strict=True):
        np.testing.assert_array_equal(one, other)
    assert set(vars(model)) == set(vars(plain))
    assert set(vars(model.optimizer)) == set(vars(plain.optimizer))
    for layer, other in zip(model._flatten_layers(), plain._flatten_layers(), strict=True):
        assert set(vars(layer)) == set(vars(other))


def steps_of(every, num_steps=2 * -(-ROWS // BATCH)):
    return list(range(0, num_steps, every))


@pytest.mark.parametrize("name", MODELS)
def test_kinds_of_models(tmp_path, name):
    build, data = MODELS[name]
    model, plain = compiled(build), compiled(build)
    logger = gradlog.GradientLogger(tmp_path, every=3)
    history, without = (fit(one, data(ROWS), callbacks) for one, callbacks in ((model, [logger]), (plain, [])))

    assert logger.error is None
    assert_same(model, plain)
    assert history.history == without.history
    logged = gradlog.read(tmp_path)
    assert logged.steps.tolist() == steps_of(3)
    assert len(logged.variables) == len(model.trainable_variables)
    assert np.isfinite(logged.statistic("gradient_norm")).all()
    if name == "subclassed":
        assert [one.rpartition("/")[0] for one in logged.variables] == ["body", "body", "head", "head"]


WAYS = {
    "compiled": {},
    "eager": {"run_eagerly": True},
}
MANY_STEPS = {} if ENGINE == "torch" else {"steps_per_execution": 3}  # Keras refuses it on PyTorch
if MANY_STEPS:
    WAYS |= {"many steps a call": {"steps_per_execution": 5}, "many, eager": {**MANY_STEPS, "run_eagerly": True}}


@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("way", WAYS)
def test_ways_to_train(tmp_path, way, every):
    x, y = networks.data(ROWS)
    validation = {"validation_data": (x[:20], y[:20])}
    model, plain = (compiled(dense, **WAYS[way]) for _ in range(2))
    logger = gradlog.GradientLogger(tmp_path, every=every, activations=x[:10])
    histories = [fit(one, (x, y), callbacks, **validation) for one, callbacks in ((model, [logger]), (plain, []))]

    assert logger.error is None
    assert_same(model, plain)
    assert histories[0].history == histories[1].history
    logged = gradlog.read(tmp_path)
    assert logged.steps.tolist() == steps_of(every)
    assert logged.scalars["validation/loss"].steps.tolist() == [8, 16]
    assert [tag.partition("/")[0] for tag in logged.scalars if tag.startswith("activation")] == ["activation_dead"]


OPTIMIZERS = {
    "accumulates": lambda: keras.optimizers.Adam(gradient_accumulation_steps=2, global_clipnorm=0.5),
    "scales": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(), initial_scale=2.0**127),
    "averages": lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=3, weight_decay=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(tmp_path, name):
    data = networks.data(ROWS)
    model, plain = (compiled(dense, OPTIMIZERS[name]()) for _ in range(2))
    logger = gradlog.GradientLogger(tmp_path, every=3)
    fit(model, data, [logger])
    fit(plain, data)

    assert logger.error is None
    assert_same(model, plain)
    done = int(keras.ops.convert_to_numpy(plain.optimizer.iterations)) if name != "scales" else None
    expected = {"accumulates": steps_of(3, 8), "averages": steps_of(3)}.get(name)
    logged = gradlog.read(tmp_path)
    if name == "scales":  # the first steps are skipped: a loss times 2**127 is infinite
        inner = int(keras.ops.convert_to_numpy(plain.optimizer.inner_optimizer.iterations))
        assert 0 < inner < 16
        expected = steps_of(3, inner)
    assert logged.steps.tolist() == expected, done


def test_two_loggers_and_several_trainings(tmp_path):
    data = networks.data(ROWS)
    model, plain = compiled(dense, **MANY_STEPS), compiled(dense, **MANY_STEPS)
    loggers = [
        gradlog.GradientLogger(tmp_path / "all", every=4),
        gradlog.GradientLogger(tmp_path / "kernels", every=3, variables="kernel", histograms=False, updates=False),
    ]
    for _ in range(2):
        fit(model, data, loggers)
        fit(plain, data)

    assert_same(model, plain)
    every, kernels = (gradlog.read(one.log_dir) for one in loggers)
    assert every.steps.tolist() == steps_of(4, 32)
    assert kernels.steps.tolist() == steps_of(3, 32)
    assert all(one.endswith("kernel") for one in kernels.variables)
    assert not kernels.histograms
    assert "update_ratio" not in kernels.columns
    both = sorted(set(every.steps.tolist()) & set(kernels.steps.tolist()))
    for history, other in ((every, kernels),):
        for name in kernels.variables:
            one = history.statistic("gradient_norm", name)[np.isin(history.steps, both)]
            np.testing.assert_array_equal(one, other.statistic("gradient_norm", name)[np.isin(other.steps, both)])
    joint = every.scalars["gradient_norm/global"], kernels.scalars["gradient_norm/global"]
    np.testing.assert_allclose(joint[0].values[0], joint[1].values[0], rtol=1e-6)


def test_programs_outlive_a_training_without_a_logged_step(tmp_path):
    """Neither is the step traced again: a layer's `call` runs as often as it does without the logger."""
    calls = []

    class Counting(layers.Dense):
        def call(self, inputs):
            calls.append("call")
            return super().call(inputs)

    model = compiled(lambda: keras.Sequential([keras.Input((networks.NUM_FEATURES,)), Counting(3)]))
    logger = gradlog.GradientLogger(tmp_path, every=12)
    x, y = networks.data(5 * BATCH)

    def count():
        calls.clear()
        fit(model, (x, y), [logger], epochs=1)
        return len(calls)

    count(), count()  # steps 0 to 4, of which the first is logged, and 5 to 9
    recording = logger._session._to_go_on()[0]
    plain = 5 if ENGINE == "torch" else 0  # PyTorch compiles nothing
    assert (count(), logger._session._recording) == (plain, recording)  # steps 10 to 14
    assert gradlog.read(tmp_path).steps.tolist() == [0, 12]


def test_resuming_from_a_checkpoint(tmp_path):
    """Without dropout, whose random state Keras does not save."""
    data = networks.data(ROWS)
    build = of_shape((networks.NUM_FEATURES,), lambda: layers.Dense(8, "relu"), layers.BatchNormalization)
    whole = compiled(build)
    fit(whole, data, epochs=2, shuffle=False)
    first = compiled(build)
    fit(first, data, [gradlog.GradientLogger(tmp_path / "run", every=3)], epochs=1, shuffle=False)
    first.save(tmp_path / "model.keras")

    resumed = keras.models.load_model(tmp_path / "model.keras")
    logger = gradlog.GradientLogger(tmp_path / "run", every=3)
    fit(resumed, data, [logger], initial_epoch=1, epochs=2, shuffle=False)

    assert logger.error is None
    assert gradlog.read(tmp_path / "run").steps.tolist() == steps_of(3)
    for one, other in zip(resumed.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(one.value), keras.ops.convert_to_numpy(other.value))


class Broken(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 4:
            raise KeyError("raised by another callback")


def test_an_exception_in_another_callback_leaves_nothing_behind(tmp_path):
    data = networks.data(ROWS)
    model, plain = compiled(dense), compiled(dense)
    logger = gradlog.GradientLogger(tmp_path, every=2)
    for one, callbacks in ((model, [logger, Broken()]), (plain, [Broken()])):
        with pytest.raises(KeyError, match="raised by another callback"):
            fit(one, data, callbacks)

    assert_same(model, plain)
    done = int(keras.ops.convert_to_numpy(plain.optimizer.iterations))
    fit(model, data, [logger])
    fit(plain, data)
    assert logger.error is None
    assert_same(model, plain)
    logged = gradlog.read(tmp_path)
    assert logged.steps.tolist() == [*range(0, done, 2), *range(done + done % 2, done + 16, 2)]
    assert np.isfinite(logged.statistic("gradient_norm")).all()


class AtEachBatch(keras.callbacks.Callback):
    """Has a hook at the end of a batch, so that Keras calls all of them in the training's own thread."""

    def on_train_batch_end(self, batch, logs=None):
        pass


@pytest.mark.parametrize("others", [[], [AtEachBatch()]], ids=["not waited for", "waited for"])
def test_batches_are_waited_for_only_where_another_callback_needs_it(tmp_path, others):
    """On engines that compute while Python goes on; what is logged is the same."""
    logger, (x, y) = gradlog.GradientLogger(tmp_path, every=3), networks.data(ROWS)
    is_async = keras.callbacks.CallbackList([logger, *others])._async_train
    assert is_async == (ENGINE != "tensorflow" and not others)

    model, plain = compiled(dense), compiled(dense)
    fit(model, (x, y), [logger, *others], validation_data=(x[:BATCH], y[:BATCH]))
    fit(plain, (x, y), validation_data=(x[:BATCH], y[:BATCH]))
    assert logger.error is None
    assert_same(model, plain)
    history = gradlog.read(tmp_path)
    assert history.steps.tolist() == steps_of(3)
    assert history.scalars["validation/loss"].steps.tolist() == [8, 16]


@pytest.mark.parametrize("others", [[], [AtEachBatch()]], ids=["not waited for", "waited for"])
def test_a_generator_whose_end_nobody_knows(tmp_path, others):
    """Keras begins one more batch, which has no step."""
    x, y = networks.data(5 * BATCH)

    def batches():
        for start in range(0, len(x), BATCH):
            yield x[start : start + BATCH], y[start : start + BATCH]

    logger, model, plain = gradlog.GradientLogger(tmp_path, every=1), compiled(dense), compiled(dense)
    expected = []
    for _ in range(2):
        start = int(keras.ops.convert_to_numpy(plain.optimizer.iterations))  # on TensorFlow, with that batch
        expected += range(start, start + 5)
        for one, callbacks in ((model, [logger, *others]), (plain, [])):
            keras.utils.set_random_seed(7)
            one.fit(batches(), verbose=0, callbacks=callbacks)
    assert logger.error is None
    assert_same(model, plain)
    assert gradlog.read(tmp_path).steps.tolist() == expected


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        x, y = networks.data(5 * BATCH)
        part = slice(index * BATCH, (index + 1) * BATCH)
        return x[part], y[part]


def endless():
    batches = Batches()
    while True:
        yield from (batches[index] for index in range(5))


def torch_loader():
    from torch.utils.data import DataLoader, TensorDataset

    x, y = networks.data(5 * BATCH)
    return DataLoader(TensorDataset(keras.ops.convert_to_tensor(x).cpu(), keras.ops.convert_to_tensor(y).cpu()), BATCH)


DATA = {
    "PyDataset": lambda: {"x": Batches()},  # with several workers, Keras itself repeats no training
    "an endless generator": lambda: {"x": endless(), "steps_per_epoch": 5},
    "weights of rows": lambda: dict(
        zip("xy", networks.data(5 * BATCH), strict=True), sample_weight=np.linspace(0, 2, 5 * BATCH), batch_size=BATCH
    ),
    "weights of classes": lambda: dict(
        zip("xy", networks.data(5 * BATCH), strict=True), class_weight={0: 1, 1: 2, 2: 0.5}, batch_size=BATCH
    ),
    "DataLoader": lambda: {"x": torch_loader()},
}


@pytest.mark.parametrize("kind", DATA)
def test_kinds_of_data(tmp_path, kind):
    if kind == "DataLoader" and ENGINE != "torch":
        pytest.skip("is PyTorch's")
    logger, model, plain = gradlog.GradientLogger(tmp_path, every=3), compiled(dense), compiled(dense)
    for one, callbacks in ((model, [logger]), (plain, [])):
        keras.utils.set_random_seed(7)
        one.fit(**DATA[kind](), epochs=2, shuffle=False, verbose=0, callbacks=callbacks)

    assert logger.error is None
    assert_same(model, plain)
    assert gradlog.read(tmp_path).steps.tolist() == [0, 3, 6, 9]


def test_beside_keras_own_callbacks(tmp_path):
    """A training that its accuracy ends, with checkpoints on the way, and a smaller learning rate at each epoch."""
    data = x, y = networks.data(ROWS)
    histories, models = [], []
    for name in ("logged", "plain"):
        keras_own = [
            keras.callbacks.ModelCheckpoint(
                tmp_path / name / "{batch}.weights.h5", save_weights_only=True, save_freq=3
            ),
            keras.callbacks.BackupAndRestore(tmp_path / f"{name}_backup"),
            keras.callbacks.ReduceLROnPlateau("val_loss", min_delta=10, patience=1),
            keras.callbacks.EarlyStopping("val_loss", min_delta=10, patience=2, restore_best_weights=True),
            keras.callbacks.CSVLogger(tmp_path / f"{name}.csv"),
            keras.callbacks.TerminateOnNaN(),
        ]
        logger = gradlog.GradientLogger(tmp_path / "run", every=3)
        callbacks = [*keras_own[:3], logger, *keras_own[3:]] if name == "logged" else keras_own
        models.append(compiled(dense))
        histories.append(fit(models[-1], data, callbacks, epochs=9, validation_data=(x[:9], y[:9])).history)
        assert logger.error is None

    assert_same(*models)
    assert histories[0] == histories[1]
    assert len(histories[0]["loss"]) == 3  # of nine epochs
    assert (tmp_path / "logged.csv").read_text() == (tmp_path / "plain.csv").read_text()
    assert gradlog.read(tmp_path / "run").steps.tolist() == steps_of(3, 24)
    rates = gradlog.read(tmp_path / "run").scalars["train/learning_rate"].values
    np.testing.assert_allclose(rates[[0, -1]], [1e-3, 1e-4], rtol=1e-6)


class Inner(keras.callbacks.Callback):
    """Trains another model ahead of every batch."""

    def __init__(self, train):
        super().__init__()
        self.train = train

    def on_train_batch_begin(self, batch, logs=None):
        self.train()


def test_a_training_inside_of_another(tmp_path):
    x, y = networks.data(5 * BATCH)
    rows = {"batch_size": BATCH, "epochs": 1, "shuffle": False, "verbose": 0}
    trained = []
    for directory in (tmp_path, None):
        outer, inner = compiled(dense), compiled(dense)
        loggers = [[], []]
        if directory:
            loggers = [[gradlog.GradientLogger(directory / name, every=2)] for name in ("outer", "inner")]
        train = Inner(lambda inner=inner, own=loggers[1]: inner.fit(x[:BATCH], y[:BATCH], callbacks=own, **rows))
        outer.fit(x, y, callbacks=[*loggers[0], train], **rows)
        assert all(one.error is None for one in loggers[0] + loggers[1])
        trained += [(outer, inner)]

    for model, plain in zip(*trained, strict=True):
        assert_same(model, plain)
    for name in ("outer", "inner"):
        assert gradlog.read(tmp_path / name).steps.tolist() == [0, 2, 4]


def test_a_layer_that_is_trained_from_the_second_fit_on(tmp_path):
    data = networks.data(5 * BATCH)
    logger, model, plain = gradlog.GradientLogger(tmp_path, every=2), compiled(frozen), compiled(frozen)
    for one, callbacks in ((model, [logger]), (plain, [])):
        fit(one, data, callbacks, epochs=1)
        one.layers[0].trainable = True
        one.compile("adam", LOSS, metrics=["accuracy"])
        fit(one, data, callbacks, epochs=1)

    assert logger.error is None
    assert_same(model, plain)
    second = gradlog.read(logger.directory)
    first = gradlog.read(tmp_path)
    assert len(second.variables) == len(first.variables) + 2
    assert first.steps.tolist() == second.steps.tolist() == [0, 2, 4]


def test_an_evaluation_is_logged_as_a_test(tmp_path):
    data = networks.data(ROWS)
    model, logger = compiled(dense), gradlog.GradientLogger(tmp_path, every=3)
    fit(model, data, [logger])
    found = model.evaluate(*data, verbose=0, return_dict=True, callbacks=[logger])

    logged = gradlog.read(tmp_path).scalars["test/loss"]
    assert logged.steps.tolist() == [16]
    np.testing.assert_allclose(logged.values, [found["loss"]], rtol=1e-6)


def test_findings_are_those_of_the_network(tmp_path):
    """A ReLU layer that is dead from the start is found while it trains, and by `check`."""
    x, y = networks.data(ROWS)
    keras.utils.set_random_seed(0)
    dead = layers.Dense(8, "relu", bias_initializer=keras.initializers.Constant(-100.0), name="layer1")
    model = keras.Sequential([keras.Input((networks.NUM_FEATURES,)), dead, layers.Dense(3, name="output")])
    model.compile("sgd", LOSS)
    logger = gradlog.GradientLogger(tmp_path, every=1, activations=x, on_finding="ignore")
    found = gradlog.check(model, x, y)
    fit(model, (x, y), [logger])

    assert any(one.code == "GL201" and "layer1" in str(one.where) for one in found)
    assert any(one.code == "GL201" and "layer1" in str(one.where) for one in logger.findings)
    assert [one.code for one in gradlog.diagnose(gradlog.read(tmp_path))] == [one.code for one in logger.findings]
