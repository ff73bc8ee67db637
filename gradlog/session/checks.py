"""Checks: refuses arguments that are out of range, early, and says how to mend them."""

import operator
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from gradlog.diagnosis.finding import Finding
from gradlog.diagnosis.rules.rule import Rule

ON_FINDING = ("warn", "stop", "ignore")


def checked_log_dir(log_dir: object) -> str:
    """Returns the directory as a string."""
    if not isinstance(log_dir, (str, os.PathLike)) or not os.fspath(log_dir):
        raise TypeError(
            f"`log_dir` names the directory of a run. Expected a string or a path. Received: log_dir={log_dir!r}"
        )
    return os.fspath(log_dir)


def checked_integer(name: str, value: Any, least: int, what: str = "steps") -> int:
    """Returns an integer argument that is at least `least`; `what` it counts stands in the error."""
    expected = f"`{name}` counts {what}. Expected an integer, {least} or more. Received: {name}={value!r}"
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(expected)
    if number < least:
        raise ValueError(expected)
    return number


def checked_histograms(histograms: Any) -> int:
    """Returns at every how many logged steps histograms are written; 0 for none."""
    if isinstance(histograms, bool | np.bool_):
        return int(histograms)
    expected = (
        "`histograms` says whether histograms are written, or at every how many logged steps. Expected True, False, or "
        f"an integer, 1 or more. Received: histograms={histograms!r}"
    )
    try:
        number = operator.index(histograms)
    except TypeError:
        raise TypeError(expected) from None
    if number < 1:
        raise ValueError(expected)
    return number


def checked_on_finding(on_finding: Any) -> str | Callable[[Finding], None]:
    """Returns what is to be done on a finding: a word that is known, or a function."""
    if on_finding not in ON_FINDING and not callable(on_finding):
        raise ValueError(
            "`on_finding` says what happens when something is found. Expected "
            f"{', '.join(map(repr, ON_FINDING))}, or a function of a Finding. Received: on_finding={on_finding!r}"
        )
    return on_finding


def checked_rules(rules: Any) -> Sequence[Rule] | None:
    """Returns the rules, or `None` for all."""
    if rules is None:
        return None
    rules = tuple(rules) if isinstance(rules, (list, tuple)) else (rules,)
    if not all(hasattr(rule, "code") and callable(getattr(rule, "symptoms", None)) for rule in rules):
        raise TypeError(
            "`rules` judge a run. Expected `None` for all, or a list of rules of gradlog.rules, as "
            f"in [gradlog.rules.Vanishing(ratio=1e-4)]. Received: rules={rules!r}"
        )
    return rules


def checked_selector(variables: Any) -> Callable[[keras.Variable, str], bool]:
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
        raise ValueError(
            f"Invalid regular expression in `variables`: {error}. Received: variables={variables!r}"
        ) from error
    return lambda variable, name: any(pattern.search(name) for pattern in compiled)


def check_writable(log_dir: str) -> None:
    """Raises where a directory cannot be made or written; one in a remote file system is not tried.

    Raises:
        OSError: it says which directory, and why.
    """
    if "://" in log_dir:
        return
    try:
        os.makedirs(log_dir, exist_ok=True)
        with tempfile.TemporaryFile(dir=log_dir):
            pass
    except OSError as error:
        raise OSError(
            "The log directory cannot be written. Expected a directory, or a place where one can be made, with "
            f"permission to write; choose another `log_dir`. Received: log_dir={log_dir!r} ({error})"
        ) from error


def refuse_activations(activations: object) -> None:
    """Raises if activations are asked for in a custom loop, which does not report when a step begins.

    Raises:
        ValueError: `activations` is not `None`.
    """
    if activations is not None:
        raise ValueError(
            "In a custom training loop, gradlog cannot tell when a step begins, so it cannot look at activations "
            "there. Expected a logger without `activations`; train with `fit` or `gradlog.train` to see them. "
            f"Received: activations of type {type(activations).__name__}"
        )
