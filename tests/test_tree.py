"""The tree of names: blocks, labels and sentences, for names as Keras, keras-hub and PyTorch write them."""

import numpy as np
import pytest

import gradlog
from gradlog.history import names
from gradlog.history.history import History
from gradlog.history.tree import Tree, some

ATTENTION = [f"self_attention/{part}" for part in ("query", "key", "value", "attention_output")]
GPT2 = [*ATTENTION, "feedforward_intermediate_dense", "feedforward_output_dense"]
TORCH = ["attention.self.query", "attention.self.key", "attention.output.dense", "intermediate.dense"]


def transformer(num_blocks, stem="transformer_layer_", layers=GPT2, variables=("kernel", "bias")):
    blocks = [
        f"{stem}{number}/{layer}/{name}" for number in range(num_blocks) for layer in layers for name in variables
    ]
    return ["token_embedding/embeddings", *blocks, "head/kernel", "head/bias"]


def bert_of_torch(num_blocks):
    blocks = [
        f"encoder.layer.{number}.{layer}.{name}"
        for number in range(num_blocks)
        for layer in TORCH
        for name in ("weight", "bias")
    ]
    return ["embeddings.word_embeddings.weight", *blocks, "pooler.dense.weight"]


def resnet():
    layers = [
        f"conv{stage}_block{block}_{layer}_conv"
        for stage, number in ((2, 3), (3, 4))
        for block in range(1, number + 1)
        for layer in ((0, 1, 2, 3) if block == 1 else (1, 2, 3))
    ]
    return ["conv1_conv/kernel", *(f"{layer}/kernel" for layer in layers), "predictions/kernel"]


def blocks_of(variables):
    return [(block.key, block.short) for block in Tree(variables).blocks]


def test_a_transformer_has_its_layers_as_blocks():
    tree = Tree(transformer(3))

    assert [(block.key, block.number) for block in tree.blocks] == [
        (f"transformer_layer_{n}", str(n)) for n in range(3)
    ]
    assert tree.block("transformer_layer_2/self_attention/query/bias").number == "2"
    assert tree.block("transformer_layer_2").number == "2"
    assert tree.block("token_embedding/embeddings") is None
    assert tree.block("transformer_layer_20/x/kernel") is None


def test_labels_begin_with_the_block_and_differ():
    variables = transformer(11)
    tree = Tree(variables)

    labels = {name: tree.label(name) for name in variables}
    assert labels["transformer_layer_10/self_attention/query/kernel"] == "10 · self_attention · query"
    assert labels["transformer_layer_10/self_attention/query/bias"] == "10 · self_attention · query · bias"
    assert labels["head/kernel"] == "head"
    assert labels["head/bias"] == "head/bias"
    assert len(set(labels.values())) == len(variables)
    assert tree.inner("transformer_layer_10/self_attention/query/kernel") == "self_attention · query"
    assert tree.inner("transformer_layer_10") == ""


def test_names_of_pytorch_have_blocks_as_well():
    tree = Tree(bert_of_torch(4))

    assert [block.short for block in tree.blocks] == ["0", "1", "2", "3"]
    assert tree.label("encoder.layer.3.attention.self.query.weight") == "3 · attention · self · query"
    assert tree.label("encoder.layer.3.attention.self.query.bias") == "3 · attention · self · query · bias"
    assert tree.label("pooler.dense.weight") == "pooler.dense.weight"


def test_blocks_within_stages_have_the_numbers_of_both():
    tree = Tree(resnet())

    assert [block.short for block in tree.blocks] == ["2.1", "2.2", "2.3", "3.1", "3.2", "3.3", "3.4"]
    assert tree.label("conv3_block2_1_conv/kernel") == "3.2 · 1_conv"
    assert tree.said([name for name in resnet() if "_block" in name]) == "blocks 2.1 to 3.4"


