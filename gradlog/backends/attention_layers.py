"""Attention layers: which layers take a softmax of scaled products of queries and keys, and what these products are."""

import math
from typing import Any

import keras
from keras import ops

_OF_KERAS = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
_STEPS = ("_compute_attention", "_masked_softmax")  # a subclass with its own may attend in another way
# Layers of keras-hub whose `_compute_attention` has the arguments, the scale and the softmax of Keras' own. Others have
# terms of their own: soft caps (Gemma), positions (T5, DeBERTa, BLOOM, XLNet), a sink that is learned (GPT-OSS).
_OF_KERAS_HUB = {
    "CachedMistralAttention",
    "CachedMixtralAttention",
    "GPTNeoXAttention",
    "LlamaAttention",
    "Phi3Attention",
    "Qwen3Attention",
    "Qwen3MoeAttention",
    "Qwen3_5Attention",
    "QwenAttention",
    "QwenMoeAttention",
    "SmolLM3Attention",
}
MAX_SCORES = 1 << 26  # of a layer at once, 256 MB; of a larger batch the first examples are looked at


def is_dot_product_attention(layer: keras.layers.Layer) -> bool:
    """Whether the scores of a layer are the scaled products of what its `_compute_attention` gets.

    Example:
    >>> is_dot_product_attention(keras.layers.MultiHeadAttention(2, 8)), is_dot_product_attention(keras.layers.Dense(2))
    (True, False)
    """
    for own in _OF_KERAS:
        if isinstance(layer, own):
            return all(getattr(type(layer), step, None) is getattr(own, step, None) for step in _STEPS)
    is_known = any(
        one.__name__ in _OF_KERAS_HUB and one.__module__.startswith("keras_hub.") for one in type(layer).__mro__
    )
    return is_known and not _has_window(layer)


def _has_window(layer):
    """Whether a layer of keras-hub narrows its mask; it does so on some engines alone."""
    return getattr(layer, "use_sliding_window_attention", bool(getattr(layer, "sliding_window_size", None)))


def scores_of(layer: keras.layers.Layer, query, key, mask=None, is_causal: bool = False) -> tuple[Any, Any]:
    """Returns the scores of a call of an attention layer ahead of the softmax, and its mask.

    Args:
        layer: One of which `is_dot_product_attention` holds.
        query: Tensor [B, T, H, D] of examples, queries, heads and depth. Of `MultiHeadAttention` there may be several
            axes of queries and keys, and further axes of examples.
        key: Tensor [B, S, H, D].
        mask: Tensor as the layer takes it, true where a query sees a key; `None` for everywhere.
        is_causal: Boolean, whether a query does not see the keys behind its own place.

    Returns:
        Float32 tensor [B, H, T, S], of the first examples where more than `MAX_SCORES` would come of all; and a
        boolean tensor that broadcasts to it, or `None`.
    """
    scale = getattr(layer, "_inv_norm_factor", query.shape[-1] ** -0.5)
    if len(query.shape) != 4:
        return _scores_of_more_axes(layer, query, key, mask, scale)
    size = (*query.shape[1:3], key.shape[1])
    rows = None if None in size else max(1, MAX_SCORES // math.prod(size))
    query, key = (ops.cast(one[:rows], "float32") for one in (query, key))
    scores = ops.einsum("btnh,bsnh->bnts", query * scale, key)
    mask = _expanded(mask, 4, -3)
    if is_causal:
        causal = ops.arange(query.shape[1])[:, None] >= ops.arange(key.shape[1])
        mask = causal if mask is None else ops.logical_and(mask, causal)
    return scores, mask if mask is None or len(mask.shape) < 4 else mask[:rows]


def _scores_of_more_axes(layer, query, key, mask, scale):
    query, key = (ops.cast(one, "float32") for one in (query, key))
    scores, num_axes = ops.einsum(layer._dot_product_equation, key, query * scale), len(layer._attention_axes)
    mask = _expanded(mask, len(scores.shape), -2 * num_axes - 1)
    if mask is not None:
        mask = _flat(ops.broadcast_to(mask, ops.shape(scores)), num_axes)
    return _flat(scores, num_axes), mask


def _expanded(mask, rank, axis):
    """Returns a mask with as many axes as the scores have, as Keras expands it."""
    if mask is None:
        return None
    for _ in range(rank - len(mask.shape)):
        mask = ops.expand_dims(mask, axis)
    return ops.cast(mask, "bool")


def _flat(scores, num_axes):
    """Returns scores [B, H, T, S] of such with several axes of each kind but the heads."""
    shape = ops.shape(scores)
    queries, keys = shape[-2 * num_axes : -num_axes], shape[-num_axes:]
    return ops.reshape(scores, (-1, shape[-2 * num_axes - 1], math.prod(queries), math.prod(keys)))
