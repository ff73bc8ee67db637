"""On every engine, what is told of attention heads is what NumPy says in float64, of any mask, fused or not."""

import keras
import numpy as np
import probed
import pytest
from keras import ops

import gradlog
from gradlog.backends import attention, attention_layers

pytestmark = pytest.mark.engines
layers = keras.layers
B, T, S, M, H, D = 3, 5, 6, 8, 4, 2
RNG = np.random.default_rng(2)
X, OTHER = RNG.normal(size=(B, T, M)).astype(np.float32), RNG.normal(size=(B, S, M)).astype(np.float32)
LENGTHS = np.array([5, 3, 1])
IS_TOKEN = np.arange(T) < LENGTHS[:, None]
CAUSAL = np.tril(np.ones((T, T), bool))[None]
COMPILINGS = {"graph": {}, "xla": {"jit_compile": True}, "eager": {"run_eagerly": True}}
KINDS = {
    "fused": lambda: layers.MultiHeadAttention(H, D, name="attention"),
    "not fused": lambda: layers.MultiHeadAttention(H, D, dropout=0.3, name="attention"),
    "grouped": lambda: layers.GroupQueryAttention(D, H, 2, name="attention"),
    "grouped, not fused": lambda: layers.GroupQueryAttention(D, H, 2, dropout=0.3, name="attention"),
}


def large(layer):
    """Makes weights large enough for attention that is far from even."""
    for one in layer.weights:
        one.assign(RNG.normal(size=one.shape))


