"""Grouping: small tensors are reduced together, large ones block by block.

What an operation costs on a small tensor is its start. A network's many small variables are therefore laid end to end,
and those of one size reduced as the rows of one matrix. A large tensor is taken in blocks, one after the other, so
that what is computed of it on the way needs the memory of a block.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

LARGEST_TO_JOIN = 1 << 12  # elements
LARGEST_TO_KEEP = 1 << 18  # elements
BLOCK = 1 << 19  # elements


class Groups(NamedTuple):
    """Which of V tensors are reduced together.

    Attributes:
        small: Indices of the tensors to lay end to end, those of one size side by side.
        rows: List of (G, n), that G tensors of n elements follow each other; in the order of `small`.
        large: Lists of indices of the tensors that are reduced one by one. Those of a list are handled together; the
            largest, and those whose size is not known, have a list each, so that none is kept for another.
    """

    small: list[int]
    rows: list[tuple[int, int]]
    large: list[list[int]]


def groups(tensors: Sequence[tf.Tensor]) -> Groups:
    """Groups V tensors of any shapes; float64, which no network is trained in by default, counts as large."""
    sizes = [tensor.shape.num_elements() for tensor in tensors]
    is_small = [
        size is not None and size <= LARGEST_TO_JOIN and tensor.dtype != tf.float64
        for size, tensor in zip(sizes, tensors, strict=True)
    ]
    small = sorted((index for index, small in enumerate(is_small) if small), key=lambda index: sizes[index])
    numbers, counts = np.unique([sizes[index] for index in small], return_counts=True)
    rows = [(int(count), int(number)) for number, count in zip(numbers, counts, strict=True)]
    others = [index for index, small in enumerate(is_small) if not small]
    medium = [index for index in others if sizes[index] is not None and sizes[index] <= LARGEST_TO_KEEP]
    return Groups(small, rows, ([medium] if medium else []) + [[index] for index in others if index not in medium])


def grouped(of_small: Callable, of_large: Callable, *lists: Sequence[tf.Tensor]) -> tf.Tensor:
    """Applies a function to the small of V tensors together, and another to the large ones.

    Args:
        of_small: Takes the `rows` of `Groups` and, for each list, its small tensors laid end to end, in float32, to a
            tensor [number of small tensors, …].
        of_large: Takes, for each list, a list of its large tensors, flat, to a tensor [number of them, …]; called for
            each list of `Groups.large`.
        *lists: One list or more of V tensors of any shapes, known when the graph is made; the same in every list.

    Returns:
        The results [V, …], in the order of the lists.

    Example:
    >>> def first(rows, flat):
    ...     return tf.concat([matrix[:, 0] for matrix in split(flat, rows)], 0)
    >>> grouped(first, None, [tf.constant([1.0, 2.0]), tf.constant([4.0]), tf.constant([[3.0, 5.0]])]).numpy().tolist()
    [1.0, 4.0, 3.0]
    """
    small, rows, large = groups(lists[0])
    parts = []
    if small:
        parts.append(of_small(rows, *[end_to_end([tensors[index] for index in small]) for tensors in lists]))
    for part in large:
        parts.append(of_large(*[[_flat(tensors[index]) for index in part] for tensors in lists]))
    if not parts:
        raise ValueError("Expected one tensor or more. Received: none")
    joined = parts[0] if len(parts) == 1 else tf.concat(parts, 0)
    order = np.argsort(sum(large, small))
    return joined if (np.diff(order) == 1).all() else tf.gather(joined, order)


def _flat(tensor):
    return tensor if len(tensor.shape) == 1 else tf.reshape(tensor, [-1])


def end_to_end(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the elements of V tensors one after the other, float32 [N]."""
    return tf.concat([tf.cast(_flat(tensor), tf.float32) for tensor in tensors], 0)


def split(flat: tf.Tensor, rows: list[tuple[int, int]]) -> list[tf.Tensor]:
    """Cuts tensors that were laid end to end, [..., N], into matrices [..., G, n], one for each size."""
    pieces = tf.split(flat, [count * size for count, size in rows], -1) if len(rows) > 1 else [flat]
    return [tf.reshape(piece, [*flat.shape[:-1], *row]) for piece, row in zip(pieces, rows, strict=True)]


def in_blocks(function: Callable, *flats: tf.Tensor) -> Any:
    """Sums a function's results over the blocks of flat tensors.

    Args:
        function: Takes flat tensors to a tensor, or to a list of them, that do not depend on their size.
        *flats: Tensors [n]; it is the first whose size is asked for.

    Returns:
        What `function` returns, summed.
    """
    size = flats[0].shape[0]
    if size is None or size <= 2 * BLOCK:
        return function(*flats)
    number = size // BLOCK
    total = function(*(flat[number * BLOCK :] for flat in flats))

    def add_block(index, total):
        block = function(*(tf.slice(flat, [index * BLOCK], [BLOCK]) for flat in flats))
        return index + 1, tf.nest.map_structure(tf.add, total, block)

    loop = tf.while_loop(lambda index, _: index < number, add_block, [0, total], parallel_iterations=1)
    return loop[1]
