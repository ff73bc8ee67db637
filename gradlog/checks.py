"""Checks: refuses what gradlog cannot work with, early, and says how to mend it."""

import operator
import os
import re
from collections.abc import Callable

import keras
import tensorflow as tf

_OLDEST_TENSORFLOW = (2, 18)
ON_FINDING = ("warn", "stop", "ignore")


def refuse_other_backends() -> None:
    """Raises where Keras does not run on a supported TensorFlow.

    Raises:
        RuntimeError: Keras runs on another backend, is not Keras 3, or TensorFlow is too old.
    """
    if not keras.__version__.startswith("3."):
        raise RuntimeError(f"gradlog needs Keras 3. Upgrade with `pip install -U keras`. Found: {keras.__version__}")
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "gradlog logs gradients of Keras on TensorFlow. Expected the TensorFlow backend; set the environment "
            "variable KERAS_BACKEND=tensorflow before Keras is imported. "
            f"Received: backend={keras.backend.backend()!r}"
        )
    if tuple(map(int, tf.__version__.split(".")[:2])) < _OLDEST_TENSORFLOW:
        raise RuntimeError(f"gradlog needs TensorFlow 2.18 or newer; upgrade it with pip. Found: {tf.__version__}")


def checked_log_dir(log_dir) -> str:
    """Returns the directory as a string."""
    if not isinstance(log_dir, (str, os.PathLike)) or not os.fspath(log_dir):
        raise TypeError(
            f"`log_dir` names the directory of a run. Expected a string or a path. Received: log_dir={log_dir!r}"
        )
    return os.fspath(log_dir)


def checked_integer(name: str, value, least: int) -> int:
    """Returns an integer argument that is at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"`{name}` counts steps. Expected an integer, {least} or more. Received: {name}={value!r}")
    if number < least:
        raise ValueError(f"`{name}` counts steps. Expected an integer, {least} or more. Received: {name}={value!r}")
    return number


def checked_on_finding(on_finding):
    """Returns what is to be done on a finding: a word that is known, or a function."""
    if on_finding not in ON_FINDING and not callable(on_finding):
        raise ValueError(
            "`on_finding` says what happens when something is found. Expected "
            f"{', '.join(map(repr, ON_FINDING))}, or a function of a Finding. Received: on_finding={on_finding!r}"
        )
    return on_finding


def checked_rules(rules):
    """Returns the rules, or `None` for all."""
    if rules is None:
        return None
    rules = tuple(rules) if isinstance(rules, (list, tuple)) else (rules,)
    if not all(hasattr(rule, "code") and callable(getattr(rule, "signs", None)) for rule in rules):
        raise TypeError(
            "`rules` are what a run is held against. Expected `None` for all, or a list of rules of gradlog.rules, as "
            f"in [gradlog.rules.Vanishing(ratio=1e-4)]. Received: rules={rules!r}"
        )
    return rules


def checked_selector(variables) -> Callable[[keras.Variable, str], bool]:
    """Returns a function of a variable and its name that says whether it is chosen."""
    if variables is None:
        return lambda variable, name: True
    if callable(variables):
        return lambda variable, name: bool(variables(variable))
    patterns = [variables] if isinstance(variables, str) else variables
    if not isinstance(patterns, (list, tuple)) or not all(isinstance(p, str) for p in patterns):
        raise TypeError(
            "`variables` chooses what is logged. Expected `None`, a regular expression, a list of them, or a "
            f"function of a variable. Received: variables={variables!r}"
        )
    try:
        compiled = [re.compile(pattern) for pattern in patterns]
    except re.error as error:
        raise ValueError(f"`variables` is no regular expression: {error}. Received: variables={variables!r}") from error
    return lambda variable, name: any(pattern.search(name) for pattern in compiled)


def checked_pair(model, optimizer) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    """Returns a model and the optimizer of a loop of the user's own; the model need not be compiled.

    Raises:
        TypeError: it is no Keras model, or no Keras optimizer.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"Expected a Keras model. Received: {model!r}")
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(
            "The gradients are taken where a Keras optimizer applies them. Expected the optimizer of the loop, as in "
            f"`logger.attach(model, optimizer)`. Received: optimizer={optimizer!r}"
        )
    return model, optimizer


def checked_model(model) -> keras.Model:
    """Returns a model that can be trained.

    Raises:
        TypeError: it is no Keras model.
        ValueError: it is not compiled, or has no trainable variables.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"Expected a Keras model. Received: {model!r}")
    if not model.compiled or model.optimizer is None:
        raise ValueError(
            "The model has no optimizer whose gradients could be logged. Expected a compiled model; call "
            f"`model.compile(optimizer=..., loss=...)` first. Received: {model.name!r}"
        )
    if model.built and not model.trainable_variables:
        raise ValueError(
            "The model has no trainable variables, so there are no gradients to log. Set `layer.trainable = True` "
            f"on the layers that are to learn, then compile again. Received: {model.name!r}"
        )
    return model
