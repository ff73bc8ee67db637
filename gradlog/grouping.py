"""Grouping: tensors of one size are stacked and reduced together, so that a graph has few operations, not many.

A network's variables come in few sizes. What an operation costs on a small tensor is its start, so six biases are
reduced as one [6, 10] tensor in the time of one. A large tensor is a group by itself: to stack it is to copy it.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

_LARGEST_TO_STACK = 1 << 16  # elements


def by_size(function: Callable, tensors: Sequence[tf.Tensor], *more: Sequence) -> tf.Tensor:
    """Applies a function of rows to many tensors at once.

    Args:
        function: Takes a tensor [G, n], G flat tensors of n elements, to one or several [G, …].
        tensors: V tensors of any shapes, known when the graph is made.
        *more: Lists of V scalars, which `function` is given as well, as tensors [G].

    Returns:
        What `function` returns, [V, …], in the order of `tensors`.

    Example:
    >>> tensors = [tf.constant([1.0, 2.0]), tf.constant([4.0]), tf.constant([[3.0, 5.0]])]
    >>> by_size(lambda rows: tf.reduce_sum(rows, 1), tensors).numpy().tolist()
    [3.0, 4.0, 8.0]
    """
    groups = {}
    for index, tensor in enumerate(tensors):
        size = tensor.shape.num_elements()
        is_large = size is None or size > _LARGEST_TO_STACK
        groups.setdefault((index,) if is_large else (tensor.dtype, size), []).append(index)
    results = [
        function(_stacked([tensors[i] for i in group]), *[tf.stack([scalars[i] for i in group]) for scalars in more])
        for group in groups.values()
    ]
    order = np.argsort(np.concatenate(list(groups.values())))
    return tf.nest.map_structure(lambda *parts: _in_order(parts, order), *results)


def _stacked(tensors):
    if len(tensors) == 1:
        return tf.reshape(tensors[0], [1, -1])
    return tf.stack([tf.reshape(tensor, [-1]) for tensor in tensors])


def _in_order(parts, order):
    joined = parts[0] if len(parts) == 1 else tf.concat(parts, 0)
    return joined if (np.diff(order) == 1).all() else tf.gather(joined, order)
