"""The sick networks that `experiments.repair` repairs, each with its data."""

from typing import NamedTuple

import keras
import numpy as np

from experiments import credit_card, credit_data, credit_split, mnist_activations, remedies, remedy_memory

BASES = ("vanishing/sigmoid", "initialization/small_weights", "exploding/large_weights", "recurrent/simple_rnn")
CREDIT = ("vanishing", "exploding")
NAMES = ("mnist/sigmoid", *(f"credit_card/{name}" for name in CREDIT), *BASES)


class Sick(NamedTuple):
    """A network that does not learn.

    Attributes:
        model: A compiled Keras model.
        x: Array [n, ...] to train with.
        y: Integer array [n].
        held_out: Pair of arrays, to compare trainings by.
        batch_size: Integer.
        epochs: Integer.
    """

    model: keras.Model
    x: np.ndarray
    y: np.ndarray
    held_out: tuple
    batch_size: int
    epochs: int


def build(name, config, digits, applicants):
    """Returns one of `NAMES`, with weights from the seed of the `Config` of `experiments.repair`."""
    keras.utils.set_random_seed(config.seed)
    if name.startswith("credit_card/"):
        return _of_people(name.removeprefix("credit_card/"), config, applicants)
    part, held_out = _parts(config, digits)
    if name == "mnist/sigmoid":
        settings = mnist_activations.Config()
        model = mnist_activations.build_model(settings, "sigmoid")
        return Sick(model, *part, held_out, settings.batch_size, config.epochs)
    settings = remedies.Config()
    model = remedies.build_model(settings, name)
    if name.startswith("recurrent/"):
        part, held_out = (tuple(map(np.asarray, remedy_memory.sequences(*_even(each)))) for each in (part, held_out))
    return Sick(model, *part, held_out, settings.batch_size, config.epochs)


def _of_people(scenario, config, applicants):
    """Returns a credit-card network; rows are held out as in the article, copies of one person on both sides."""
    settings = credit_card.Config()
    split = credit_split.split(applicants, config.seed)
    model = credit_card.build_model(settings, scenario, split.x_train.shape[1])
    held_out = split.x_test, split.y_test
    return Sick(model, split.x_train, split.y_train, held_out, settings.batch_size, config.credit_epochs)


def _parts(config, digits):
    """Returns digits to train with and others that are held out, all of the training set, in another order."""
    order = np.random.default_rng(config.seed).permutation(len(digits.y_train))
    number = min(config.rows, len(order) * 3 // 4)
    parts = order[:number], order[number : number + config.held_out]
    return tuple((digits.x_train[part].astype(np.float32) / 255, digits.y_train[part]) for part in parts)


def _even(part):
    number = len(part[1]) // remedy_memory.DIGITS * remedy_memory.DIGITS
    return tuple(one[:number] for one in part)


def load(config):
    """Returns digits and applicants.

    Raises:
        DataError: What was asked for cannot be had.
    """
    from experiments import data

    return data.load_mnist(config.data, config.data_dir), credit_data.load(config.credit_data, config.csv_dir)
