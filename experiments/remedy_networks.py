"""The deep networks of the remedies: three that suffer, and what each remedy changes of them, one thing at a time."""

from dataclasses import dataclass, field, replace

import keras

_FEWEST_LAYERS = 3  # input, one hidden, output
GATE_BIAS = -2.0  # of a highway layer, so that it starts by passing its input on (Srivastava et al. 2015, section 2)


@dataclass(frozen=True)
class Network:
    """A chain of dense layers and how it is trained; what a remedy changes is a field of this.

    Attributes:
        activation: Name of a Keras activation, or `"prelu"`.
        initializer: Name of a Keras initializer, or a number: the deviation of normal weights.
        depth: Number of layers, as a fraction of what the experiment asks for.
        connection: `"plain"`; `"skip"` adds a layer's input to its output; `"highway"` mixes them by a learned gate.
        batch_normalization: Whether the sums are normalized before the activation.
        max_norm: Largest norm of a unit's weights, or `None`.
        optimizer: Name of a Keras optimizer.
        learning_rate: Its learning rate.
        clipping: Dictionary of the optimizer's clipping argument, such as `{"clipnorm": 1.0}`.
        is_pretrained: Whether the layers are trained one after another first.
    """

    activation: str = "sigmoid"
    initializer: str | float = "glorot_uniform"
    depth: float = 1.0
    connection: str = "plain"
    batch_normalization: bool = False
    max_norm: float | None = None
    optimizer: str = "adam"
    learning_rate: float = 0.001
    clipping: dict = field(default_factory=dict)
    is_pretrained: bool = False


VANISHING = Network()
SMALL_WEIGHTS = Network(activation="relu", initializer=0.05)
EXPLODING = Network(activation="relu", initializer=0.35, optimizer="sgd", learning_rate=0.1)

# Each: what it is, in words, and the network. The first of a family is the one that suffers.
FAMILIES = {
    "vanishing": {
        "sigmoid": ("the base: sigmoid, Glorot's weights", VANISHING),
        "tanh": ("tanh", replace(VANISHING, activation="tanh")),
        "relu": ("ReLU", replace(VANISHING, activation="relu")),
        "leaky_relu": ("leaky ReLU, slope 0.2", replace(VANISHING, activation="leaky_relu")),
        "prelu": ("PReLU, its slopes learned", replace(VANISHING, activation="prelu")),
        "elu": ("ELU", replace(VANISHING, activation="elu")),
        "selu": ("SELU", replace(VANISHING, activation="selu")),
        "selu_lecun": (
            "SELU with LeCun's weights, for which it is made",
            replace(VANISHING, activation="selu", initializer="lecun_normal"),
        ),
        "swish": ("Swish", replace(VANISHING, activation="swish")),
        "gelu": ("GELU", replace(VANISHING, activation="gelu")),
        "he": ("sigmoid with He's weights", replace(VANISHING, initializer="he_normal")),
        "lecun": ("sigmoid with LeCun's weights", replace(VANISHING, initializer="lecun_normal")),
        "batch_norm": ("batch normalization before the sigmoid", replace(VANISHING, batch_normalization=True)),
        "skip": ("a residual network of the same depth", replace(VANISHING, connection="skip")),
        "highway": ("a highway network: gates of the same depth", replace(VANISHING, connection="highway")),
        "fewer_layers": ("two fifths of the layers", replace(VANISHING, depth=0.4)),
        "pretraining": ("greedy training, layer by layer, first", replace(VANISHING, is_pretrained=True)),
    },
    "initialization": {
        "small_weights": ("the base: ReLU, normal weights of deviation 0.05", SMALL_WEIGHTS),
        "glorot": ("Glorot's weights", replace(SMALL_WEIGHTS, initializer="glorot_uniform")),
        "he": ("He's weights, made for ReLU", replace(SMALL_WEIGHTS, initializer="he_normal")),
        "lecun": ("LeCun's weights", replace(SMALL_WEIGHTS, initializer="lecun_normal")),
    },
    "exploding": {
        "large_weights": ("the base: ReLU, normal weights of deviation 0.35, SGD at 0.1", EXPLODING),
        "clipnorm": ("each gradient clipped to norm 1", replace(EXPLODING, clipping={"clipnorm": 1.0})),
        "clipvalue": ("each element clipped to 0.5", replace(EXPLODING, clipping={"clipvalue": 0.5})),
        "global_clipnorm": ("all gradients clipped to norm 1", replace(EXPLODING, clipping={"global_clipnorm": 1.0})),
        "glorot": ("Glorot's weights", replace(EXPLODING, initializer="glorot_uniform")),
        "batch_norm": ("batch normalization before the ReLU", replace(EXPLODING, batch_normalization=True)),
        "max_norm": ("a unit's weights kept to norm 1", replace(EXPLODING, max_norm=1.0)),
        "lower_rate": ("a tenth of the learning rate", replace(EXPLODING, learning_rate=0.01)),
    },
}


