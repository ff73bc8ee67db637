"""Residual stream: how large the output of each block is, how even, and how different its tokens are.

Deep stacks without normalization let it grow block by block (Zhang et al., "Fixup Initialization", 2019); single
numbers may become hundreds of times as large as the others (Sun et al., "Massive Activations in Large Language
Models", 2024), and tokens may become alike, so that the rank falls (Dong et al., "Attention is not all you need: pure
attention loses rank doubly exponentially with depth", 2021).

A token is a position: a row of [B, T, D], a pixel of a convolution's output, an example where there is nothing else.
"""

import functools
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from gradlog.backends.blocks import block_candidates, outermost_blocks, sums
from gradlog.backends.layers import unit_axis
from gradlog.backends.measures import Measure, Reading
from gradlog.backends.watching import Watch, first_floats
from gradlog.history import names

MAX_TOKENS = 64  # of which rank and median are taken; the eigenvalues of more need threads, for which training competes


def of_block(output, axis: int = -1) -> Any:
    """Returns what is told of a block's output.

    Args:
        output: Float tensor of rank 2 or more: examples first, units at `axis`, tokens elsewhere.
        axis: Integer.

    Returns:
        Float32 tensor [3]: the root mean square; the largest absolute value; the mean cosine between two different
        tokens of one example, NaN where an example has only one. And every n-th token, float32
        [at most `MAX_TOKENS`, D]; n is odd, so that they stand at different places of their sequences.

    Example:
    >>> numbers, tokens = of_block(ops.array([[[3.0, 0.0], [0.0, 4.0]]]))
    >>> [round(one, 3) for one in np.asarray(numbers).tolist()], tuple(tokens.shape)
    ([2.5, 4.0, 0.0], (2, 2))
    """
    output = ops.moveaxis(ops.cast(output, "float32"), axis, -1)
    width = output.shape[-1]
    output = ops.reshape(output, (ops.shape(output)[0], -1, width))
    squares = ops.sum(ops.square(output), -1, keepdims=True)
    size, largest = ops.sqrt(ops.mean(squares) / width), ops.max(ops.abs(output))
    directions = output * ops.rsqrt(ops.maximum(squares, np.finfo(np.float32).tiny))
    tokens = ops.reshape(output, (-1, width))
    step = (ops.shape(tokens)[0] + MAX_TOKENS - 1) // MAX_TOKENS // 2 * 2 + 1
    return ops.stack([size, largest, _cosine(directions)]), tokens[::step]


def _cosine(directions):
    """Returns the mean cosine of directions [B, T, D] over the pairs of different tokens of an example."""
    number = ops.cast(ops.convert_to_tensor(ops.shape(directions)[1]), "float32")
    own = ops.sum(ops.square(directions), (1, 2))
    of_pairs = ops.mean(ops.sum(ops.square(ops.sum(directions, 1)), -1) - own)
    return ops.where(number > 1, of_pairs / ops.maximum(number * (number - 1), 1.0), math.nan)


def effective_rank(tokens: np.ndarray) -> float:
    """Returns how many directions tokens fill: the exponential of the entropy of their singular values.

    The singular values are normalized to a sum of 1 (Roy and Vetterli, "The effective rank", 2007, definition 1).

    Args:
        tokens: Float array [n, D].

    Returns:
        A number in (0, 1], as a part of its maximum min(n, D); NaN where a token is not finite, or all are zero.

    Example:
    >>> round(effective_rank(np.eye(4)), 6), round(effective_rank(np.ones((4, 4))), 6)
    (1.0, 0.25)
    """
    tokens = np.asarray(tokens, np.float64)
    if not np.isfinite(tokens).all() or not tokens.any():
        return math.nan
    number, width = tokens.shape
    squares = np.linalg.eigvalsh(tokens @ tokens.T if number <= width else tokens.T @ tokens)
    values = np.sqrt(squares[squares > squares[-1] * number * np.finfo(np.float64).eps])
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum())) / min(number, width)


def _watches(model):
    blocks = [Watch(name, layer, "call", _kept_of_block) for name, layer in block_candidates(model)]
    return blocks + [Watch(name, one, "call", _kept_of_sum) for name, one in sums(model)]


def _kept_of_block(block, result, *args, **kwargs):
    """Keeps a block's output where it has the shape of the first input."""
    inputs = (first_floats(one) for one in (*args, *kwargs.values()))  # some are masks
    given, output = next((one for one in inputs if one is not None), None), first_floats(result)
    is_alike = given is not None and output is not None and given.shape == output.shape and len(output.shape) > 1
    return output if is_alike else None


def _kept_of_sum(operation, result, *args, **kwargs):
    """Keeps a sum of tensors that have its shape, all of them."""
    output = first_floats(result)
    shapes = [getattr(one, "shape", None) for one in keras.tree.flatten(args)]
    return output if output is not None and len(output.shape) > 1 and set(shapes) == {output.shape} else None


def _reading(watches, calls, results):
    """Reads the last output of each block, or of each sum if the model has no blocks."""
    last = {id(watch.owner): of_watch[-1] for watch, of_watch in zip(watches, calls, strict=True) if of_watch}
    seen = [watch for watch in watches if id(watch.owner) in last]
    blocks = outermost_blocks(watch.owner for watch in seen if watch.keep is _kept_of_block)
    chosen = set(map(id, blocks)) or set(last)
    seen = [watch for watch in seen if id(watch.owner) in chosen]
    if not seen:
        return None
    outputs = [(watch.owner, last[id(watch.owner)]) for watch in seen]
    numbers, tokens = zip(*(of_block(one, unit_axis(owner, len(one.shape))) for owner, one in outputs), strict=True)
    return Reading((ops.stack(numbers), *tokens), functools.partial(_finish, [watch.name for watch in seen]))


def _finish(blocks, arrays):
    numbers, *tokens = arrays
    scalars = {}
    for block, (size, largest, cosine), of_tokens in zip(blocks, numbers.tolist(), tokens, strict=True):
        median = float(np.median(np.abs(of_tokens)))
        scalars[names.tag(names.STREAM_RMS, block)] = size
        scalars[names.tag(names.STREAM_PEAK, block)] = largest / median if median else math.inf
        scalars[names.tag(names.STREAM_RANK, block)] = effective_rank(of_tokens)
        if not math.isnan(cosine):
            scalars[names.tag(names.STREAM_COSINE, block)] = cosine
    return {"scalars": scalars}


RESIDUAL_STREAM = Measure(_watches, _reading)
