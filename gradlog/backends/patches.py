"""Patches: looks at the calls of methods of single objects, for a while."""

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Patch(NamedTuple):
    """A method to look at.

    Attributes:
        owner: The object.
        name: String, the method's name.
        before: Function of the method's arguments, called before it, or `None`.
        after: Function of its result and its arguments, called after it, or `None`.
    """

    owner: Any
    name: str
    before: Callable | None = None
    after: Callable | None = None


class Patches:
    """Methods that are looked at between `put_on` and `take_off`; afterwards the objects are as they were.

    Of several threads, as replicas are whose steps are traced by turns, the first puts the patches on, and the last
    takes them off.

    Args:
        guard: The `Guard` that runs the functions that look at the calls, and removes the patches if one fails.
        patches: `Patch`es.
    """

    def __init__(self, guard, patches: Sequence[Patch]):
        self._guard, self._patches, self._lock, self._depth = guard, tuple(patches), threading.Lock(), 0

    def put_on(self) -> None:
        """Patches the methods, unless another thread has."""
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                for patch in self._patches:
                    _put_on(self._guard, patch)

    def take_off(self) -> None:
        """Puts the methods back, unless another thread still needs the patches."""
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                for owner, name, *_ in reversed(self._patches):
                    self._guard.undo.pop((id(owner), name), _nothing)()


def _put_on(guard, patch):
    attributes = vars(patch.owner)
    restore = attributes.pop, patch.name, None
    if patch.name in attributes:
        restore = attributes.__setitem__, patch.name, attributes[patch.name]
    observed = guard.observed(getattr(patch.owner, patch.name), patch.before, patch.after)
    guard.undo[id(patch.owner), patch.name] = functools.partial(*restore)
    attributes[patch.name] = observed


def _nothing():
    """Undoes nothing: the guard has done it."""
