"""The probe sees keras-hub's transformers: what it says of their attention is what their own softmax returns."""

import keras
import numpy as np
import pytest
from marks import in_combinations

import gradlog
from gradlog.backends.probe import Probe
from gradlog.history.history import Snapshot
from gradlog.session.guard import Guard
from gradlog.writers import MemoryWriter

keras_hub = pytest.importorskip("keras_hub")
models = keras_hub.models
IDS = np.random.default_rng(0).integers(1, 50, (3, 8))
MASK = np.arange(8) < np.array([8, 5, 2])[:, None]
TEXT = {"token_ids": IDS, "padding_mask": MASK.astype(int)}
SIZES = {"vocabulary_size": 50, "num_layers": 2, "hidden_dim": 16, "intermediate_dim": 32}
GROUPED = SIZES | {"num_query_heads": 4, "num_key_value_heads": 2}
FAMILIES = {
    "bert": lambda: models.BertBackbone(**SIZES, num_heads=2, max_sequence_length=8),
    "gpt2": lambda: models.GPT2Backbone(**SIZES, num_heads=2, max_sequence_length=8),
    "llama": lambda: models.LlamaBackbone(**GROUPED),
    "gpt_neo_x": lambda: models.GPTNeoXBackbone(**SIZES, num_heads=2),
    "mixtral": lambda: models.MixtralBackbone(**GROUPED, num_experts=4, top_k=2),
}


def inputs_of(model):
    extra = {"segment_ids": IDS * 0} if len(model.inputs) == 3 else {}
    return TEXT | extra


def built(family):
    """A small backbone with weights so large that attention is uneven."""
    keras.utils.set_random_seed(3)
    model = FAMILIES[family]()
    rng = np.random.default_rng(1)
    for layer in model._flatten_layers():
        if layer.name in ("query", "key", "query_key_value"):
            for one in layer.weights:
                one.assign(rng.normal(size=one.shape) * 0.7)
    return model


def probed(model, x):
    probe, writer, guard = Probe(x, False), MemoryWriter(), Guard("looking")
    probe.begin(model, guard)
    probe.observe()
    assert guard.error is None, repr(guard.error)
    writer.write(probe.take().added_to(Snapshot(0, (), (), np.zeros((0, 0), np.float32))))
    return writer.history()


def attention_layers(model):
    return [one for one in model._flatten_layers() if hasattr(one, "_masked_softmax")]


def witnessed(model, x):
    """What the softmax of each attention layer gets and returns: [scores, mask [B, 1 or H, T, S], attention]."""
    seen = []

    def witness(layer):
        plain = layer._masked_softmax

        def softmax(scores, mask=None):
            attention = plain(scores, mask)
            seen.append([np.float64(scores), np.asarray(mask, bool)[:, None], np.float64(attention)])
            return attention

        object.__setattr__(layer, "_masked_softmax", softmax)

    found = attention_layers(model)
    for layer in found:
        witness(layer)
    model(x)
    for layer in found:
        object.__delattr__(layer, "_masked_softmax")
    return seen


def by_hand(scores, mask, attention):
    """Entropy over its maximum, largest logit, share of the first key, [H, 3]."""
    mask = np.broadcast_to(mask, scores.shape)
    number = mask.sum(-1)
    terms = np.where(attention > 1e-30, -attention * np.log(np.maximum(attention, 1e-30)), 0).sum(-1)
    counts = number > 1
    entropy = [(terms[:, h] / np.log(np.maximum(number[:, h], 2)))[counts[:, h]].mean() for h in range(scores.shape[1])]
    share = [attention[:, h, :, 0][counts[:, h]].mean() for h in range(scores.shape[1])]
    return np.stack([entropy, np.where(mask, abs(scores), 0).max((0, 2, 3)), share], 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_is_that_of_the_layers_own_softmax(family):
    model = built(family)
    x = inputs_of(model)

    history = probed(model, x)

    expected = [by_hand(*one) for one in witnessed(model, x)]
    assert len(expected) == 2
    np.testing.assert_allclose(history.attention.values[0], expected, rtol=1e-4, atol=1e-6)
    assert {tag for tag in history.scalars if tag.startswith("stream_rms")} == {
        "stream_rms/transformer_layer_0",
        "stream_rms/transformer_layer_1",
    }
    loads = [float(series.values[0]) for tag, series in history.scalars.items() if tag.startswith("expert_load")]
    assert len(loads) == (2 if family == "mixtral" else 0)
    assert all(1 <= load <= 2 for load in loads)  # a token goes to two of four experts


def test_encoder_and_decoder_have_blocks_of_their_own():
    model = models.BartBackbone(**SIZES, num_heads=2, max_sequence_length=8)
    x = {f"{part}_{name}": value for name, value in TEXT.items() for part in ("encoder", "decoder")}

    history = probed(model, x)

    assert [tag.partition("/")[2] for tag in history.scalars if tag.startswith("stream_rms")] == [
        f"transformer_{part}_layer_{number}" for part in ("encoder", "decoder") for number in (0, 1)
    ]
    assert [name.rpartition("/")[2] for name in history.attention.layers] == [
        *["self_attention_layer"] * 2,
        *["self_attention", "cross_attention"] * 2,
    ]


@pytest.mark.usefixtures("variables_first")
@pytest.mark.parametrize(("family", "jit_compile"), [("bert", False), in_combinations("gpt2", True)])
def test_a_training_is_not_changed(tmp_path, family, jit_compile):
    states = []
    for name, is_probed in (("plain", False), ("probed", True)):
        backbone = built(family)
        output = backbone.output
        sequence = output["sequence_output"] if isinstance(output, dict) else output
        model = keras.Model(backbone.input, keras.layers.Dense(1, name="out")(sequence[:, 0]))
        model.compile("sgd", "mse", jit_compile=jit_compile)
        x = inputs_of(backbone)
        logger = gradlog.GradientLogger(tmp_path / name, every=1, activations=x if is_probed else None)
        model.fit(x, np.ones((3, 1)), batch_size=3, epochs=2, shuffle=False, verbose=0, callbacks=[logger])
        assert logger.error is None
        states.append([np.array(one) for one in model.variables])
    for one, other in zip(*states, strict=True):
        np.testing.assert_array_equal(one, other)
    history = gradlog.read(tmp_path / "probed")
    assert history.attention.values.shape == (2, 2, 2, 3)
    assert not np.isnan(history.attention.values).any()
