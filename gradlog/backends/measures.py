"""Measures: the forms of what the probe measures in its pass.

A measure says which methods of a model's layers it has to see, reduces on the device what was kept of their calls, and
turns the reduced numbers into what a `Snapshot` holds, on the host.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Reading(NamedTuple):
    """What a measure makes of one pass.

    Attributes:
        tensors: What is to be had on the host, tensors or `None`.
        finish: Function of the same as arrays to a dictionary of attributes of a `Snapshot`, such as `scalars`.
    """

    tensors: Sequence
    finish: Callable[[Sequence], dict]


class Measure(NamedTuple):
    """Something that is measured in a pass.

    Attributes:
        watches: Function of a model to the `Watch`es of what has to be seen.
        reading: Function of these, of what was kept of the calls of each, and of the model's results, to a `Reading`;
            `None` where there was nothing to see.
    """

    watches: Callable
    reading: Callable
