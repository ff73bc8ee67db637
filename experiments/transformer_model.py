"""The language model of `experiments.transformers`: blocks of attention and dense layers around a residual stream."""

import keras


class Block(keras.layers.Layer):
    """A block of a transformer, with its normalization before or behind each part.

    *Pre-norm* adds what attention and dense layers make of the normalized stream to the stream itself; *post-norm*
    normalizes the stream after each addition (Xiong et al., "On Layer Normalization in the Transformer Architecture",
    2020).

    Args:
        heads: Integer.
        is_post_norm: Boolean.
    """

    def __init__(self, heads, is_post_norm, **arguments):
        super().__init__(**arguments)
        self.heads, self.is_post_norm = heads, is_post_norm

    def build(self, shape):
        """Makes the layers for a stream [batch, length, width]."""
        width = shape[-1]
        self.attention_norm = keras.layers.LayerNormalization(name="attention_norm")
        self.attention = keras.layers.MultiHeadAttention(self.heads, width // self.heads, name="attention")
        self.dense_norm = keras.layers.LayerNormalization(name="dense_norm")
        self.expand = keras.layers.Dense(4 * width, "gelu", name="expand")
        self.contract = keras.layers.Dense(width, name="contract")
        for layer in (self.attention_norm, self.dense_norm, self.expand):
            layer.build(shape)
        self.attention.build(shape, shape)
        self.contract.build((*shape[:-1], 4 * width))

    def call(self, stream):
        """Returns the stream after the block, of the same shape."""
        if self.is_post_norm:
            stream = self.attention_norm(stream + self._attend(stream))
            return self.dense_norm(stream + self._transform(stream))
        stream = stream + self._attend(self.attention_norm(stream))
        return stream + self._transform(self.dense_norm(stream))

    def _attend(self, stream):
        return self.attention(stream, stream, use_causal_mask=True)

    def _transform(self, stream):
        return self.contract(self.expand(stream))


class Positions(keras.layers.Layer):
    """Adds a learned vector for each place to a stream [batch, length, width]."""

    def build(self, shape):
        """Makes the vectors."""
        self.vectors = self.add_weight(shape=shape[1:], initializer=keras.initializers.RandomNormal(stddev=0.02))

    def call(self, stream):
        """Returns the stream, of the same shape."""
        return stream + self.vectors


def language_model(characters, length, blocks, width, heads, is_post_norm):
    """Returns a model from characters [batch, length] to the logits of the next ones [batch, length, characters]."""
    inputs = keras.Input((length,), dtype="int32")
    stream = keras.layers.Embedding(characters, width, name="characters")(inputs)
    stream = Positions(name="positions")(stream)
    for number in range(blocks):
        stream = Block(heads, is_post_norm, name=f"block_{number}")(stream)
    if not is_post_norm:
        stream = keras.layers.LayerNormalization(name="final_norm")(stream)
    return keras.Model(inputs, keras.layers.Dense(characters, name="next_character")(stream))
