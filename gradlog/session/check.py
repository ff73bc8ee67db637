"""Check: finds mistakes in how a training is set up, before its first step is spent."""

import dataclasses
import itertools
import math
import warnings
from typing import NamedTuple

import keras
import numpy as np

from gradlog.backends.checks import in_short
from gradlog.backends.inform import inform
from gradlog.backends.rehearsal import Rehearsal, loss_of
from gradlog.diagnosis.checks.setup import Setup
from gradlog.diagnosis.checks.table import CHECKS
from gradlog.diagnosis.diagnose import diagnose
from gradlog.diagnosis.finding import Finding
from gradlog.diagnosis.rules.dead import Dead
from gradlog.diagnosis.rules.exploding import Exploding
from gradlog.diagnosis.rules.nonfinite import Nonfinite
from gradlog.diagnosis.rules.saturated import Saturated
from gradlog.diagnosis.rules.vanishing import Vanishing
from gradlog.history import names
from gradlog.history.builder import HistoryBuilder
from gradlog.history.history import Snapshot
from gradlog.history.inputs import Inputs
from gradlog.session.checks import checked_integer
from gradlog.session.describe import by_output, described
from gradlog.session.guard import Guard

_MAX_ROWS, _MAX_BATCHES, _MAX_NUMBERS = 10_000, 32, 1 << 25  # that are looked at
_MIN_TRIED, _MAX_TRIED = 8, 1 << 20  # rows, and numbers of the inputs, of the batch that is tried
_USUAL = 32  # rows that are tried where batches are smaller, which often leave units without a gradient
# What shows before the first update. Nothing has had the time to learn, so waiting would not help.
_AT_START = (Vanishing(), Exploding(update_ratio=math.inf), Nonfinite(), Dead(fraction=0.9), Saturated(min_steps=0))
_FOR_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning)
_JUDGED_FROM = 5  # logged steps; the first one stands for as many


class Data(NamedTuple):
    """The first rows of the data of a training.

    Attributes:
        inputs: NumPy arrays, in the structure that they came in.
        targets: The same, or `None`.
        num_rows: Integer, how many rows there are in all, or `None` if that is not known.
        batch_size: Integer.
        is_shuffled: Boolean, whether `fit` shuffles them.
    """

    inputs: object
    targets: object
    num_rows: int | None
    batch_size: int
    is_shuffled: bool


def check(model: keras.Model, x, y=None, *, batch_size: int = 32, overfit: int = 0) -> list[Finding]:
    """Finds mistakes in the set-up of a training, before its first step is spent.

    It reads how the model is compiled, looks at the first rows of the data, up to 10,000, and tries the first step on
    copies of the weights and of the optimizer: its loss, activations, gradient by depth, and what the step does to the
    loss of its own batch. It changes neither the model nor any random state; but a dataset that is shuffled anew at
    every iteration goes on to its next order. What it cannot know, as the activation of a subclassed model's output, it
    does not judge. The step is not tried if the model is not built, has a custom `train_step` or `compute_loss`, or
    trains on several devices. It is tried on 32 rows where batches are smaller, and of large inputs, such as images, on
    8 rows or more.

    Args:
        model: A compiled Keras model.
        x: Array, tensor, or a list, tuple or dictionary of them: the inputs. Or a `tf.data.Dataset` or another iterable
            that can be iterated anew, of batches (inputs, targets); the first 32 are looked at.
        y: The targets, like `x`; `None` if `x` has them.
        batch_size: Integer, rows of a batch, where `x` and `y` are arrays. Defaults to 32, as in `fit`.
        overfit: Integer, on how many steps to try whether the network learns the first batch by heart, with a progress
            bar. Defaults to 0, for not at all; 200 is usual.

    Returns:
        A list of `Finding` in the order to read them, as `gradlog.diagnose` returns it; empty if no mistake was found.

    Raises:
        TypeError: `model` is not a Keras model, or the data are not arrays, structures of arrays, or batches.
        ValueError: The model is not compiled, a number is out of range, or the data have no rows, or not as many inputs
            as targets.

    Example:
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "softmax", name="output")])
    >>> model.compile("adam", "binary_crossentropy")
    >>> print(check(model, np.random.rand(64, 4), np.array([0, 1] * 32))[0].title)
    GL501 alarm · softmax over one unit · output · from the start
    """
    if not hasattr(model, "layers") or not hasattr(model, "compile"):
        raise TypeError(f"Expected a Keras model. Received: {model!r}")
    if getattr(model, "loss", None) is None:
        raise ValueError(
            "The model has no loss to check. Expected a compiled model; call `model.compile(optimizer=..., loss=...)` "
            f"first. Received: {model.name!r}"
        )
    batch_size, overfit = checked_integer("batch_size", batch_size, 1, "rows"), checked_integer("overfit", overfit, 0)
    try:
        data = _first_rows(x, y, batch_size)
    except (TypeError, IndexError, ValueError) as error:
        raise TypeError(
            "Expected arrays, or a list, tuple or dictionary of them, or a dataset of batches (inputs, targets). "
            f"Received: x of type {type(x).__name__}, y of type {type(y).__name__} ({error})"
        ) from error
    _check_rows(data)
    run = described(model, metrics=_metrics(model))
    setup = _setup(model, run, data, _tried(model, data, overfit))
    mistakes = [finding.to_dict() for one in CHECKS for finding in one.findings(setup)]
    return diagnose(_history(setup, dataclasses.replace(run, mistakes=tuple(mistakes))), _AT_START)


