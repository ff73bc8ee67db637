"""Networks with a known problem, and networks without any; real training on real digits.

Architectures and faults are those that the literature on faulty trainings studies (AutoTrainer, Zhang et al. 2021;
DeepDiagnosis, Wardat et al. 2022; TheDeepChecker, Ben Braiek and Khomh 2022), those of the experiments, and the healthy
cases that make naive rules cry wolf.
"""

import keras
import numpy as np
from labelled_case import BATCH_SIZE, Case, digits, sick
from labelled_transformers import HEALTHY_TRANSFORMERS, SICK_TRANSFORMERS
from sklearn.datasets import load_breast_cancer


def images():
    """Returns them as images [n, 8, 8, 1], which are also sequences."""
    x, y = digits()
    return x.reshape(-1, 8, 8, 1), y


def rows():
    """Returns them row by row [n, 8, 8]."""
    x, y = digits()
    return x.reshape(-1, 8, 8), y


def tokens():
    """Returns them as 64 tokens of 17 kinds."""
    x, y = digits()
    return np.round(x * 16).astype(np.int32), y


def table(is_scaled):
    """Returns scikit-learn's breast-cancer table, twice as long, and its labels."""
    x, y = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0) if is_scaled else x
    return np.repeat(x, 3, axis=0).astype(np.float32), np.repeat(y, 3)


def with_nan():
    """Returns digits of which one in fifty has a pixel that is NaN."""
    x, y = digits()
    x = x.copy()
    x[::50, 3] = np.nan
    return x, y


def _compiled(model, optimizer="adam", loss=None, metrics=("accuracy",), **arguments):
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=list(metrics), **arguments)
    return model


def mlp(activation="relu", depth=4, units=32, optimizer=None, initializer="glorot_uniform", between=None, **arguments):
    """Returns a chain of dense layers, the last linear."""

    def build():
        layers = [keras.Input((64,))]
        for number in range(1, depth + 1):
            start = keras.initializers.RandomNormal(0, initializer) if isinstance(initializer, float) else initializer
            layers.append(keras.layers.Dense(units, kernel_initializer=start, name=f"layer{number}", **arguments))
            layers += [between()] if between else []
            layers.append(keras.layers.Activation(activation))
        start = keras.initializers.RandomNormal(0, initializer) if isinstance(initializer, float) else initializer
        layers.append(keras.layers.Dense(10, kernel_initializer=start, name=f"layer{depth + 1}"))
        return _compiled(keras.Sequential(layers), optimizer() if optimizer else "adam")

    return build


def sgd(rate, **arguments):
    return lambda: keras.optimizers.SGD(rate, **arguments)


def adam(rate, **arguments):
    return lambda: keras.optimizers.Adam(rate, **arguments)


def functional(body, shape, optimizer="adam", **arguments):
    """Returns a model made by a function of its input."""

    def build():
        inputs = keras.Input(shape, dtype=arguments.get("dtype"))
        made = optimizer() if callable(optimizer) else optimizer
        compiling = {name: value for name, value in arguments.items() if name != "dtype"}
        return _compiled(keras.Model(inputs, body(inputs)), made, **compiling)

    return build


def _dense(units, activation=None, **arguments):
    return keras.layers.Dense(units, activation, **arguments)


def _residual(x, number):
    return keras.layers.Add()([x, _dense(32, "relu", name=f"block{number}")(x)])


def resnet(inputs):
    x = _dense(32, "relu", name="stem")(inputs)
    for number in range(8):
        x = _residual(x, number)
    return _dense(10, name="head")(x)


def cnn(inputs):
    x = inputs
    for number, filters in enumerate((8, 16, 16)):
        x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{number}")(x)
    return _dense(10, name="head")(keras.layers.GlobalAveragePooling2D()(x))


