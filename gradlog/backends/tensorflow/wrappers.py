"""Wrappers: functions in front of methods of single objects, for a while."""

import contextlib
import functools
import threading


class Wrappers:
    """A context in which methods are wrapped; afterwards the objects are as they were.

    Of several threads inside of it, as replicas are whose steps are traced by turns, the first puts the wrappers on,
    and the last takes them off.

    Args:
        *wrappers: Tuples of an object, the name of a method, and what is called instead: a function of the method and
            its arguments.
    """

    def __init__(self, *wrappers):
        self._wrappers, self._lock, self._depth = wrappers, threading.Lock(), 0
        self._unwrap = contextlib.ExitStack()

    def __enter__(self):
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                for wrapper in self._wrappers:
                    self._unwrap.enter_context(_wrapped(*wrapper))

    def __exit__(self, *error):
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._unwrap.close()


@contextlib.contextmanager
def _wrapped(owner, method, wrapper):
    earlier = owner.__dict__.get(method)
    owner.__dict__[method] = functools.partial(wrapper, getattr(owner, method))
    try:
        yield
    finally:
        if earlier is None:
            del owner.__dict__[method]
        else:
            owner.__dict__[method] = earlier
