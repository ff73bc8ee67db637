"""Hidden layers: the histograms of their activations, and the fractions of them that are dead and saturated."""

import functools

from keras import ops

from gradlog.backends.engine import engine
from gradlog.backends.layers import Watched, fractions_of, hidden_outputs, kind_of, output_watches, watched_layers
from gradlog.backends.measures import Measure, Reading


def hidden_measure(has_histograms: bool) -> Measure:
    """Returns the measure of a model's hidden activations.

    Args:
        has_histograms: Boolean, whether histograms are asked for, beside the fractions.
    """
    return Measure(_watches, functools.partial(_reading, has_histograms))


def _watches(model):
    return output_watches(watched_layers(model))


def _reading(has_histograms, watches, calls, results):
    """Reads counts [L, B] of the layers that were called, or `None`, and fractions [F]."""
    watched = [Watched(watch.name, watch.owner, kind_of(watch.owner)) for watch in watches]
    seen, fractions = hidden_outputs(watched, calls, results), {}
    if not seen:
        return None
    for one, outputs in seen:
        fractions |= fractions_of(one, outputs)
    layers = tuple(one.name for one, _ in seen) if has_histograms else ()
    counts = engine().histograms([_flat(outputs) for _, outputs in seen]) if has_histograms else None
    numbers = ops.stack(list(fractions.values())) if fractions else ops.zeros((0,))
    return Reading((counts, numbers), functools.partial(_finish, layers, tuple(fractions)))


def _flat(outputs):
    return ops.concatenate([ops.reshape(one, (-1,)) for one in outputs])


def _finish(layers, tags, arrays):
    counts, fractions = arrays
    return {"layers": layers, "activations": counts, "scalars": dict(zip(tags, fractions.tolist(), strict=True))}