def _setup(model, run, data, tried):
    arrays = [None if one is None else np.asarray(one) for one in by_output(model, data.targets, len(run.outputs))]
    inputs = [Inputs.of(np.asarray(one)) for one in keras.tree.flatten(data.inputs) if one is not None]
    known = {"metrics": run.metrics, "optimizer": run.optimizer}
    known |= {"num_rows": data.num_rows, "batch_size": data.batch_size, "is_shuffled": data.is_shuffled}
    return Setup.of(run.outputs, arrays, inputs, run.layers, **known, **tried)


def _history(setup, run):
    """Returns the `History` of a training that has come to its first step, which stands for as many as rules need."""
    builder = HistoryBuilder()
    builder.add_text(0, names.RUN_TAG, run.to_json())
    first = setup.first_step.snapshot if setup.first_step else Snapshot(0, (), (), np.zeros((0, 0)))
    for step in range(_JUDGED_FROM):
        builder.add(dataclasses.replace(first, step=step))
    return builder.history()


def _metrics(model):
    """Returns the names of a model's metrics; of what cannot be told, nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of functions that cannot be loaded again
            metrics = _leaves(model.get_compile_config().get("metrics"))
    except Exception:  # custom objects may not be serializable
        return ()
    found = [one.get("config") if _is_serialized(one) else one for one in metrics]
    found = [one.get("name") if isinstance(one, dict) else one for one in found]
    return tuple(one for one in found if isinstance(one, str))


# The first step.


def _tried(model, data, overfit):
    """Returns what was seen of the first step, as attributes of a `Setup`."""
    if not Rehearsal.can(model) or data.targets is None:
        return {}
    guard = Guard("looking at the first step")
    number = _num_tried(model, data)
    batch = [_mapped(lambda one: one[:number], part) for part in (data.inputs, data.targets)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first, failure, fault = _first_step(model, batch, guard)
    if fault:
        inform(f"gradlog could not try the first step, and checked everything else: {fault}")
    tried = {"messages": tuple(dict.fromkeys(filter(None, map(_said_by_keras, caught)))), "failure": failure}
    if first is None:
        return tried
    tried |= {"first_step": first, "first_loss": first.loss}
    return tried | {"overfit": tuple(_losses(Rehearsal(model, batch, guard), overfit))}


def _said_by_keras(warning):
    """Returns what a warning says if Keras gave it for users to read, or an empty string."""
    text, is_of_keras = str(warning.message), "/keras/" in warning.filename.replace("\\", "/")
    is_of_torch = "(Triggered internally at " in text  # what PyTorch's own C++ says of how Keras calls it
    return text if is_of_keras and not is_of_torch and not issubclass(warning.category, _FOR_DEVELOPERS) else ""


def _first_step(model, batch, guard):
    """Returns the `FirstStep`, or `None`; how the model fails, if it does; and how gradlog does."""
    try:
        return Rehearsal(model, batch, guard).first(), "", ""
    except Exception as error:
        fault = in_short(error)
    try:
        loss_of(model, batch)
    except Exception as error:
        return None, in_short(error), ""
    return None, "", fault


def _mapped(function, structure):
    """Returns a structure of a function's results; of outputs without targets it has `None`, which stays."""
    return keras.tree.map_structure(lambda one: None if one is None else function(one), structure)


