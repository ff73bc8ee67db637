"""Attention: how widely each head looks, how large its logits are, and how much goes to the first token.

A head whose entropy falls to zero looks at one token alone, after which training becomes unstable (Zhai et al.,
"Stabilizing Transformer Training by Preventing Attention Entropy Collapse", 2023); logits grow before that (Dehghani et
al., "Scaling Vision Transformers to 22 Billion Parameters", 2023). A head with nothing to look for looks at the first
token, the sink (Xiao et al., "Efficient Streaming Language Models with Attention Sinks", 2024).

With fused attention the scores never exist, so they are computed again, in float32, of the query, the key and the mask
that `_compute_attention` gets.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from gradlog.backends.attention_layers import is_dot_product_attention, scores_of
from gradlog.backends.layers import named_layers
from gradlog.backends.measures import Measure, Reading
from gradlog.backends.watching import Watch
from gradlog.history import names

_MASKED = -1e30  # its exponential is zero; unlike -inf, it can be multiplied by zero


def of_heads(calls: Sequence) -> Any:
    """Returns what is told of each head of a layer.

    Queries that see one key, or none, have nothing to choose between, and are left out of entropy and share.

    Args:
        calls: Pairs, one for each time that the layer was called: the scores ahead of the softmax, a float32 tensor
            [B, H, T, S] of examples, heads, queries and keys, and a boolean tensor that broadcasts to it, true where a
            query sees a key, or `None` where all do.

    Returns:
        Float32 tensor [H, 3]: the mean entropy of the attention, as a part of its maximum log(number of visible keys),
        in [0, 1]; the largest absolute score of a key that is seen; the mean share of the first key, in [0, 1].

    Example:
    >>> np.asarray(of_heads([(ops.zeros((1, 2, 3, 4)), None)])).tolist()  # of two heads that look everywhere alike
    [[1.0, 0.0, 0.25], [1.0, 0.0, 0.25]]
    """
    found = [_sums(scores, mask) for scores, mask in calls]
    entropies, shares, numbers, largest = (ops.stack(part) for part in zip(*found, strict=True))
    number = ops.sum(numbers, 0)
    return ops.stack([ops.sum(entropies, 0) / number, ops.max(largest, 0), ops.sum(shares, 0) / number], -1)


def _sums(scores, mask):
    """Returns the sums of entropies and of shares, how many queries they are of, and the largest score, [H] each."""
    seen = scores if mask is None else ops.where(mask, scores, _MASKED)
    distances = seen - ops.max(seen, -1, keepdims=True)
    exponentials = ops.exp(distances)
    total = ops.sum(exponentials, -1)
    entropies = ops.log(total) - ops.sum(exponentials * distances, -1) / total
    shares = exponentials[..., 0] / total
    largest = ops.max(ops.abs(scores if mask is None else ops.where(mask, scores, 0.0)), (0, 2, 3))
    num_keys = _num_keys(scores, mask)
    has_choice = ops.broadcast_to(num_keys > 1, ops.shape(total))
    entropies = entropies / ops.log(ops.maximum(num_keys, 2.0))
    sums = (ops.sum(ops.where(has_choice, each, 0.0), (0, 2)) for each in (entropies, shares))
    return *sums, ops.sum(ops.cast(has_choice, "float32"), (0, 2)), largest


def _num_keys(scores, mask):
    """Returns how many keys each query sees, float32; broadcasts to [B, H, T]."""
    if mask is None:
        return ops.cast(ops.convert_to_tensor(ops.shape(scores)[-1]), "float32")
    return ops.sum(ops.cast(mask, "float32"), -1)


def _watches(model):
    attends = [(name, layer) for name, layer in named_layers(model) if is_dot_product_attention(layer)]
    return [Watch(name, layer, "_compute_attention", _kept) for name, layer in attends]


def _kept(layer, result, query, key, value, attention_mask=None, *others, use_causal_mask=False, **more):
    return query, key, attention_mask, use_causal_mask


def _reading(watches, calls, results):
    """Reads [H, 3] of each of the layers that were called."""
    seen = [(watch, of_watch) for watch, of_watch in zip(watches, calls, strict=True) if of_watch]
    if not seen:
        return None
    tensors = [of_heads([scores_of(watch.owner, *call) for call in of_watch]) for watch, of_watch in seen]
    return Reading(tensors, functools.partial(_finish, tuple(watch.name for watch, _ in seen)))


def _finish(layers, arrays):
    table = np.full((len(arrays), max(map(len, arrays)), len(names.ATTENTION_VALUES)), np.nan, np.float32)
    scalars = {}
    for row, (layer, of_layer) in enumerate(zip(layers, arrays, strict=True)):
        table[row, : len(of_layer)] = of_layer
        entropy, logit, share = of_layer.T
        scalars[names.tag(names.ATTENTION_ENTROPY, layer)] = float(np.mean(entropy))
        scalars[names.tag(names.ATTENTION_LOGIT, layer)] = float(np.max(logit))
        scalars[names.tag(names.ATTENTION_SINK, layer)] = float(np.mean(share))
    return {"attention_layers": layers, "attention": table, "scalars": scalars}


ATTENTION = Measure(_watches, _reading)
