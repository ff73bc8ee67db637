"""Watching: what the methods of layers get and return while a model is called once."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from gradlog.backends.engine import engine
from gradlog.backends.patches import Patch, Patches


class Watch(NamedTuple):
    """A method of a layer that is watched.

    Attributes:
        name: String, the layer's name in the tags.
        owner: The Keras layer, or an operation of a functional model.
        method: String, the method's name.
        keep: Function of the owner, the method's result and its arguments to what is kept of a call, or `None`.
    """

    name: str
    owner: Any
    method: str
    keep: Callable


@contextlib.contextmanager
def kept(watches: Sequence[Watch], guard) -> Iterator[list[list]]:
    """Watches methods meanwhile; gives a list, for each of the watches, of what is kept of its calls.

    What is computed in a loop, or in a function of its own, cannot be had outside of it, and is left out.

    Args:
        watches: `Watch`es, of which several may be of one method.
        guard: The `Guard` of what looks at the calls.
    """
    calls: list[list] = [[] for _ in watches]
    methods: dict[tuple[int, str], list] = {}
    scope = engine().scope()
    for watch, of_watch in zip(watches, calls, strict=True):
        methods.setdefault((id(watch.owner), watch.method), []).append((watch, of_watch))

    def keep(watching, result, *args, **kwargs):
        if engine().scope() == scope:
            for watch, of_watch in watching:
                found = watch.keep(watch.owner, result, *args, **kwargs)
                if found is not None:
                    of_watch.append(found)

    patches = [
        Patch(watching[0][0].owner, method, after=functools.partial(keep, watching))
        for (_, method), watching in methods.items()
    ]
    standing = Patches(guard, patches)
    standing.put_on()
    try:
        yield calls
    finally:
        standing.take_off()


def first_floats(structure) -> Any:
    """Returns the first tensor of a structure if it holds floating-point numbers, else `None`."""
    first: Any = next(iter(keras.tree.flatten(structure)), None)
    is_float = ops.is_tensor(first) and keras.backend.is_float_dtype(keras.backend.standardize_dtype(first.dtype))
    return first if is_float else None
