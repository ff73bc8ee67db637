"""Moving statistics: how far those of batch normalization are from what a batch has.

In inference a layer divides by what it has gathered, not by what the batch has. Where the two differ, as with a large
momentum, few steps or data that drift, a model that trains well predicts badly (Ioffe, "Batch Renormalization", 2017;
Wu and Johnson, "Rethinking 'Batch' in BatchNorm", 2021).
"""

import functools
from typing import Any

import keras
from keras import ops

from gradlog.backends.layers import named_layers
from gradlog.backends.measures import Measure, Reading
from gradlog.backends.watching import Watch
from gradlog.history import names


def moving_errors(inputs, mean, variance, axis: int, epsilon: float, mask=None) -> Any:
    """Returns how far moving statistics are from those of a batch.

    Args:
        inputs: Float tensor, the batch ahead of the normalization.
        mean: Float32 tensor [C], the moving mean of each channel.
        variance: Float32 tensor [C], the moving variance.
        axis: Integer, where the channels stand.
        epsilon: Float, what the layer adds to a variance; it keeps a channel that never changes from dividing by zero.
        mask: Boolean tensor of the shape of the inputs but for the channels, false where they do not count, or `None`.

    Returns:
        Float32 tensor [2], means over the channels: |moving mean - mean of the batch| in standard deviations of the
        batch, and |log(moving variance / variance of the batch)|, both variances with `epsilon`.

    Example:
    >>> batch = ops.array([[1.0], [3.0]])  # mean 2, variance 1
    >>> [float(one) for one in moving_errors(batch, ops.array([4.0]), ops.array([1.0]), -1, 0.0)]
    [2.0, 0.0]
    """
    inputs, axis = ops.cast(inputs, "float32"), axis % len(inputs.shape)
    others = [one for one in range(len(inputs.shape)) if one != axis]
    weights = None if mask is None else ops.expand_dims(ops.cast(mask, "float32"), axis)
    center = _mean(inputs, others, weights)
    spread = _mean(ops.square(inputs - center), others, weights)
    center, spread = ops.reshape(center, (-1,)), ops.reshape(spread, (-1,)) + epsilon
    of_mean = ops.mean(ops.abs(mean - center) / ops.sqrt(spread))
    return ops.stack([of_mean, ops.mean(ops.abs(ops.log((variance + epsilon) / spread)))])


def _mean(values, axes, weights):
    if weights is None:
        return ops.mean(values, axes, keepdims=True)
    weights = ops.broadcast_to(weights, ops.shape(values))
    return ops.sum(values * weights, axes, keepdims=True) / ops.sum(weights, axes, keepdims=True)


def _watches(model):
    normalizes = [
        (name, layer) for name, layer in named_layers(model) if isinstance(layer, keras.layers.BatchNormalization)
    ]
    return [Watch(name, layer, "call", _kept) for name, layer in normalizes]


def _kept(layer, result, inputs, training=None, mask=None):
    mean, variance = (ops.cast(one, "float32") for one in (layer.moving_mean, layer.moving_variance))
    return inputs, mean, variance, mask


def _reading(watches, calls, results):
    """Reads [2] of each of the layers that were called, of the first call of each."""
    seen = [(watch, of_watch[0]) for watch, of_watch in zip(watches, calls, strict=True) if of_watch]
    if not seen:
        return None
    tensors = [
        moving_errors(inputs, mean, variance, watch.owner.axis, watch.owner.epsilon, mask)
        for watch, (inputs, mean, variance, mask) in seen
    ]
    return Reading((ops.stack(tensors),), functools.partial(_finish, [watch.name for watch, _ in seen]))


def _finish(layers, arrays):
    scalars = {}
    for layer, numbers in zip(layers, arrays[0].tolist(), strict=True):
        for prefix, number in zip((names.MOVING_MEAN_ERROR, names.MOVING_VARIANCE_ERROR), numbers, strict=True):
            scalars[names.tag(prefix, layer)] = number
    return {"scalars": scalars}


MOVING_STATISTICS = Measure(_watches, _reading)
