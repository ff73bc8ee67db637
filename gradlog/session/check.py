"""Check: finds mistakes in how a training is set up, before its first step."""

import itertools

import keras
import numpy as np

from gradlog.diagnosis.checks.setup import Setup
from gradlog.diagnosis.checks.table import CHECKS
from gradlog.diagnosis.finding import Finding
from gradlog.session.describe import by_output, layers, outputs

_MAX_ROWS, _MAX_BATCHES = 10_000, 32  # that are looked at


def check(model: keras.Model, x, y=None) -> list[Finding]:
    """Finds mistakes in the set-up of a training: outputs, loss and targets that do not fit each other, unusable data.

    It reads how the model is compiled and looks at the first rows of the data, up to 10,000. It computes nothing with
    the model, and changes neither the model nor any random state; but a dataset that is shuffled anew at every
    iteration goes on to its next order. What it cannot know, as the activation of a subclassed model's output, it
    does not judge.

    Args:
        model: A compiled Keras model.
        x: Array, tensor, or a list, tuple or dictionary of them: the inputs. Or a `tf.data.Dataset` or another iterable
            that can be iterated anew, of batches (inputs, targets); the first 32 are looked at.
        y: The targets, like `x`; `None` if `x` has them.

    Returns:
        A list of `Finding`, worst first; empty if no mistake was found.

    Raises:
        TypeError: `model` is not a Keras model, or the data are not arrays, structures of arrays, or batches.
        ValueError: The model is not compiled.

    Example:
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "softmax", name="output")])
    >>> model.compile("adam", "binary_crossentropy")
    >>> for finding in check(model, np.zeros((8, 4)), np.array([0, 1] * 4)):
    ...     print(finding.title)
    GL501 alarm · softmax over one unit · output · from the start
    """
    if not hasattr(model, "layers") or not hasattr(model, "compile"):
        raise TypeError(f"Expected a Keras model. Received: {model!r}")
    if getattr(model, "loss", None) is None:
        raise ValueError(
            "The model has no loss to check. Expected a compiled model; call `model.compile(optimizer=..., loss=...)` "
            f"first. Received: {model.name!r}"
        )
    try:
        rows = _first_rows(x, y)
    except (TypeError, IndexError, ValueError) as error:
        raise TypeError(
            "Expected arrays, or a list, tuple or dictionary of them, or a dataset of batches (inputs, targets). "
            f"Received: x of type {type(x).__name__}, y of type {type(y).__name__} ({error})"
        ) from error
    setup = setup_of(model, *rows)
    found = [finding for one in CHECKS for finding in one.findings(setup)]
    return sorted(found, key=lambda finding: finding.rank)


def setup_of(model: keras.Model, inputs=None, targets=None) -> Setup:
    """Returns the `Setup` of a compiled model, with its first inputs and targets."""
    found = outputs(model, model.loss)
    arrays = [None if one is None else np.asarray(one) for one in by_output(model, targets, len(found))]
    of_inputs = tuple(np.asarray(one) for one in keras.tree.flatten(inputs) if one is not None)
    return Setup.of(found, arrays, of_inputs, layers(model))


# The data.


def _first_rows(x, y):
    """Returns the first inputs and targets, as NumPy arrays in the structures that they came in."""
    if y is not None or hasattr(x, "shape") or isinstance(x, (list, tuple, dict)):
        return _rows(x), _rows(y)
    batches = [batch for batch in itertools.islice(iter(x), _MAX_BATCHES) if isinstance(batch, (tuple, list))]
    parts = [[batch[index] for batch in batches if len(batch) > index] for index in (0, 1)]
    return tuple(_joined(part) if part else None for part in parts)


def _rows(values):
    if isinstance(values, (list, tuple)) and all(np.ndim(value) == 0 for value in values):  # numbers, no structure
        values = np.asarray(values)
    return keras.tree.map_structure(lambda value: None if value is None else np.asarray(value[:_MAX_ROWS]), values)


def _joined(batches):
    def join(*parts):
        return np.concatenate([np.asarray(part) for part in parts])[:_MAX_ROWS]

    return keras.tree.map_structure(join, *batches)
