"""Checks: refuses a Keras, a model or a batch that gradlog cannot work with, early, and says how to mend it."""

import re
from collections.abc import Callable
from typing import Any

import keras

_BOLD = re.compile(r"\x1b\[1m(.*?)\x1b\[0m", re.DOTALL)
_OF_AN_OPERATION = re.compile(r"\{\{.*?\}\}|\[Op:.*")


class ArgumentError(ValueError):
    """A user's argument that does not fit the model, or has the wrong type or value."""

    is_users_own = True  # the guard lets it through


def checked_batch(name: str, batch, constant: Callable) -> Any:
    """Returns a batch of inputs with its arrays as tensors, copies of the caller's; none of them is empty.

    Args:
        name: String, the name of the argument.
        batch: The batch.
        constant: Function of an array to a tensor with a copy of it.

    Raises:
        ArgumentError: it is neither an array nor a list, tuple or dictionary of arrays, or it holds no examples.
    """
    expected = (
        f"`{name}` is a batch of the model's inputs. Expected an array or a tensor of one example or more, as in "
        f"`{name}=x[:100]`, or a list, tuple or dictionary of them where the model has several inputs. Received: "
    )
    arrays = keras.tree.flatten(batch)
    if not arrays or not all(hasattr(array, "shape") for array in arrays):
        raise ArgumentError(f"{expected}{name} of type {type(batch).__name__}")
    try:
        tensors = [constant(array) for array in arrays]
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ArgumentError(f"{expected}{name} of type {type(batch).__name__} ({error})") from error
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if not all(map(all, shapes)) or len({shape[:1] for shape in shapes}) != 1 or shapes[0] == ():
        raise ArgumentError(f"{expected}{name} of shape {', '.join(map(str, shapes))}")
    return keras.tree.pack_sequence_as(batch, tensors)


def checked_pair(model, optimizer) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    """Returns the model and the optimizer of a custom training loop; the model need not be compiled.

    Raises:
        TypeError: It is not a Keras model, or not a Keras optimizer.
    """
    _check_has(model, ("name", "trainable_variables"))
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(
            "The gradients are taken where a Keras optimizer applies them. Expected the optimizer of the loop, as in "
            f"`logger.attach(model, optimizer)`. Received: optimizer={optimizer!r}"
        )
    return model, optimizer


def checked_model(model) -> keras.Model:
    """Returns a model that has an optimizer.

    Raises:
        TypeError: It is not a Keras model.
        ValueError: it is not compiled.
    """
    _check_has(model, ("name", "trainable_variables", "train_step", "make_train_function"))
    if not getattr(model, "compiled", True) or getattr(model, "optimizer", None) is None:
        raise ValueError(
            "The model has no optimizer whose gradients could be logged. Expected a compiled model; call "
            f"`model.compile(optimizer=..., loss=...)` first. Received: {model.name!r}"
        )
    return model


def check_trainable(model) -> None:
    """Raises a `ValueError` where a model is built and has no trainable variables."""
    if model.built and not model.trainable_variables:
        raise ValueError(
            "The model has no trainable variables, so there are no gradients to log. Set `layer.trainable = True` "
            f"on the layers that are to learn, then compile again. Received: {model.name!r}"
        )


def _check_has(model, attributes):
    """Raises where a model lacks what a logger needs; it need not inherit from `keras.Model`."""
    missing = [name for name in attributes if not hasattr(model, name)]
    if isinstance(model, type) or missing:
        lacks = f", which lacks {', '.join(missing)}" if missing else ", a class"
        raise TypeError(f"Expected a Keras model. Received: {model!r}{lacks}")


def in_short(error: BaseException) -> str:
    """Returns what an error says: of Keras' what is bold, of TensorFlow's what is not set in, less its operation."""
    bold = _BOLD.search(str(error))
    if bold:
        return bold[1]
    lines = _OF_AN_OPERATION.sub("", str(error)).splitlines()
    return " ".join(line.rstrip() for line in lines if line.strip() and not line[0].isspace()) or type(error).__name__
