"""Embeddings: their gradient comes as the rows that a batch touches, and is never made dense."""

import tensorflow as tf


def touched_rows(gradient: tf.IndexedSlices) -> tf.Tensor:
    """Returns the rows of an embedding's gradient, each once.

    A batch may touch a row several times. Such rows are summed, as the optimizer sums them. The sums stand in as many
    rows as were touched, of which those left over are zeros; so are the rows of the gradient that are not here.

    Args:
        gradient: An `IndexedSlices` of n slices.

    Returns:
        Tensor [n, …].

    Example:
    >>> slices = tf.IndexedSlices(tf.constant([[1.0], [2.0], [4.0]]), tf.constant([7, 9, 7]))
    >>> touched_rows(slices).numpy().tolist()
    [[5.0], [2.0], [0.0]]
    """
    order = tf.argsort(gradient.indices)
    indices = tf.gather(gradient.indices, order)
    is_new = tf.concat([tf.ones_like(indices[:1]), tf.cast(indices[1:] != indices[:-1], indices.dtype)], 0)
    segment = tf.cumsum(is_new) - 1
    return tf.math.unsorted_segment_sum(tf.gather(gradient.values, order), segment, tf.shape(indices)[0])