def test_blocks_that_keras_numbers_itself_begin_without_a_number():
    """Layers within a block have numbers that count on through the network."""
    variables = [
        f"transformer_block{'_' * bool(n)}{n or ''}/{layer}{'_' * bool(n)}{n or ''}/{part}/kernel"
        for n in range(3)
        for layer, part in (("multi_head_attention", "query"), ("multi_head_attention", "key"), ("sequential", "dense"))
    ]

    assert blocks_of(variables) == [
        ("transformer_block", "0"),
        ("transformer_block_1", "1"),
        ("transformer_block_2", "2"),
    ]
    assert Tree(variables).label(variables[-1]) == "2 · sequential_2 · dense"


def test_encoder_and_decoder_are_told_apart():
    variables = [
        *transformer(2, "transformer_encoder_layer_")[1:-2],
        *transformer(3, "transformer_decoder_layer_")[1:-2],
    ]
    tree = Tree(variables)

    assert [block.short for block in tree.blocks] == ["encoder 0", "encoder 1", "decoder 0", "decoder 1", "decoder 2"]
    assert tree.said(variables) == "encoder blocks 0 to 1, decoder blocks 0 to 2"
    assert tree.label(variables[-2]) == "decoder 2 · feedforward_output_dense"


def test_what_is_not_alike_is_no_block():
    """The halves of a block of T5 have numbers, and different layers."""
    halves = {
        0: ("SelfAttention.q", "SelfAttention.k", "SelfAttention.o"),
        1: ("DenseReluDense.wi", "DenseReluDense.wo"),
    }
    variables = [
        f"encoder.block.{block}.layer.{half}.{layer}.weight"
        for block in range(3)
        for half, layers in halves.items()
        for layer in layers
    ]

    assert blocks_of(variables) == [(f"encoder.block.{n}", str(n)) for n in range(3)]


@pytest.mark.parametrize(
    "variables",
    [
        [f"layer{number}/{name}" for number in range(1, 9) for name in ("kernel", "bias")],
        [f"dense_{number}/kernel" for number in range(40)],
        [f"conv2d_{number}/kernel" for number in range(9)] + [f"conv1d_{number}/kernel" for number in range(9)],
        [f"lstm_{number}/lstm_cell/{name}kernel" for number in range(4) for name in ("", "recurrent_")],
        [f"bidirectional_{n}/{way}_lstm/lstm_cell/kernel" for n in range(4) for way in ("forward", "backward")],
        [
            f"multi_head_attention_{n}/{part}/kernel"
            for n in range(4)
            for part in ("query", "key", "value", "attention_output")
        ],
        [f"features.{number}.weight" for number in range(0, 30, 3)],
        [f"conv_dw_{n}{part}" for n in range(4) for part in ("/kernel", "_bn/gamma")],
        ["gpt2/dense/kernel", "gpt2/dense_1/kernel"],
        ["", "/", "1/2/3", "kernel", "kernel_1", "//", "a//b_1/kernel", "a//b_2/kernel"],
        [],
    ],
)
def test_a_network_without_blocks_is_said_as_it_is(variables):
    tree = Tree(variables)

    assert tree.blocks == ()
    assert not tree.is_long
    assert tree.said(variables) == some(tuple(variables))
    assert [tree.label(name) for name in variables] == [name.removesuffix("/kernel") for name in variables]


@pytest.mark.parametrize(
    ("numbers", "layers", "said"),
    [
        (range(6), ATTENTION, "blocks 0 to 5 · self_attention"),
        (range(6), GPT2, "blocks 0 to 5"),
        ([3], ATTENTION[:1], "block 3 · self_attention · query"),
        ([3], ATTENTION[:2], "block 3 · self_attention · query and key"),
        ([0, 1, 2, 4, 7, 8], ATTENTION[2:3], "blocks 0 to 2, 4, 7 to 8 · self_attention · value"),
        ([1, 2], GPT2[4:], "blocks 1 to 2 · feedforward_intermediate_dense and feedforward_output_dense"),
    ],
)
def test_names_are_said_in_short(numbers, layers, said):
    tree = Tree(transformer(12))
    chosen = [f"transformer_layer_{number}/{layer}" for number in numbers for layer in layers]

    assert tree.said(chosen) == said  # layers
    assert tree.said([f"{name}/kernel" for name in chosen]) == said
    assert tree.said(["head/kernel", *chosen]) == f"head/kernel, {said}"


