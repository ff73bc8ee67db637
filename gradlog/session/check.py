"""Check: finds mistakes in how a training is set up, before its first step."""

import itertools

import keras
import numpy as np

from gradlog.diagnosis.checks.setup import Output, Setup
from gradlog.diagnosis.checks.table import CHECKS
from gradlog.diagnosis.finding import Finding

_MAX_ROWS, _MAX_BATCHES = 10_000, 32  # that are looked at
# Layers that are an activation and nothing else, and layers that hand on what comes in.
_ACTIVATIONS = {"Softmax": "softmax", "ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu"}
_PASSING = ("Dropout", "Flatten", "Reshape", "Permute", "ActivityRegularization")


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
    GL501 alarm · softmax over one unit · output · since step 0
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
    layers = _output_layers(model)
    losses, arrays = _by_output(model, model.loss, len(layers)), _by_output(model, targets, len(layers))
    outputs = []
    for number, (layer, loss, values) in enumerate(zip(layers, losses, arrays, strict=True)):
        name, from_logits = _loss(loss)
        outputs.append(
            Output(
                name=f"output {number + 1}" if layer is None else layer.name,
                units=_units(layer),
                activation=_activation(layer),
                loss=name,
                from_logits=from_logits,
                targets=None if values is None else np.asarray(values),
            )
        )
    return Setup(tuple(outputs), tuple(np.asarray(value) for value in keras.tree.flatten(inputs) if value is not None))


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


def _by_output(model, values, number):
    """Returns a value for each output, of one value, a list, or a dictionary by the outputs' names."""
    if values is None:
        return [None] * number
    if isinstance(values, dict):
        names_of_outputs = list(getattr(model, "output_names", values))
        return [values.get(name) for name in names_of_outputs][:number]
    if isinstance(values, (list, tuple)) and number > 1:
        return [*values, *[None] * number][:number]
    if isinstance(values, (list, tuple)) and len(values) == 1:
        return list(values)
    return [values] * number if not hasattr(values, "shape") else [values, *[None] * (number - 1)]


# The model.


def _output_layers(model):
    """Returns the layer that makes each output; `None` where it is not known."""
    layers = [layer for layer in model.layers if type(layer).__name__ not in _PASSING]
    if isinstance(model, keras.Sequential):
        last = layers[-1:] or [None]
        return _output_layers(last[0]) if isinstance(last[0], keras.Model) else last
    if not getattr(model, "outputs", None):
        return [None]
    made = {id(one): layer for layer in model.layers for one in keras.tree.flatten(layer.output)}
    found = [made.get(id(one)) for one in model.outputs]
    return [_output_layers(one)[0] if isinstance(one, keras.Model) else one for one in found]


def _units(layer):
    """Returns the size of a layer's last axis."""
    shape = getattr(getattr(layer, "output", None), "shape", None) if layer is not None and layer.built else None
    return getattr(layer, "units", None) if shape is None else shape[-1] if len(shape) > 1 else 1


def _activation(layer):
    """Returns Keras' name of a layer's activation."""
    if type(layer).__name__ in _ACTIVATIONS:
        return _ACTIVATIONS[type(layer).__name__]
    return getattr(getattr(layer, "activation", None), "__name__", None)


def _loss(loss):
    """Returns Keras' name of a loss, and whether it expects logits."""
    if loss is None:
        return None, False
    found = keras.losses.get(loss)
    if isinstance(found, keras.losses.Loss):
        settings = found.get_config() if type(found).__module__.startswith("keras") else {}
        return _snake(type(found).__name__), bool(settings.get("from_logits", False))
    return getattr(found, "__name__", None), False


def _snake(name):
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
