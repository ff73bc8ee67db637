"""Writers: where Snapshots go. Each has the methods of the protocol `Writer`, as a custom one must.

A Snapshot, numbers or a text come in; an event file, or a History in memory, goes out. The names are loaded when they
are first used.
"""

import importlib

_MODULES = {
    "BackgroundWriter": "gradlog.writers.background",
    "EventWriter": "gradlog.writers.event_writer",
    "MemoryWriter": "gradlog.writers.memory",
    "MultiWriter": "gradlog.writers.several",
    "Writer": "gradlog.writers.interface",
}

__all__ = sorted(_MODULES)


def __getattr__(name):
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'gradlog.writers' has no attribute {name!r}")