def cnn_with_norm(inputs):
    x = inputs
    for number, filters in enumerate((8, 16, 32)):
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = keras.layers.Activation("relu")(keras.layers.BatchNormalization()(x))
    return _dense(10, name="head")(keras.layers.Flatten()(x))


def transformer(inputs):
    x = keras.layers.Embedding(17, 16, name="tokens")(inputs)
    for number in range(2):
        attended = keras.layers.MultiHeadAttention(2, 8, name=f"attention{number}")(x, x)
        x = keras.layers.LayerNormalization()(x + attended)
        x = keras.layers.LayerNormalization()(x + _dense(16)(_dense(32, "gelu")(x)))
    return _dense(10, name="head")(keras.layers.GlobalAveragePooling1D()(x))


def two_branches(activations, depth):
    """Returns two parallel chains that meet in the last layer."""

    def body(inputs):
        ends = []
        for activation in activations:
            x = inputs
            for number in range(depth):
                x = _dense(16, activation, name=f"{activation}{number}")(x)
            ends.append(x)
        return _dense(10, name="head")(keras.layers.Concatenate()(ends))

    return body


def log_of_zero(y, p):
    """A cross-entropy as a beginner writes it: the logarithm of zero is minus infinity."""
    return -keras.ops.mean(keras.ops.log(keras.ops.relu(keras.ops.max(p, axis=-1) - 0.2)))


def number_wrong(y, p):
    """The number of errors as a loss, whose slope is zero everywhere."""
    is_right = keras.ops.equal(keras.ops.argmax(p, axis=-1), keras.ops.cast(keras.ops.squeeze(y), "int32"))
    return 1 - keras.ops.mean(keras.ops.cast(is_right, "float32")) + 0 * keras.ops.mean(p)


def _pretrain(model, x, y):
    rate = float(model.optimizer.learning_rate.numpy())
    start = [np.array(value) for value in model.optimizer.variables]
    model.optimizer.learning_rate = 3e-3
    model.fit(x, y, batch_size=BATCH_SIZE, epochs=25, verbose=0)
    for variable, value in zip(model.optimizer.variables, start, strict=True):
        variable.assign(value)
    model.optimizer.learning_rate = rate


def frozen():
    model = mlp(depth=4)()
    for layer in model.layers[:4]:
        layer.trainable = False
    return _compiled(model)


def credit(scenario):
    def build():
        from experiments import credit_card

        return credit_card.build_model(credit_card.Config(), scenario, 30)

    return build


def several_outputs():
    inputs = keras.Input((64,))
    x = _dense(32, "relu", name="shared1")(inputs)
    x = _dense(32, "relu", name="shared2")(x)
    outputs = [_dense(10, name="digit")(x), _dense(64, name="image")(x)]
    model = keras.Model(inputs, outputs)
    losses = [keras.losses.SparseCategoricalCrossentropy(from_logits=True), "mse"]
    model.compile("adam", losses, loss_weights=[1.0, 1e-3])
    return model


def both():
    x, y = digits()
    return x, [y, x]


def autoencoder():
    x, _ = digits()
    return x, x


def regression():
    """Returns the sum of the pixels, in units in which it is large."""
    x, _ = digits()
    return x, (x.sum(1) * 1000).astype(np.float32)


def yes_or_no(activation, loss="binary_crossentropy", hidden="relu", size=None):
    """Returns a network with one unit, of a table of 30 columns or of digits."""

    def build():
        layers = [
            _dense(32, hidden, name="hidden1"),
            _dense(32, hidden, name="hidden2"),
            _dense(1, activation, name="end"),
        ]
        return _compiled(keras.Sequential([keras.Input((columns,)), *layers]), "adam", loss)

    columns = size or 30
    return build


def to_number(activation, loss="mse"):
    """Returns a network with one unit that is to say a number."""

    def body(inputs):
        return _dense(1, activation, name="end")(_dense(32, "relu", name="hidden")(inputs))

    return functional(body, (64,), adam(3e-3), loss=loss, metrics=())


