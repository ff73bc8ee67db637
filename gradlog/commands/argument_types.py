"""Types of arguments, for `argparse`: what the text of each stands for.

Each function raises `argparse.ArgumentTypeError`, which says what was expected.
"""

import argparse
import re

_STEPS = re.compile(r"(\d*):(\d*)|(\d+)")


def pattern(text: str) -> re.Pattern[str]:
    """Returns a compiled regular expression."""
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"invalid regular expression {text!r}: {error}") from error


def scale(text: str) -> float:
    """Returns a positive number."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a positive number, received {text!r}")
    return number


def tag(text: str) -> tuple[str, str]:
    """Returns what a tag stands for, and its pattern: of `loss=Loss/train`."""
    name, equals, pattern = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected NAME=PATTERN, as in gradient=grads/{{variable}}, received {text!r}")
    return name, pattern


def steps(text: str) -> tuple[int | None, int | None]:
    """Returns the first and the last step of `A:B`, or `None` for an end that is left open."""
    match = _STEPS.fullmatch(text)
    if not match:
        raise argparse.ArgumentTypeError(f"expected A:B, A:, :B or one step, such as 0:1000, received {text!r}")
    begin, end, only = match.groups()
    first, last = (int(each) if each else None for each in ((only, only) if only else (begin, end)))
    if first is not None and last is not None and first > last:
        raise argparse.ArgumentTypeError(f"expected A:B with A <= B, received {text!r}")
    return first, last
