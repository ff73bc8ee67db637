"""Runs made up for the rules, number by number: a healthy one, and what is changed of it."""

import numpy as np

import gradlog
from gradlog.history.history import Series, Snapshot

COLUMNS = (
    "gradient_mean_abs",
    "gradient_norm",
    "gradient_zero_fraction",
    "gradient_nonfinite",
    "weight_norm",
    "update_ratio",
)
OF_SOME_OPTIMIZERS = ("second_moment_ratio", "epsilon_fraction")  # columns that stand only where they are given
EVERY = 10


def run(steps=20, layers=5, loss=None, accuracy=None, biases=True, **changes):
    """Returns a `History` of a network that learns, with changes.

    Args:
        steps: Logged steps, T.
        layers: Dense layers.
        loss: Array [T]; falls from 2.3 to 0.3 by default.
        accuracy: Array [T], or `None` for none.
        biases: Whether the layers have biases.
        changes: By column, or `bias_` and a column: an array that broadcasts to [T, layers].
    """
    names = [f"layer{number}/{kind}" for number in range(1, layers + 1) for kind in ("kernel", "bias")[: 1 + biases]]
    healthy = {
        "gradient_mean_abs": 1e-2,
        "gradient_norm": 0.3,
        "gradient_zero_fraction": 0.1,
        "gradient_nonfinite": 0,
        "weight_norm": 5.0,
        "update_ratio": 1e-3,
    }
    columns = (*COLUMNS, *(name for name in OF_SOME_OPTIMIZERS if name in changes))
    table = np.zeros((steps, len(names), len(columns)), np.float32)
    for column, name in enumerate(columns):
        for kind in range(1 + biases):
            value = changes.get(f"bias_{name}" if kind else name, healthy.get(name, 0))
            table[:, kind :: 1 + biases, column] = np.broadcast_to(np.asarray(value, float), (steps, layers))
    at = np.arange(steps) * EVERY
    loss = np.linspace(2.3, 0.3, steps) if loss is None else np.broadcast_to(loss, steps)
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt((table[:, :, 1].astype(float) ** 2).sum(1))
    scalars = {"train/loss": loss, "gradient_norm/global": changes.get("norm", norms)}
    if accuracy is not None:
        scalars["train/accuracy"] = accuracy
    scalars |= {name: value for name, value in changes.items() if "/" in name}
    series = {tag: Series(at, np.broadcast_to(values, steps).astype(np.float32)) for tag, values in scalars.items()}
    return gradlog.History(tuple(names), columns, at, table, series)


def snapshots(history):
    """Returns the snapshots that a history was made of."""
    return [
        Snapshot(
            step=int(step),
            variables=history.variables,
            columns=history.columns,
            statistics=history.statistics[index],
            scalars={tag: float(series.values[index]) for tag, series in history.scalars.items()},
        )
        for index, step in enumerate(history.steps)
    ]


def settled():
    """Returns a run whose steps are large at first: what one should know of it is a note."""
    return run(update_ratio=during(0.5, 1e-3, 0, 6))


def flat(steps=20, loss=2.3):
    """Returns a loss that does not fall."""
    return np.full(steps, loss)


def during(value, other, start, end, steps=20):
    """Returns an array [T, 1] that is `value` in the logged steps from `start` up to `end`, and `other` elsewhere."""
    at = np.arange(steps)
    return np.where((at >= start) & (at < end), value, other)[:, None]


def found(history, rules=None):
    """Returns (code, first step, last step) of every finding, worst first."""
    return [(one.code, one.first_step, one.last_step) for one in gradlog.diagnose(history, rules)]