def test_blocks_themselves_are_said():
    assert Tree(transformer(12)).said([f"transformer_layer_{n}" for n in range(4)]) == "blocks 0 to 3"


@pytest.mark.parametrize(("num_blocks", "is_long"), [(4, False), (5, True)])
def test_a_network_is_long_from_30_kernels_on(num_blocks, is_long):
    tree = Tree(transformer(num_blocks))  # 25 and 31 kernels

    assert tree.is_long == is_long


def test_two_large_blocks_do_not_make_a_network_long():
    assert not Tree(transformer(2, layers=[f"layer_{n}x/dense" for n in range(20)])).is_long


def test_places_are_grouped_by_block_in_the_networks_order():
    variables = transformer(2, layers=GPT2[:2], variables=("kernel",))

    groups = [(of if isinstance(of, str) else of.title, places) for of, places in Tree(variables).grouped(variables)]
    assert groups == [
        ("token_embedding/embeddings", [0]),
        ("block 0", [1, 2]),
        ("block 1", [3, 4]),
        ("head/kernel", [5]),
        ("head/bias", [6]),
    ]


def test_labels_differ_even_where_names_are_made_to_collide():
    hostile = [*transformer(2), "0 · self_attention · query", "transformer_layer_0.self_attention.query.kernel"]
    tree = Tree(hostile)

    assert len({tree.label(name) for name in hostile}) == len(hostile)


@pytest.fixture(scope="module")
def backbones():
    hub = pytest.importorskip("keras_hub")
    size = {"vocabulary_size": 20, "num_heads": 2, "hidden_dim": 4, "intermediate_dim": 8, "max_sequence_length": 8}
    return {
        "bert": hub.models.BertBackbone(num_layers=6, **size),
        "gpt2": hub.models.GPT2Backbone(num_layers=12, **size),
    }


@pytest.mark.parametrize(
    ("kind", "num_blocks", "attention"), [("bert", 6, "self_attention_layer"), ("gpt2", 12, "self_attention")]
)
def test_backbones_of_keras_hub(backbones, kind, num_blocks, attention):
    model = backbones[kind]
    variables = names.variable_names([one.path for one in model.trainable_variables], model.name)
    tree, kernels = Tree(variables), names.kernels(variables)

    assert [block.key for block in tree.blocks] == [f"transformer_layer_{n}" for n in range(num_blocks)]
    assert tree.is_long
    last = f"transformer_layer_{num_blocks - 1}/{attention}/value/kernel"
    assert tree.label(last) == f"{num_blocks - 1} · {attention} · value"
    of_attention = [name for name in kernels if f"/{attention}/" in name]
    assert len(of_attention) == 4 * num_blocks
    assert tree.said(of_attention) == f"blocks 0 to {num_blocks - 1} · {attention}"
    assert len({tree.label(name) for name in variables}) == len(variables)


def test_a_finding_says_blocks_and_keeps_the_exact_list():
    variables = tuple(transformer(6, variables=("kernel",)))
    is_early = [name.startswith(tuple(f"transformer_layer_{n}/" for n in range(3))) for name in variables]
    table = np.broadcast_to(np.where(is_early, 1e-8, 1e-2), (12, len(variables)))[:, :, None].astype(np.float32)

    (found,) = gradlog.diagnose(History(variables, ("gradient_mean_abs",), np.arange(12), table))

    assert found.where == tuple(f"transformer_layer_{n}" for n in range(3))
    assert found.place == "blocks 0 to 2"
    assert found.title == "GL101 alarm · vanishing gradient · blocks 0 to 2 · since step 0"
    assert "in blocks 0 to 2 it is" in found.message
    assert gradlog.Finding.from_dict(found.to_dict()) == found