def _num_tried(model, data):
    """Returns the rows of the batch that is tried: fewer where they are large, more than a batch where it is small."""
    fixed = next((one.shape[0] for one in getattr(model, "inputs", None) or () if one.shape), None)
    if fixed is not None:  # as a stateful recurrent layer needs it
        return fixed
    numbers = sum(math.prod(np.shape(one)[1:]) for one in keras.tree.flatten(data.inputs))
    return min(max(data.batch_size, _USUAL), max(_MIN_TRIED, _MAX_TRIED // max(numbers, 1)))


def _losses(rehearsal, number):
    progress = keras.utils.Progbar(number) if number else None
    for step, loss in enumerate(rehearsal.losses(number), 1):
        progress.update(step, [("loss", loss)])
        yield loss


# The data.


def _first_rows(x, y, batch_size) -> Data:
    """Returns the first rows of the data."""
    if y is not None or hasattr(x, "shape") or isinstance(x, (list, tuple, dict)):
        inputs, targets = _rows(x), _rows(y)
        sizes = [len(one) for one in keras.tree.flatten(x) if hasattr(one, "shape")]
        return Data(inputs, targets, min(sizes, default=None), batch_size, is_shuffled=True)
    batches, numbers = [], 0
    for batch in itertools.islice(iter(x), _MAX_BATCHES):
        if isinstance(batch, (tuple, list)):
            batches.append(batch)
            numbers += sum(np.size(one) for one in keras.tree.flatten(batch[0]))
        if numbers > _MAX_NUMBERS:
            break
    parts = [[batch[index] for batch in batches if len(batch) > index] for index in (0, 1)]
    size = max((len(keras.tree.flatten(batch[0])[0]) for batch in batches), default=batch_size)
    inputs, targets = (_joined(part) if part else None for part in parts)
    return Data(inputs, targets, _num_rows(x, size), size, is_shuffled=False)


def _check_rows(data):
    """Raises where there is nothing to look at, or inputs and targets have different numbers of rows."""
    parts = {"x": data.inputs, "y": data.targets}
    numbers = {
        name: sorted({len(one) for one in keras.tree.flatten(part) if one is not None}) for name, part in parts.items()
    }
    if len({*numbers["x"], *numbers["y"]}) > 1 or 0 in (*numbers["x"], *numbers["y"]):
        said = "; ".join(f"{name} with {', '.join(map(str, rows))} rows" for name, rows in numbers.items() if rows)
        raise ValueError(f"Expected as many inputs as targets, one or more. Received: {said}")


def _num_rows(batches, size):
    """Returns about how many rows a dataset has, if it says how many batches."""
    try:
        return len(batches) * size
    except TypeError:  # it is endless, or does not know
        return None


def _rows(values):
    if isinstance(values, (list, tuple)) and all(np.ndim(value) == 0 for value in values):  # numbers, no structure
        values = np.asarray(values)
    return _mapped(lambda value: np.asarray(value[:_MAX_ROWS]), values)


def _joined(batches):
    def join(*parts):
        return np.concatenate([np.asarray(part) for part in parts])[:_MAX_ROWS]

    return keras.tree.map_structure(join, *batches)


def _is_serialized(one):
    return isinstance(one, dict) and "class_name" in one


def _leaves(metrics):
    """Returns the metrics of lists and dictionaries, flat; a serialized object is one."""
    if _is_serialized(metrics) or not isinstance(metrics, (dict, list, tuple)):
        return [metrics]
    return [leaf for one in (metrics.values() if isinstance(metrics, dict) else metrics) for leaf in _leaves(one)]
