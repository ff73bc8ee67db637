"""The text of `experiments.transformers`: what Python's own `help()` says of the language.

It is the module `pydoc_data.topics` of Python's standard library, some 460,000 characters; each version of Python has
its own.
"""

import platform
from dataclasses import dataclass
from pydoc_data import topics

import numpy as np

CHARACTERS = 128  # those of ASCII; another one counts as `?`
_HELD_OUT = 0.1  # of the text, at its end


@dataclass(frozen=True)
class Text:
    """A text as the numbers of its characters.

    Attributes:
        train: Integer array [n], numbers in [0, 128).
        held_out: Integer array [m], what follows.
        source: String, where it is from.
        notice: String; empty.
    """

    train: np.ndarray
    held_out: np.ndarray
    source: str
    notice: str = ""


def load():
    """Returns the `Text`."""
    pages = "\n".join(topics.topics[name] for name in sorted(topics.topics))
    numbers = np.frombuffer(pages.encode("ascii", "replace"), np.uint8).astype(np.int32)
    end = round(len(numbers) * (1 - _HELD_OUT))
    return Text(numbers[:end], numbers[end:], f"the help texts of Python {platform.python_version()}")


def windows(numbers, starts, length):
    """Returns inputs and targets: pieces of a text, and each piece one character on.

    Args:
        numbers: Integer array [n].
        starts: Integer array [k], where pieces begin.
        length: Integer.

    Returns:
        Two integer arrays [k, length].
    """
    pieces = numbers[starts[:, None] + np.arange(length + 1)]
    return pieces[:, :-1], pieces[:, 1:]


def held_out(text, length, pieces=128):
    """Returns inputs and targets, integer arrays [pieces, length], spread evenly over the text that is held out."""
    starts = np.linspace(0, len(text.held_out) - length - 1, pieces).astype(np.int64)
    return windows(text.held_out, starts, length)


def loss_of_counting(text):
    """Returns the cross-entropy, in nats, of always answering with how often each character occurs in the text."""
    counts = np.bincount(text.train, minlength=CHARACTERS) + 1.0
    return float(-np.log(counts / counts.sum())[text.held_out].mean())
