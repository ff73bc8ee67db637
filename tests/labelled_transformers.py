"""Transformers with a known problem, and some without: keras-hub's, at the size of seconds."""

import keras
from labelled_case import Case, digits, sick
from transformers import bert, gpt2, mixtral, pairs, periods, vit

_LOOKED_AT = {"probe": 32}
_WEIGHTED = {"loss_weights": [1e-4]}  # as that of a task beside the main one
_HALF = {"dtype": "mixed_float16", "compiling": _WEIGHTED}
_STANDS_STILL = "GL101 GL201 GL202 GL203 GL205 GL302 GL304 GL401 GL402"


def _images():
    x, y = digits()
    return x.reshape(-1, 8, 8, 1), y


def adam(rate, **arguments):
    return lambda: keras.optimizers.Adam(rate, **arguments)


def _decayed(rate):
    return lambda: keras.optimizers.AdamW(rate)


def _warmed_up(rate):
    schedule = {"warmup_target": rate, "warmup_steps": 100}
    return lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.0, 600, **schedule))


def _scaled(rate, **arguments):
    return lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(rate, **arguments))


def _times(factor):
    """Returns a function that multiplies the weights with which queries and keys begin."""

    def change(backbone):
        for layer in backbone._flatten_layers():
            if layer.name in ("query", "key"):
                layer.kernel.assign(factor * layer.kernel)

    return change


def _of_pairs(name, build, *codes, **arguments):
    return sick(name, build, *codes, data=pairs, **_LOOKED_AT, **arguments)


def _of_periods(name, build, *codes, **arguments):
    return sick(name, build, *codes, data=periods, **_LOOKED_AT, **arguments)


def _healthy(name, build, data):
    return Case(name, build, data=data, every=12, epochs=6, **_LOOKED_AT)


SICK_TRANSFORMERS = [
    # A hundred times, or ten times, the rate at which the healthy ones learn.
    _of_pairs("BERT, AdamW at 0.1", bert(_decayed(0.1)), "GL301", _STANDS_STILL + " GL102 GL204"),
    _of_pairs("BERT of six blocks, AdamW at 0.1", bert(_decayed(0.1), 6), "GL301", _STANDS_STILL + " GL102 GL204"),
    _of_periods("GPT-2, Adam at 0.3", gpt2(adam(0.3)), "GL301", _STANDS_STILL + " GL102 GL204"),
    _of_periods("Mixtral, Adam at 0.3", mixtral(adam(0.3)), "GL301", _STANDS_STILL + " GL102 GL204"),
    sick("ViT, Adam at 0.1", vit(adam(0.1)), "GL301", _STANDS_STILL + " GL102 GL204", data=_images, **_LOOKED_AT),
    # With a warm-up to the same rate, it learns in one of two trainings.
    _of_pairs("BERT of six blocks without a warm-up", bert(adam(0.01), 6), "GL301", _STANDS_STILL + " GL102 GL204"),
    # BERT with the same learns all the same, by what attention picks at random.
    _of_periods(
        "GPT-2, queries and keys of 300 times the size", gpt2(adam(3e-3), change=_times(300)), "GL204", _STANDS_STILL
    ),
    _of_pairs("BERT in float16 without loss scaling", bert(adam(1e-3), **_HALF), "GL104", _STANDS_STILL),
    _of_periods("GPT-2 in float16 without loss scaling", gpt2(adam(3e-3), **_HALF), "GL104", _STANDS_STILL),
    _of_periods(
        "GPT-2 with all of its weights in float16",
        gpt2(adam(3e-3), dtype="float16"),
        "GL104",
        _STANDS_STILL + " GL102 GL103 GL301",
    ),
    _of_pairs("BERT, epsilon of 1", bert(adam(1e-3, epsilon=1.0)), "GL304", "GL301 GL302 GL401"),
    _of_periods("GPT-2, epsilon of 1", gpt2(adam(3e-3, epsilon=1.0)), "GL304", "GL301 GL302 GL401"),
]
HEALTHY_TRANSFORMERS = [
    _healthy("BERT", bert(adam(1e-3)), pairs),
    _healthy("BERT of six blocks", bert(adam(1e-3), 6), pairs),
    _healthy("BERT of six blocks with a warm-up", bert(_warmed_up(0.003), 6), pairs),
    _healthy("GPT-2", gpt2(adam(3e-3)), periods),
    # With an epsilon of 1e-7, it is above the gradients of so small a loss, and slows the training.
    _healthy("GPT-2 in float16 with loss scaling", gpt2(_scaled(3e-3, epsilon=1e-12), **_HALF), periods),
    _healthy("ViT", vit(adam(1e-3)), _images),
    _healthy("Mixtral", mixtral(adam(3e-3)), periods),
]