def build_model(config, network, name):
    """Returns the compiled network; its dense layers are `layer1`, `layer2`, …, the last is linear."""
    hidden = num_hidden(config, network)
    x = inputs = keras.Input((784,))
    for number in range(1, hidden + 1):
        x = _layer(config, network, number, x)
    outputs = _dense(network, 10, f"layer{hidden + 1}")(x)
    model = keras.Model(inputs, outputs, name=name)
    _compile(model, make_optimizer(network))
    return model


def make_optimizer(network):
    """Returns the optimizer of a network, which clips where the network says so."""
    optimizer = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[network.optimizer]
    return optimizer(network.learning_rate, **network.clipping)


def pretrain(config, model, dataset, callbacks):
    """Trains the hidden layers one after another, each under an output of its own that is then thrown away.

    The gradient passes only one hidden layer each time (supervised and greedy: Bengio et al. 2007, section 5). The
    layers below stay as they are. Each layer gets a fifth of the steps of the training itself.
    """
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)][:-1]
    inputs = x = model.inputs[0]
    for layer in layers:
        x = keras.layers.Activation("sigmoid")(layer(x))
        single = keras.Model(inputs, keras.layers.Dense(10)(x))
        _compile(single, keras.optimizers.Adam(0.003))
        single.fit(dataset, steps_per_epoch=pretraining_steps(config), shuffle=False, verbose=0, callbacks=callbacks)
        layer.trainable = False
    for layer in layers:
        layer.trainable = True
    _compile(model, model.optimizer.__class__.from_config(model.optimizer.get_config()))


def pretraining_steps(config):
    """Returns the steps that greedy training takes for a layer."""
    return max(1, config.steps // 5)


def num_hidden(config, network):
    """Returns the number of hidden layers."""
    return max(_FEWEST_LAYERS, round(config.layers * network.depth)) - 2


def _layer(config, network, number, x):
    sums = _dense(network, config.units, f"layer{number}")(x)
    if network.batch_normalization:
        sums = keras.layers.BatchNormalization(name=f"norm{number}")(sums)
    is_prelu = network.activation == "prelu"
    y = (keras.layers.PReLU(name=f"prelu{number}") if is_prelu else keras.layers.Activation(network.activation))(sums)
    if number == 1 or network.connection == "plain":  # the first layer's input is of another size
        return y
    if network.connection == "skip":
        return keras.layers.Add()([x, y])
    bias = keras.initializers.Constant(GATE_BIAS)
    gate = keras.layers.Dense(config.units, "sigmoid", bias_initializer=bias, name=f"gate{number}")(x)
    return x + gate * (y - x)


def _dense(network, units, name):
    initializer = network.initializer
    if isinstance(initializer, float):
        initializer = keras.initializers.RandomNormal(0.0, initializer)
    constraint = keras.constraints.MaxNorm(network.max_norm) if network.max_norm else None
    return keras.layers.Dense(units, kernel_initializer=initializer, kernel_constraint=constraint, name=name)


def _compile(model, optimizer):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