def to_classes(activation, from_logits, loss=None, optimizer=None):
    """Returns a network of ten classes."""

    def body(inputs):
        return _dense(10, activation, name="end")(_dense(32, "relu", name="hidden")(inputs))

    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    return functional(body, (64,), optimizer or adam(3e-3), loss=loss)


def _dense_head(inputs):
    return _dense(10, name="head")(inputs)


def labels_network(inputs):
    return _dense(10, "sigmoid", name="end")(_dense(32, "relu")(inputs))


def product_network(inputs):
    return _dense(1, "sigmoid", name="end")(_dense(8, "tanh")(_dense(8, "tanh")(inputs)))


def sums():
    """Returns the sum of the pixels, from 8 to 30."""
    x, _ = digits()
    return x, x.sum(1)


def centred():
    """Returns the same, around zero, with a deviation of 3."""
    x, y = sums()
    return x, (3 * (y - y.mean()) / y.std()).astype(np.float32)


def one_hot():
    x, y = digits()
    return x, np.eye(10, dtype=np.float32)[y]


def several_labels():
    """Returns which of ten pixels are dark."""
    x, _ = digits()
    return x, (x[:, 10:20] > 0.5).astype(np.float32)


def one_in_ten():
    """Returns which digits are nines."""
    x, y = digits()
    return x, (y == 9).astype(np.int64)


def product():
    """Returns two inputs and the sign of their product: the loss stands still at first."""
    x = np.random.default_rng(0).uniform(-1, 1, (640, 2)).astype(np.float32)
    return x, (x[:, 0] * x[:, 1] > 0).astype(np.int64)


def _schedule(kind):
    if kind == "cosine":
        return keras.optimizers.schedules.CosineDecay(3e-3, 150)
    return keras.optimizers.schedules.CosineDecay(0.0, 400, warmup_target=3e-3, warmup_steps=100)


VANISHING, EXPLODING, NONFINITE, DEAD, SATURATED = "GL101", "GL102", "GL103", "GL201", "GL202"
UPDATE, UNCHANGED, COLLAPSING, STUCK, ERRATIC = "GL301", "GL302", "GL303", "GL401", "GL402"
SOFTMAX_OF_ONE, TARGETS, UNITS, LABELS, LOGITS = "GL501", "GL502", "GL503", "GL504", "GL505"
NAN, INPUTS, NOT_FOR_CLASSES, LOSS, CONSTANT = "GL506", "GL507", "GL508", "GL512", "GL404"


