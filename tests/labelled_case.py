"""One labelled network, how it is trained, and what is kept of it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from sklearn.datasets import load_digits

import gradlog
from gradlog.history.history import Series
from gradlog.writers import MemoryWriter

LOGGED_STEPS = 20  # within which what is wrong is to be said
BATCH_SIZE = 32


@functools.cache
def digits():
    """Returns 1,797 digits of 8 x 8, float32 [n, 64] in [0, 1], and labels."""
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y.astype(np.int64)


@dataclass(frozen=True)
class Case:
    """One network.

    Attributes:
        name: String.
        build: Function that returns a compiled model.
        codes: Of what is found, one of these has to stand first; none, where the network is healthy.
        also: What may be found beside.
        data: Function that returns x and y.
        every: Steps from one logged step to the next.
        epochs: Passes through the data.
        fit: Further arguments of `fit`.
        prepare: Function of the model and the data, called before the training that is logged.
        probe: Rows of the data that the logger looks at the activations with, and at the optimizer's state; 0 for none.
    """

    name: str
    build: Callable
    codes: frozenset = frozenset()
    also: frozenset = frozenset()
    data: Callable = digits
    every: int = 8
    epochs: int = 4
    prepare: Callable | None = None
    probe: int = 0


def sick(name, build, codes, also="", epochs=3, **arguments):
    """Returns a case that is trained for a little more than the logged steps that count: 160 steps, 3 epochs."""
    return Case(name, build, frozenset(codes.split()), frozenset(also.split()), epochs=epochs, **arguments)


class _Exchangeable:
    """A writer that hands on to another, which can be exchanged between two trainings."""

    def __init__(self):
        self.target = MemoryWriter()

    def __getattr__(self, name):
        return getattr(self.target, name)


def histories(case, seeds, log_dir):
    """Yields a `History` a seed. The model is compiled once; weights, optimizer and order are set anew."""
    writer = _Exchangeable()
    x, y = case.data()
    looked_at = {"activations": x[: case.probe], "optimizer_state": True} if case.probe else {}
    logger = gradlog.GradientLogger(log_dir, every=case.every, on_finding="ignore", writers=[writer], **looked_at)
    model = None
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        fresh = case.build()
        if model is None:
            model = fresh
            model.optimizer.build(model.trainable_variables)
            start = [np.array(value) for value in model.optimizer.variables]
        else:
            model.set_weights(fresh.get_weights())
            for variable, value in zip(model.optimizer.variables, start, strict=True):
                variable.assign(value)
        if case.prepare:
            case.prepare(model, x, y)
        writer.target = MemoryWriter()
        model.fit(x, y, batch_size=BATCH_SIZE, epochs=case.epochs, verbose=0, callbacks=[logger])
        yield writer.target.history()


def first_steps(history, number=LOGGED_STEPS):
    """Returns a history as it was after its first logged steps."""
    steps = history.steps[:number]
    scalars = {
        tag: Series(series.steps[series.steps <= steps[-1]], series.values[series.steps <= steps[-1]])
        for tag, series in history.scalars.items()
    }
    columns, statistics = history.columns, history.statistics[:number]
    return gradlog.History(history.variables, columns, steps, statistics, scalars, texts=history.texts)
