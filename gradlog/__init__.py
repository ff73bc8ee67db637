"""gradlog shows how gradients flow through a Keras model while it trains.

One line added to an existing `fit` writes the mean-absolute gradient, the gradient histogram and the weight
histogram of every layer to TensorBoard:

    model.fit(x, y, callbacks=[gradlog.GradientLogger("logs/relu")])

and the same callback runs in a compiled `tf.GradientTape` loop:

    gradlog.train(model, dataset, steps=2500, callbacks=[gradlog.GradientLogger("logs/relu")])

Names are imported when they are first used: `import gradlog` alone does not import TensorFlow.
"""

import importlib

from gradlog._version import __version__

_MODULES = {
    "Finding": "gradlog.finding",
    "GradientLogger": "gradlog.callback",
    "History": "gradlog.history",
    "diagnose": "gradlog.diagnosis",
    "read": "gradlog.reader",
    "train": "gradlog.loop",
}

__all__ = ["Finding", "GradientLogger", "History", "__version__", "diagnose", "read", "train"]


def __getattr__(name):
    if name == "rules":
        return importlib.import_module("gradlog.rules")
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'gradlog' has no attribute {name!r}")


def __dir__():
    return __all__
