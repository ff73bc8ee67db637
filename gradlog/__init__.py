"""gradlog shows how gradients flow through a Keras model while it trains.

One line added to an existing `fit` writes the mean-absolute gradient, the gradient histogram and the weight
histogram of every layer to TensorBoard:

    model.fit(x, y, callbacks=[gradlog.GradientLogger("logs/relu")])

and the same callback runs in a compiled `tf.GradientTape` loop:

    gradlog.train(model, dataset, steps=2500, callbacks=[gradlog.GradientLogger("logs/relu")])

Names are imported when they are first used: `import gradlog` alone does not import TensorFlow.
"""

import importlib
import sys
import types

__version__ = "0.1.0"

_MODULES = {
    "Finding": "gradlog.diagnosis.finding",
    "GradientLogger": "gradlog.session.callback",
    "History": "gradlog.history.history",
    "check": "gradlog.session.check",
    "diagnose": "gradlog.diagnosis.diagnose",
    "plot": "gradlog.commands.plot",
    "read": "gradlog.events.reader",
    "repair": "gradlog.repair.repair",
    "train": "gradlog.session.loop",
}

__all__ = [
    "Finding",
    "GradientLogger",
    "History",
    "__version__",
    "check",
    "diagnose",
    "plot",
    "read",
    "repair",
    "train",
]


def __getattr__(name):
    if name in ("rules", "writers"):
        return importlib.import_module(f"gradlog.{name}")
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'gradlog' has no attribute {name!r}")


class _Gradlog(types.ModuleType):
    """This module, in which `repair` stays the function when Python imports the package of that name."""

    @property
    def repair(self):
        return __getattr__("repair")

    @repair.setter
    def repair(self, package):
        pass


sys.modules[__name__].__class__ = _Gradlog


def __dir__():
    return __all__
