"""Small transformers of keras-hub's families, and what they are to learn: tokens, and pictures of digits."""

import functools

import keras
import numpy as np

# Of a small transformer.
_SIZES = {"num_heads": 2, "hidden_dim": 32}
_OF_TOKENS = {**_SIZES, "intermediate_dim": 64, "dropout": 0.0}
LENGTH, KINDS, ROWS = 16, 16, 1792  # tokens in a row, kinds of tokens, rows; an epoch has 56 batches


@functools.cache
def pairs():
    """Returns rows of tokens, int32 [n, `LENGTH`], and whether a 2 comes somewhere after a 1: about one half do."""
    generator = np.random.default_rng(0)
    x = generator.integers(3, KINDS, (ROWS, LENGTH)).astype(np.int32)
    y = generator.integers(0, 2, ROWS)
    places = np.sort(np.argsort(generator.random((ROWS, LENGTH)), axis=1)[:, :2], axis=1)
    first = np.where(y == 1, 1, 2)
    np.put_along_axis(x, places, np.stack([first, 3 - first], axis=1).astype(np.int32), 1)
    return x, y


@functools.cache
def periods():
    """Returns rows of tokens that repeat after 2 to 4 places, int32 [n, `LENGTH`], and each place's next token."""
    generator = np.random.default_rng(0)
    tokens = generator.integers(1, KINDS, (ROWS, 4))
    lengths = generator.integers(2, 5, (ROWS, 1))
    places = np.arange(LENGTH + 1)[None] % lengths
    rows = np.take_along_axis(tokens, places, 1).astype(np.int32)
    return rows[:, :-1], rows[:, 1:]


def _compiled(inputs, outputs, optimizer, **compiling):
    model = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer(), loss, metrics=["accuracy"], jit_compile=False, **compiling)  # XLA takes longer
    return model


def bert(optimizer, num_layers=2, compiling=None, **arguments):
    """Returns a function that makes a BERT of two classes; layers are normalized after each sum."""

    def build():
        from keras_hub.models import BertBackbone

        sizes = {**_OF_TOKENS, "max_sequence_length": LENGTH, "num_layers": num_layers}
        backbone = BertBackbone(KINDS, **sizes, **arguments)
        tokens = keras.Input((LENGTH,), dtype="int32")
        known = {"token_ids": tokens, "padding_mask": keras.ops.ones_like(tokens)}
        pooled = backbone(known | {"segment_ids": keras.ops.zeros_like(tokens)})["pooled_output"]
        head = keras.layers.Dense(2, name="head", dtype="float32")(pooled)
        return _compiled(tokens, head, optimizer, **compiling or {})

    return build


def _causal(name, optimizer, compiling, change, sizes):
    def build():
        import keras_hub

        backbone = getattr(keras_hub.models, name)(KINDS, **sizes)
        tokens = keras.Input((LENGTH,), dtype="int32")
        known = {"token_ids": tokens, "padding_mask": keras.ops.ones_like(tokens)}
        logits = backbone.token_embedding(backbone(known), reverse=True)
        model = _compiled(tokens, logits, optimizer, **compiling or {})
        if change:
            change(backbone)
        return model

    return build


def gpt2(optimizer, num_layers=2, compiling=None, change=None, **arguments):
    """Returns a function that makes a GPT-2 that foretells the next token."""
    sizes = {**_OF_TOKENS, "max_sequence_length": LENGTH, "num_layers": num_layers}
    return _causal("GPT2Backbone", optimizer, compiling, change, sizes | arguments)


def mixtral(optimizer, num_layers=2, compiling=None, **arguments):
    """Returns a function that makes a Mixtral, a mixture of four experts, that foretells the next token."""
    sizes = {"num_layers": num_layers, "num_query_heads": 2, "num_key_value_heads": 2, "num_experts": 4}
    return _causal(
        "MixtralBackbone", optimizer, compiling, None, {**sizes, "hidden_dim": 32, "intermediate_dim": 64, **arguments}
    )


def vit(optimizer, num_layers=2, compiling=None, **arguments):
    """Returns a function that makes a ViT of ten digits, in patches of 2 by 2 pixels."""

    def build():
        from keras_hub.models import ViTBackbone

        backbone = ViTBackbone((8, 8, 1), 2, num_layers, mlp_dim=64, **_SIZES, **arguments)
        images = keras.Input((8, 8, 1))
        head = keras.layers.Dense(10, name="head", dtype="float32")(backbone(images)[:, 0])
        return _compiled(images, head, optimizer, **compiling or {})

    return build
