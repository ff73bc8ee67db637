"""On every engine, what is told of blocks, moving statistics and experts is what NumPy says in float64."""

import keras
import numpy as np
import probed
import pytest
from keras import ops

from gradlog.backends import experts, moving_statistics, residual_stream

pytestmark = pytest.mark.engines
layers = keras.layers
RNG = np.random.default_rng(4)
X = RNG.normal(size=(3, 5, 8)).astype(np.float32)
IMAGES = RNG.normal(size=(2, 4, 4, 3)).astype(np.float32)
COMPILINGS = {"graph": {}, "xla": {"jit_compile": True}, "eager": {"run_eagerly": True}}


def of_stream(output):
    """The four numbers of a block's output [B, ..., D], pair by pair."""
    output = np.float64(output).reshape(len(output), -1, output.shape[-1])
    tokens = output.reshape(-1, output.shape[-1])
    chosen = tokens[:: 2 * (-(-len(tokens) // 64) // 2) + 1]
    values = np.linalg.svd(chosen, compute_uv=False)
    shares = values / values.sum()
    shares = shares[shares > 0]
    cosines = [
        a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        for example in output
        for first, a in enumerate(example)
        for b in example[:first]
    ]
    found = {
        "rms": np.sqrt((output**2).mean()),
        "peak": abs(output).max() / np.median(abs(chosen)),
        "rank": np.exp(-(shares * np.log(shares)).sum()) / len(values),
    }
    return found | ({"cosine": np.mean(cosines)} if cosines else {})


def stream(history):
    """What was logged of the stream: a dictionary of blocks to their numbers."""
    found = {}
    for tag, number in probed.scalars(history).items():
        if tag.startswith("stream_"):
            prefix, _, block = tag.partition("/")
            found.setdefault(block, {})[prefix.removeprefix("stream_")] = number
    return found


def check(history, outputs):
    found = stream(history)
    assert list(found) == list(outputs)
    for block, output in outputs.items():
        assert found[block] == pytest.approx(of_stream(output), rel=1e-4), block


class Block(layers.Layer):
    """Attention and a dense layer, each added to what it gets."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.attention = layers.MultiHeadAttention(2, 4, name="attention")
        self.dense = layers.Dense(8, "gelu", name="dense")

    def build(self, shape):
        self.attention.build(shape, shape)
        self.dense.build(shape)

    def call(self, x):
        x = x + self.attention(x, x)
        return x + self.dense(x)


class Mixing(layers.Layer):
    """A residual block without attention."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.dense = layers.Dense(8, "tanh", name="dense")

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return x + self.dense(x)


class Stack(layers.Layer):
    def __init__(self, kind, **arguments):
        super().__init__(**arguments)
        self.blocks = [kind(name=f"block{number}") for number in range(3)]

    def build(self, shape):
        for block in self.blocks:
            block.build(shape)

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class Doubling(Mixing):
    """Makes the shape another one, so it is no block."""

    def call(self, x):
        return ops.concatenate([x, super().call(x)], -1)


def model_of(*inner, x=X, **compiling):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input(x.shape[1:]), *inner, layers.Dense(2, name="out")])
    model.compile("sgd", "mse", **compiling)
    return model


@pytest.mark.parametrize("compiling", COMPILINGS)
def test_blocks_side_by_side(compiling):
    model = model_of(Block(name="one"), Mixing(name="two"), **COMPILINGS[compiling])

    first = ops.convert_to_numpy(model.layers[0](X))
    second = ops.convert_to_numpy(model.layers[1](first))
    check(probed.probed(model, X), {"one": first, "two": second})


@pytest.mark.parametrize("kind", [Block, Mixing])
def test_the_blocks_of_a_stack_and_not_the_stack(kind):
    model = model_of(Stack(kind, name="stack"), Doubling(name="doubling"))

    outputs, x = {}, X
    for number, block in enumerate(model.layers[0].blocks):
        outputs[f"stack/block{number}"] = x = ops.convert_to_numpy(block(x))
    check(probed.probed(model, X), outputs)


@pytest.mark.parametrize("has_layers", [True, False])
def test_the_sums_of_a_graph_of_layers(has_layers):
    x = inputs = keras.Input(IMAGES.shape[1:])
    outputs = []
    for number in range(2):
        new = layers.Conv2D(3, 3, padding="same", activation="relu", name=f"convolution{number}")(x)
        x = layers.Add(name=f"sum{number}")([x, new]) if has_layers else x + new
        outputs.append(x)
    model = keras.Model(inputs, layers.Dense(2)(x + 1.0))
    expected = keras.Model(inputs, outputs).predict(IMAGES, verbose=0)

    found = stream(probed.probed(model, IMAGES))

    if has_layers:
        assert list(found) == ["sum0", "sum1"]
    assert [*found.values()] == [pytest.approx(of_stream(one), rel=1e-4) for one in expected]


def test_examples_are_the_tokens_where_there_is_nothing_else():
    x = X[:, 0]
    model = model_of(Mixing(name="block"), x=x)

    history = probed.probed(model, x)

    check(history, {"block": ops.convert_to_numpy(model.layers[0](x))})
    assert "cosine" not in stream(history)["block"]


def test_rank_and_median_are_of_some_tokens():
    x = RNG.normal(size=(2, 300, 8)).astype(np.float32)
    model = model_of(Mixing(name="block"), x=x)

    check(probed.probed(model, x), {"block": ops.convert_to_numpy(model.layers[0](x))})


def test_tokens_that_are_alike_and_such_that_are_not():
    alike, different = np.ones((2, 4, 4), np.float32), np.eye(4, dtype=np.float32)[None]
    numbers = {
        name: residual_stream.of_block(ops.convert_to_tensor(one))[0]
        for name, one in {"alike": alike, "different": different}.items()
    }

    np.testing.assert_allclose(ops.convert_to_numpy(numbers["alike"]), [1, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(numbers["different"]), [0.5, 1, 0], atol=1e-6)
    assert residual_stream.effective_rank(alike.reshape(-1, 4)) == pytest.approx(1 / 4)
    assert residual_stream.effective_rank(different[0]) == pytest.approx(1)
    assert np.isnan(residual_stream.effective_rank(np.full((2, 2), np.nan)))


# Batch normalization.


@pytest.mark.parametrize("compiling", COMPILINGS)
def test_moving_statistics_against_those_of_the_batch(compiling):
    model = model_of(layers.BatchNormalization(name="norm"), x=IMAGES, **COMPILINGS[compiling])
    mean, variance = np.array([0.5, -2, 0], np.float32), np.array([1, 4, 0.1], np.float32)
    model.layers[0].moving_mean.assign(mean)
    model.layers[0].moving_variance.assign(variance)

    found = probed.scalars(probed.probed(model, IMAGES))

    pixels = np.float64(IMAGES).reshape(-1, 3)
    spread = pixels.var(0) + 1e-3
    assert found == pytest.approx(
        {
            "moving_mean_error/norm": (abs(mean - pixels.mean(0)) / np.sqrt(spread)).mean(),
            "moving_variance_error/norm": abs(np.log((variance + 1e-3) / spread)).mean(),
        },
        rel=1e-5,
    )


def test_statistics_of_what_is_not_masked_and_of_channels_that_come_first():
    mask = np.arange(5) < np.array([5, 2, 3])[:, None]
    given = X.astype(np.float64)[mask]
    for axis, inputs in ((-1, X), (1, X.transpose(0, 2, 1))):
        numbers = moving_statistics.moving_errors(
            ops.convert_to_tensor(inputs), ops.ones(8), ops.ones(8), axis, 0.0, ops.convert_to_tensor(mask)
        )
        expected = [(abs(1 - given.mean(0)) / given.std(0)).mean(), abs(np.log(given.var(0))).mean()]
        np.testing.assert_allclose(ops.convert_to_numpy(numbers), expected, rtol=1e-5)


# Experts.


class Experts(layers.Layer):
    def __init__(self, num_experts, top_k, **arguments):
        super().__init__(**arguments)
        self.num_experts, self.top_k = num_experts, top_k
        self.router = layers.Dense(num_experts, name="router")
        self.gate_of_all = layers.Dense(1, name="gate")

    def build(self, shape):
        self.router.build(shape)
        self.gate_of_all.build(shape)

    def call(self, x):
        return x * self.gate_of_all(x) * ops.max(self.router(x), -1, keepdims=True)


@pytest.mark.parametrize("compiling", COMPILINGS)
@pytest.mark.parametrize("top_k", [1, 2])
def test_the_load_of_the_busiest_expert(top_k, compiling):
    model = model_of(Experts(4, top_k, name="experts"), **COMPILINGS[compiling])

    found = probed.scalars(probed.probed(model, X))

    kernel, bias = (ops.convert_to_numpy(one) for one in model.layers[0].router.weights)
    logits = X.reshape(-1, 8).astype(float) @ kernel + bias
    chosen = np.argsort(-logits, axis=1)[:, :top_k]
    assert found == {"expert_load/experts": pytest.approx(np.bincount(chosen.ravel()).max() / chosen.size * 4)}


def test_even_and_uneven_experts():
    even, uneven = np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)[[2] * 5]

    loads = [float(experts.expert_load([ops.convert_to_tensor(one)], 1)) for one in (even, uneven)]

    assert loads == [1, 4]