def by_hand(layer, query, key, mask=None):
    weights = [ops.convert_to_numpy(one) for one in layer.weights]
    queries, keys = probed.project(query, *weights[:2]), probed.project(key, *weights[2:4])
    return probed.heads(queries, np.repeat(keys, H // keys.shape[2], axis=2), mask)


def check(history, expected, name="attention"):
    np.testing.assert_allclose(history.attention.values[0, 0], expected, rtol=1e-5)
    assert history.attention.layers == (name,)
    assert history.attention.steps.tolist() == [0]
    entropy, logit, share = expected.T
    found = {tag: number for tag, number in probed.scalars(history).items() if tag.startswith("attention")}
    assert found == {
        f"attention_entropy/{name}": pytest.approx(entropy.mean(), rel=1e-5),
        f"attention_logit/{name}": pytest.approx(logit.max(), rel=1e-5),
        f"attention_sink/{name}": pytest.approx(share.mean(), rel=1e-5),
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("arguments", "mask"),
    [
        ({}, None),
        ({"use_causal_mask": True}, CAUSAL),
        ({"attention_mask": IS_TOKEN[:, None]}, IS_TOKEN[:, None]),
        ({"attention_mask": IS_TOKEN[:, None], "use_causal_mask": True}, IS_TOKEN[:, None] & CAUSAL),
    ],
    ids=["all", "causal", "padding", "both"],
)
def test_each_head_of_each_mask(kind, arguments, mask):
    layer = KINDS[kind]()
    model = Calls(layer, arguments)
    model(X)
    large(layer)

    check(probed.probed(model, X), by_hand(layer, X, X, mask))


@pytest.mark.parametrize("kind", ["grouped", "grouped, not fused"])
def test_a_query_that_sees_nothing_does_not_count(kind):
    layer = KINDS[kind]()
    model = Calls(layer, {"query_mask": IS_TOKEN, "value_mask": IS_TOKEN})
    model(X)
    large(layer)

    check(probed.probed(model, X), by_hand(layer, X, X, IS_TOKEN[:, None] & IS_TOKEN[:, :, None]))


class Calls(keras.Model):
    """Calls one layer with itself and further arguments, for every example."""

    def __init__(self, layer, arguments):
        super().__init__()
        self.layer, self.arguments = layer, arguments

    def call(self, x):
        return self.layer(x, x, **self.arguments)


@pytest.mark.parametrize("compiling", COMPILINGS)
def test_attention_to_another_sequence(compiling):
    inputs = [keras.Input((T, M)), keras.Input((S, M))]
    layer = layers.MultiHeadAttention(H, D, name="attention")
    model = keras.Model(inputs, layers.Dense(1)(layer(*inputs)))
    model.compile("sgd", "mse", **COMPILINGS[compiling])
    large(layer)

    check(probed.probed(model, [X, OTHER]), by_hand(layer, X, OTHER))


def test_the_mask_of_an_embedding():
    inputs = keras.Input((T,), dtype="int32")
    embedding, layer = layers.Embedding(9, M, mask_zero=True), layers.MultiHeadAttention(H, D, name="attention")
    embedded = embedding(inputs)
    model = keras.Model(inputs, layers.Dense(1)(layer(embedded, embedded)))
    large(embedding)
    large(layer)
    tokens = np.where(IS_TOKEN, RNG.integers(1, 9, (B, T)), 0)
    x = ops.convert_to_numpy(embedding.embeddings)[tokens]

    check(probed.probed(model, tokens), by_hand(layer, x, x, IS_TOKEN[:, None] & IS_TOKEN[:, :, None]))


def test_several_axes_of_queries_and_keys():
    x, mask = RNG.normal(size=(2, 3, 4, M)).astype(np.float32), RNG.random((2, 3, 4, 3, 4)) > 0.3
    layer = layers.MultiHeadAttention(H, D, name="attention")
    model = Calls(layer, {"attention_mask": mask})
    model(x)
    large(layer)

    flat = x.reshape(2, 12, M)
    check(probed.probed(model, x), by_hand(layer, flat, flat, mask.reshape(2, 12, 12)))


def test_a_shared_layer_counts_all_its_calls():
    inputs, layer = keras.Input((T, M)), layers.MultiHeadAttention(H, D, name="attention")
    model = keras.Model(inputs, layers.Add()([layer(inputs, inputs), layer(2 * inputs, 2 * inputs)]))
    large(layer)
    one, other = by_hand(layer, X, X), by_hand(layer, 2 * X, 2 * X)
    expected = np.stack([(one[:, 0] + other[:, 0]) / 2, other[:, 1], (one[:, 2] + other[:, 2]) / 2], 1)

    check(probed.probed(model, X), expected)


def test_layers_with_fewer_heads_are_filled_up_with_nan():
    inputs = keras.Input((T, M))
    wide, narrow = layers.MultiHeadAttention(3, D, name="wide"), layers.MultiHeadAttention(1, D, name="narrow")
    between = wide(inputs, inputs)
    model = keras.Model(inputs, layers.Dense(1)(narrow(between, between)))

    found = probed.probed(model, X).attention

    assert found.layers == ("wide", "narrow")
    assert found.values.shape == (1, 2, 3, 3)
    assert np.isnan(found.values[0]).any(-1).tolist() == [[False] * 3, [False, True, True]]


def test_of_many_scores_only_the_first_examples_count(monkeypatch):
    monkeypatch.setattr(attention_layers, "MAX_SCORES", 2 * H * T * T + 1)
    layer = layers.MultiHeadAttention(H, D, name="attention")
    model = Calls(layer, {"attention_mask": IS_TOKEN[:, None]})
    model(X)
    large(layer)

    check(probed.probed(model, X), by_hand(layer, X[:2], X[:2], IS_TOKEN[:2, None]))


def test_heads_that_look_at_one_token_and_at_all_alike():
    scores = np.zeros((1, 2, 3, 4), np.float32)
    scores[0, 0, :, 0] = 1000

    found = ops.convert_to_numpy(attention.of_heads([(ops.convert_to_tensor(scores), None)]))

    np.testing.assert_allclose(found, [[0, 1000, 1], [1, 0, 0.25]], atol=1e-6)


def test_a_layer_with_attention_of_its_own_kind_is_left_out():
    class Own(layers.MultiHeadAttention):
        def _compute_attention(self, query, key, value, *args, **kwargs):
            return super()._compute_attention(query, -key, value, *args, **kwargs)

    class Same(layers.MultiHeadAttention):
        """Only its name is its own."""

    assert not attention_layers.is_dot_product_attention(Own(2, 2))
    assert attention_layers.is_dot_product_attention(Same(2, 2))


def test_a_training_logs_every_head_and_is_not_changed(tmp_path):
    def trained(name, batch):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((T, M))
        layer = layers.MultiHeadAttention(H, D, name="attention")
        outputs = layers.Dense(1)(layers.BatchNormalization(name="norm")(inputs + layer(inputs, inputs)))
        model = keras.Model(inputs, outputs)
        model.compile(keras.optimizers.SGD(0.1), "mse")
        before = by_hand(layer, X, X)
        logger = gradlog.GradientLogger(tmp_path / name, every=2, activations=batch)
        model.fit(X, X[..., :1], batch_size=1, shuffle=False, epochs=2, verbose=0, callbacks=[logger])
        assert logger.error is None
        return before, [ops.convert_to_numpy(one) for one in model.weights]

    _, plain = trained("plain", None)
    before, weights = trained("probed", X)

    for one, other in zip(plain, weights, strict=True):
        np.testing.assert_array_equal(one, other)
    found = gradlog.read(tmp_path / "probed").attention
    assert found.steps.tolist() == [0, 2, 4]
    np.testing.assert_allclose(found.values[0, 0], before, rtol=1e-5)
    assert gradlog.read(tmp_path / "plain").attention is None
