"""The faults of `experiments.drawn_networks`: each a function of a recipe and a source of random numbers.

It returns the recipe with the fault, or `None` where it does not fit. The groups are those of the studies of faulty
training programs (Humbatova et al. 2020; DeepFD, Cao et al. 2022; AutoTrainer, Zhang et al. 2021).
"""

from experiments.drawn_networks import CLASSES, NUMBER, YES_OR_NO


def _between(random, least, most):
    """Returns a number between two others, of two significant digits, drawn on a logarithmic scale."""
    return float(f"{least * (most / least) ** random.random():.2g}")


def _plain(recipe, **changed):
    """Returns a recipe changed, unless it is recurrent."""
    return None if recipe.kind == "recurrent" else recipe.changed(**changed)


def _of(task):
    """Returns a decorator: the fault fits networks of one task."""

    def decorated(fault):
        return lambda recipe, random: fault(recipe, random) if recipe.task == task else None

    return decorated


DEPTH = {
    "deep, sigmoid": lambda r, random: _plain(r, activation="sigmoid", depth=int(random.integers(6, 13))),
    "deep, tanh, small weights": lambda r, random: _plain(
        r, activation="tanh", depth=int(random.integers(6, 11)), initializer=_between(random, 0.02, 0.08)
    ),
    "deep, plain SGD": lambda r, random: _plain(
        r, depth=int(random.integers(12, 21)), optimizer="SGD", rate=0.01, settings=()
    ),
    "narrow first layer": lambda r, random: r.changed(bottleneck=1, depth=max(2, r.depth)),
}
ACTIVATION = {
    "no activation": lambda r, random: _plain(r, activation="linear"),
    "softmax in hidden layers": lambda r, random: _plain(r, activation="softmax", depth=max(3, r.depth)),
    "exponential in hidden layers": lambda r, random: _plain(r, activation="exponential"),
}
WEIGHTS = {
    "weights of zero": lambda r, random: r.changed(initializer="zeros"),
    "weights of one": lambda r, random: r.changed(initializer="ones"),
    "weights too large": lambda r, random: r.changed(initializer=_between(random, 1, 10)),
    "weights too small": lambda r, random: r.changed(initializer=_between(random, 1e-4, 1e-2)),
    "biases far below zero": lambda r, random: _plain(r, activation="relu", bias=-_between(random, 5, 50)),
}
STEPS = {
    "learning rate too large": lambda r, random: r.changed(rate=r.rate * _between(random, 100, 3000)),
    "learning rate too small": lambda r, random: r.changed(rate=r.rate / _between(random, 1e3, 1e5)),
    "Adadelta at its default": lambda r, random: r.changed(optimizer="Adadelta", rate=0.001, settings=()),
    "Adagrad at its default": lambda r, random: r.changed(optimizer="Adagrad", rate=0.001, settings=()),
    "plain SGD, slow": lambda r, random: r.changed(optimizer="SGD", rate=_between(random, 1e-5, 1e-3), settings=()),
    "momentum 0.99": lambda r, random: r.changed(
        optimizer="SGD", rate=_between(random, 0.5, 5), settings=(("momentum", 0.99),)
    ),
    "RMSprop, too large": lambda r, random: r.changed(optimizer="RMSprop", rate=_between(random, 0.1, 3), settings=()),
    "clipped to almost nothing": lambda r, random: r.changed(
        optimizer="SGD", rate=0.01, settings=(("clipnorm", _between(random, 1e-6, 1e-3)),)
    ),
    "batches too large": lambda r, random: r.changed(batch_size=4096),
}
PENALTY = {
    "L2 too strong": lambda r, random: r.changed(penalty=_between(random, 0.3, 10)),
    "weight decay too strong": lambda r, random: r.changed(
        optimizer="AdamW", rate=3e-3, settings=(("weight_decay", _between(random, 10, 100)),)
    ),
    "too much dropout": lambda r, random: r.changed(dropout=_between(random, 0.9, 0.98)),
}
OUTPUT = {
    "softmax of one unit": _of(YES_OR_NO)(lambda r, random: r.changed(activation_out="softmax")),
    "tanh with a cross-entropy": _of(YES_OR_NO)(lambda r, random: r.changed(activation_out="tanh")),
    "linear with a cross-entropy": lambda r, random: None if r.task == NUMBER else r.changed(activation_out="linear"),
    "ReLU with a cross-entropy": lambda r, random: None if r.task == NUMBER else r.changed(activation_out="relu"),
    "softmax twice": _of(CLASSES)(lambda r, random: r.changed(from_logits=True)),
    "one unit for the class number": _of(CLASSES)(
        lambda r, random: r.changed(
            units_out=1, activation_out=str(random.choice(["sigmoid", "softmax", "relu"])), loss="mean_squared_error"
        )
    ),
    "squared error of class numbers": _of(CLASSES)(lambda r, random: r.changed(loss="mean_squared_error")),
    "a unit too few": _of(CLASSES)(lambda r, random: r.changed(units_out=r.units_out - 1)),
    "hinge": _of(YES_OR_NO)(lambda r, random: r.changed(loss="hinge")),
    "categorical loss of one unit": _of(YES_OR_NO)(lambda r, random: r.changed(loss="categorical_crossentropy")),
    "sigmoid for numbers": _of(NUMBER)(lambda r, random: r.changed(activation_out="sigmoid")),
    "ReLU for numbers": _of(NUMBER)(lambda r, random: r.changed(activation_out="relu")),
    "softmax for numbers": _of(NUMBER)(lambda r, random: r.changed(activation_out="softmax")),
    "a cross-entropy for numbers": _of(NUMBER)(
        lambda r, random: r.changed(activation_out="sigmoid", loss="binary_crossentropy")
    ),
    "labels that begin at one": lambda r, random: None if r.task == NUMBER else r.changed(target_offset=1),
}
DATA = {
    "inputs far too large": lambda r, random: r.changed(scale=_between(random, 100, 1e5)),
    "inputs far from zero": lambda r, random: r.changed(offset=_between(random, 100, 1e4)),
    "inputs far too small": lambda r, random: r.changed(scale=_between(random, 1e-5, 1e-3)),
    "targets far too large": _of(NUMBER)(lambda r, random: r.changed(target_scale=_between(random, 1e3, 1e6))),
    "targets far from zero": _of(NUMBER)(lambda r, random: r.changed(target_offset=_between(random, 100, 1e4))),
    "NaN in some rows": lambda r, random: r.changed(missing=0.02),
}
FAULTS = {
    "depth": DEPTH,
    "activation": ACTIVATION,
    "weights": WEIGHTS,
    "steps": STEPS,
    "penalty": PENALTY,
    "output": OUTPUT,
    "data": DATA,
}