SICK = [
    sick("sigmoid, 8 layers", mlp("sigmoid", 8, 16), VANISHING, STUCK),
    sick("sigmoid, 15 layers", mlp("sigmoid", 15, 32), VANISHING, f"{STUCK} {UNCHANGED}"),
    sick("tanh, small weights", mlp("tanh", 8, 32, sgd(0.1), 0.05), VANISHING, STUCK),
    sick("ReLU, tiny weights", mlp("relu", 7, 128, initializer=0.01), VANISHING, f"{DEAD} {STUCK} {UNCHANGED}"),
    sick("sigmoid branch beside a ReLU branch", functional(two_branches(("relu", "sigmoid"), 7), (64,)), VANISHING),
    sick("ReLU, weights of deviation 1", mlp("relu", 7, 128, sgd(0.01), 1.0), EXPLODING, f"{NONFINITE} {DEAD} {LOSS}"),
    sick(
        "ReLU, weights of deviation 0.3",
        mlp("relu", 7, 128, sgd(0.1), 0.3),
        EXPLODING,
        f"{NONFINITE} {DEAD} {STUCK} {LOSS}",
    ),
    # The weights that it begins with explode the gradient, or its own first steps do.
    sick(
        "learning rate 1000",
        mlp("tanh", 4, 32, sgd(1000.0)),
        EXPLODING,
        f"{SATURATED} {ERRATIC} {UPDATE} {STUCK} {UNCHANGED} {VANISHING}",
    ),
    sick(
        "Adam at 1",
        mlp("relu", 4, 32, adam(1.0)),
        UPDATE,
        f"{EXPLODING} {ERRATIC} {DEAD} {STUCK} {UNCHANGED} {VANISHING}",
    ),
    # It overflows before a second step is logged.
    sick(
        "SGD at 5 kills ReLU",
        mlp("relu", 5, 32, sgd(5.0)),
        f"{NONFINITE} {EXPLODING}",
        f"{DEAD} {STUCK} {ERRATIC} {UPDATE} {UNCHANGED}",
    ),
    sick("SGD at 1e-6", mlp("relu", 4, 32, sgd(1e-6)), UPDATE, f"{STUCK} {UNCHANGED}"),
    sick("Adam at 1e-7", mlp("relu", 4, 32, adam(1e-7)), UPDATE, STUCK),
    sick("learning rate 0", mlp("relu", 4, 32, sgd(0.0)), UNCHANGED, STUCK),
    sick("NaN in the data", mlp("relu", 3, 32), f"{NONFINITE} {NAN}", f"{EXPLODING} {DEAD} {STUCK}", data=with_nan),
    sick(
        "logarithm of zero",
        functional(lambda x: _dense(10, "softmax")(_dense(32, "relu")(x)), (64,), loss=log_of_zero),
        NONFINITE,
    ),
    sick(
        "inputs not scaled",
        mlp("sigmoid", 5, 32),
        INPUTS,
        f"{SATURATED} {VANISHING} {UNCHANGED} {STUCK}",
        data=lambda: (digits()[0] * 1e5, digits()[1]),
    ),
    sick(
        "biases of -10",
        mlp("relu", 4, 32, bias_initializer=keras.initializers.Constant(-10.0)),
        DEAD,
        f"{STUCK} {UNCHANGED}",
    ),
    sick(
        "one dead layer",
        mlp("relu", 4, 32, sgd(0.1), bias_initializer=keras.initializers.Constant(-30.0)),
        DEAD,
        f"{STUCK} {UNCHANGED}",
    ),
    sick(
        "regularizer too strong",
        mlp("relu", 4, 32, adam(0.01), kernel_regularizer=keras.regularizers.L2(1.0)),
        COLLAPSING,
        f"{VANISHING} {DEAD} {UPDATE} {STUCK}",
    ),
    sick(
        "weight decay too strong",
        mlp("relu", 4, 32, sgd(0.1, weight_decay=3.0)),
        COLLAPSING,
        f"{VANISHING} {UPDATE} {STUCK} {EXPLODING} {DEAD} {ERRATIC} {UNCHANGED}",
    ),
    sick(
        "a loss without a slope",
        functional(lambda x: _dense(10)(_dense(32, "relu")(_dense(32, "relu")(x))), (64,), loss=number_wrong),
        UNCHANGED,
        STUCK,
    ),
    sick(
        "momentum 0.99 at 1",
        mlp("tanh", 4, 32, sgd(1.0, momentum=0.99)),
        UPDATE,
        f"{ERRATIC} {EXPLODING} {STUCK} {SATURATED} {VANISHING} {UNCHANGED}",
    ),
    sick(
        "credit card: vanishing",
        credit("vanishing"),
        f"{VANISHING} {INPUTS}",
        f"{SATURATED} {UNCHANGED} {STUCK}",
        data=lambda: table(False),
    ),
    sick(
        "credit card: exploding",
        credit("exploding"),
        f"{EXPLODING} {INPUTS}",
        f"{UPDATE} {SATURATED} {UNCHANGED} {STUCK} {ERRATIC} {VANISHING}",
        data=lambda: table(False),
    ),
    # Penalties.
    sick(
        "sigmoid, 10 layers with L2",
        mlp("sigmoid", 10, 32, sgd(0.01), kernel_regularizer=keras.regularizers.L2(1e-4)),
        VANISHING,
        f"{STUCK} {UNCHANGED}",
    ),
    sick(
        "L1 too strong",
        mlp("relu", 4, 32, adam(0.01), kernel_regularizer=keras.regularizers.L1(0.1)),
        COLLAPSING,
        f"{VANISHING} {EXPLODING} {DEAD} {STUCK}",
    ),
    # Mistakes in the set-up; each has its mended version among the healthy ones.
    sick(
        "softmax over one unit", yes_or_no("softmax"), SOFTMAX_OF_ONE, f"{STUCK} {CONSTANT}", data=lambda: table(True)
    ),
    sick("sigmoid for sums of pixels", to_number("sigmoid"), TARGETS, f"{STUCK} {SATURATED} {VANISHING}", data=sums),
    sick("ReLU for numbers below zero", to_number("relu"), TARGETS, f"{DEAD} {STUCK} {UNCHANGED}", data=centred),
    sick("tanh for numbers beyond 1", to_number("tanh", "mae"), TARGETS, f"{STUCK} {SATURATED}", data=centred),
    sick(
        "one sigmoid unit for ten classes",
        yes_or_no("sigmoid", size=64),
        f"{UNITS} {LABELS}",
        f"{STUCK} {ERRATIC} {CONSTANT}",
    ),
    sick(
        "a categorical loss on one unit",
        yes_or_no("sigmoid", "categorical_crossentropy"),
        UNITS,
        f"{STUCK} {UNCHANGED} {NOT_FOR_CLASSES}",
        data=lambda: table(True),
    ),
    sick("logits taken for probabilities", to_classes(None, False), LOGITS, f"{STUCK} {ERRATIC} {DEAD} {CONSTANT}"),
    sick("softmax twice", to_classes("softmax", True, optimizer=sgd(0.05)), LOGITS, STUCK),
    sick(
        "raw table into tanh",
        yes_or_no("sigmoid", hidden="tanh"),
        INPUTS,
        f"{SATURATED} {STUCK} {UNCHANGED} {VANISHING} {UPDATE}",
        data=lambda: (100 * table(False)[0], table(False)[1]),
    ),
    # Steps.
    sick(
        "transformer, AdamW at 0.1",
        functional(transformer, (64,), lambda: keras.optimizers.AdamW(0.1), dtype="int32"),
        f"{UPDATE} {EXPLODING}",
        f"{VANISHING} {STUCK} {ERRATIC} {DEAD} {UNCHANGED}",
        data=tokens,
    ),
    sick(
        "convolutions, Adam at 0.3",
        functional(cnn, (8, 8, 1), adam(0.3)),
        f"{UPDATE} {EXPLODING}",
        f"{DEAD} {STUCK} {ERRATIC} {VANISHING} {UNCHANGED}",
        data=images,
    ),
    sick(
        "RMSprop at 0.5",
        mlp("relu", 3, 32, lambda: keras.optimizers.RMSprop(0.5)),
        f"{UPDATE} {EXPLODING}",
        f"{DEAD} {STUCK} {ERRATIC} {VANISHING} {UNCHANGED}",
    ),
    sick(
        "Adagrad at 1",
        mlp("tanh", 2, 32, lambda: keras.optimizers.Adagrad(1.0)),
        UPDATE,
        f"{EXPLODING} {VANISHING} {SATURATED} {STUCK} {ERRATIC} {UNCHANGED}",
    ),
    sick(
        "convolutions, SGD at 1e-7", functional(cnn, (8, 8, 1), sgd(1e-7)), UPDATE, f"{STUCK} {UNCHANGED}", data=images
    ),
    sick(
        "LSTM, SGD at 30",
        functional(lambda x: _dense(10, name="head")(keras.layers.LSTM(32)(x)), (8, 8), sgd(30.0)),
        f"{UPDATE} {EXPLODING}",
        f"{STUCK} {ERRATIC} {SATURATED} {VANISHING} {UNCHANGED}",
        data=rows,
    ),
    sick(
        "regression in large units, SGD",
        functional(lambda x: _dense(1)(_dense(32, "relu")(x)), (64,), sgd(0.01), loss="mse", metrics=()),
        f"{UPDATE} {EXPLODING} {NONFINITE}",
        f"{DEAD} {STUCK} {ERRATIC} {LOSS}",
        data=regression,
    ),
]
HEALTHY = [
    Case("ReLU", mlp("relu")),
    Case("tanh", mlp("tanh", 5)),
    Case("leaky ReLU", mlp("leaky_relu", 6)),
    Case("ELU, 8 layers", mlp("elu", 8)),
    Case("SELU, 10 layers", mlp("selu", 10, initializer="lecun_normal")),
    Case("sigmoid, 2 layers", mlp("sigmoid", 2, optimizer=adam(0.01))),
    Case("batch normalization, 10 sigmoid layers", mlp("sigmoid", 10, between=keras.layers.BatchNormalization)),
    Case("dropout", mlp("relu", 3, 64, between=lambda: keras.layers.Dropout(0.3))),
    Case("SGD with momentum", mlp("relu", 3, 32, sgd(0.05, momentum=0.9))),
    Case("SGD, slow", mlp("relu", 3, 32, sgd(0.02))),
    Case("clipped", mlp("relu", 4, 32, sgd(0.1, global_clipnorm=1.0))),
    Case("gradient accumulation", mlp("relu", 3, 32, adam(3e-3, gradient_accumulation_steps=4)), every=4, epochs=6),
    Case("exponential moving average", mlp("relu", 3, 32, adam(3e-3, use_ema=True))),
    Case("weight decay", mlp("relu", 3, 32, lambda: keras.optimizers.AdamW(3e-3, weight_decay=0.01))),
    Case(
        "loss scaling that skips the first steps",
        mlp(
            "relu",
            3,
            32,
            lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(3e-3), 2.0**24),
            dtype="mixed_float16",
        ),
    ),
    Case("residual", functional(resnet, (64,))),
    Case("convolutions", functional(cnn, (8, 8, 1), adam(3e-3)), data=images),
    Case("convolutions with normalization", functional(cnn_with_norm, (8, 8, 1)), data=images),
    Case("two branches", functional(two_branches(("relu", "tanh"), 3), (64,))),
    Case(
        "LSTM",
        functional(lambda x: _dense(10, name="head")(keras.layers.LSTM(32)(x)), (8, 8), adam(3e-3)),
        data=rows,
    ),
    Case("GRU", functional(lambda x: _dense(10, name="head")(keras.layers.GRU(32)(x)), (8, 8), adam(3e-3)), data=rows),
    Case("transformer", functional(transformer, (64,), adam(3e-3), dtype="int32"), data=tokens),
    Case(
        "sparse embedding",
        functional(
            lambda x: _dense(10, name="head")(keras.layers.Flatten()(keras.layers.Embedding(5000, 8)(x))),
            (64,),
            dtype="int32",
        ),
        data=tokens,
    ),
    Case("converged", mlp("relu", 3, 64, adam(3e-3)), every=50, epochs=40),
    Case("cosine decay to zero", mlp("relu", 3, 32, lambda: keras.optimizers.Adam(_schedule("cosine")))),
    Case("warm-up", mlp("relu", 3, 32, lambda: keras.optimizers.Adam(_schedule("warm-up"))), epochs=6),
    Case("frozen lower layers", frozen),
    Case("fine-tuning", mlp("relu", 3, 32, adam(1e-5)), prepare=_pretrain),
    # Logged often: from a loss near zero, a batch with one mistake is many times as large.
    Case("fine-tuning, every second step", mlp("relu", 3, 32, adam(1e-5)), every=2, prepare=_pretrain),
    Case("several outputs", several_outputs, data=both),
    Case(
        "autoencoder",
        functional(lambda x: _dense(64)(_dense(8, "tanh")(_dense(32, "relu")(x))), (64,), loss="mse", metrics=()),
        data=autoencoder,
    ),
    Case(
        "regression in large units",
        functional(
            lambda x: _dense(1)(_dense(32, "relu")(_dense(32, "relu")(x))), (64,), adam(0.01), loss="mse", metrics=()
        ),
        data=regression,
    ),
    # The mended versions of mistakes in the set-up.
    Case("one sigmoid unit", yes_or_no("sigmoid"), data=lambda: table(True)),
    Case("numbers from a linear unit", to_number(None), data=sums),
    Case("numbers above zero from ReLU", to_number("relu"), data=sums),
    Case("numbers around zero", to_number(None, "mae"), data=centred),
    Case("softmax over ten classes", to_classes("softmax", False)),
    Case("logits that the loss knows of", to_classes(None, True)),
    Case("one-hot rows under squared error", to_classes("softmax", False, "mse"), data=one_hot),
    Case("scaled table into tanh", yes_or_no("sigmoid", hidden="tanh"), data=lambda: table(True)),
    # Penalties.
    Case("L2 of 1e-3", mlp("relu", 4, 32, adam(3e-3), kernel_regularizer=keras.regularizers.L2(1e-3))),
    Case("L1 of 1e-4", mlp("relu", 3, 32, adam(3e-3), kernel_regularizer=keras.regularizers.L1(1e-4))),
    Case("L1 and L2", mlp("tanh", 3, 32, adam(3e-3), kernel_regularizer=keras.regularizers.L1L2(1e-5, 1e-4))),
    Case("a penalty on activations", mlp("relu", 3, 32, adam(3e-3), activity_regularizer=keras.regularizers.L2(1e-3))),
    # Slow starters and large first steps.
    Case("a product's sign", functional(product_network, (2,), loss="binary_crossentropy"), data=product, epochs=30),
    Case("Adagrad at 0.1", mlp("relu", 3, 32, lambda: keras.optimizers.Adagrad(0.1))),
    Case("Adagrad at 0.2", mlp("tanh", 2, 32, lambda: keras.optimizers.Adagrad(0.2))),
    Case("Adagrad at 0.5, one layer", functional(_dense_head, (64,), lambda: keras.optimizers.Adagrad(0.5))),
    # Other optimizers, layers and data.
    Case("Lion", mlp("relu", 3, 32, lambda: keras.optimizers.Lion(3e-4))),
    Case("RMSprop", mlp("relu", 3, 32, lambda: keras.optimizers.RMSprop(1e-3))),
    Case("GELU and layer normalization", mlp("gelu", 4, 32, adam(3e-3), between=keras.layers.LayerNormalization)),
    Case(
        "transformer with AdamW and a warm-up",
        functional(
            transformer,
            (64,),
            lambda: keras.optimizers.AdamW(_schedule("warm-up"), weight_decay=0.01, global_clipnorm=1.0),
            dtype="int32",
        ),
        data=tokens,
        epochs=6,
    ),
    Case("pixels from 0 to 16", mlp("relu", 3, 32), data=lambda: (digits()[0] * 16, digits()[1])),
    Case("several labels at once", functional(labels_network, (64,), loss="binary_crossentropy"), data=several_labels),
    Case("one in ten is a yes", yes_or_no("sigmoid", size=64), data=one_in_ten),
    Case("credit card: vanishing_fixed", credit("vanishing_fixed"), data=lambda: table(True)),
    Case("credit card: exploding_fixed", credit("exploding_fixed"), data=lambda: table(True)),
]
SICK += SICK_TRANSFORMERS
HEALTHY += HEALTHY_TRANSFORMERS
CASES = SICK + HEALTHY
