"""The rules of today's networks, on runs made for them: the exact list of findings."""

import dataclasses

import numpy as np
import pytest
from cases import during, flat, found, run

import gradlog
from gradlog.diagnosis.changes import table
from gradlog.diagnosis.rules.blocks import layers_of
from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.history import names
from gradlog.history.history import Series
from gradlog.history.run import Layer, Output, Run

STUCK = ("GL401", 0, None)
SMALL = 2.0**-23  # of float16's smallest, 2^-24
HALF = {"precision": "mixed_float16, float32"}
SCALED = {"optimizer": {"class": "Adam", "learning_rate": 0.001, "loss_scale": "dynamic"}}
# A gradient of whose elements nine in ten are zero, the others SMALL.
UNDERFLOW = {"gradient_zero_fraction": 0.9, "gradient_mean_abs": 0.1 * SMALL, "loss": flat()}


def made_of(history, **facts):
    facts = {"outputs": (Output("head"),), "optimizer": {"class": "Adam", "learning_rate": 0.001}} | facts
    return dataclasses.replace(history, texts={names.RUN_TAG: Series(np.array([0]), [Run("net", **facts).to_json()])})


@pytest.mark.parametrize(
    ("values", "facts", "expected"),
    [
        (UNDERFLOW, HALF, ["GL104", "GL401"]),
        (UNDERFLOW, {"precision": "float16"}, ["GL104", "GL401"]),
        (UNDERFLOW, HALF | SCALED, ["GL401"]),
        (UNDERFLOW, {"precision": "float32"}, ["GL401"]),
        (UNDERFLOW, {"precision": "mixed_bfloat16"}, ["GL401"]),
        (UNDERFLOW | {"gradient_zero_fraction": 0.4}, HALF, ["GL401"]),  # the others lie below what float16 holds
        (UNDERFLOW | {"gradient_mean_abs": 1e-4}, HALF, ["GL401"]),  # ReLU is off, the others are large
        (UNDERFLOW | {"loss": np.r_[2.3, np.full(19, 0.1)]}, HALF, []),  # it has learned
        (
            UNDERFLOW | {"gradient_zero_fraction": np.array([0.9, 0, 0, 0, 0]), "gradient_mean_abs": 1e-2},
            HALF,
            ["GL401"],
        ),
    ],
)
def test_underflow_in_float16(values, facts, expected):
    assert [one.code for one in gradlog.diagnose(made_of(run(**values), **facts))] == expected


def test_underflow_proposes_loss_scaling_and_explains_the_loss():
    first, other = gradlog.diagnose(made_of(run(**UNDERFLOW), **HALF))

    assert (first.code, first.severity, first.explains, other.cause) == ("GL104", "alarm", ("GL401",), "GL104")
    assert first.change == "keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(learning_rate=0.001))"
    (first, _) = gradlog.diagnose(made_of(run(**UNDERFLOW), precision="float16"))
    assert first.change.startswith('keras.config.set_dtype_policy("mixed_float16")')


def test_squares_that_underflow_where_the_weights_are_in_float16():
    def told(precision="float16", mean=1e-3, fraction=0.99):
        values = {"epsilon_fraction": during(fraction, 0, 0, 1), "gradient_mean_abs": mean}
        return [(one.code, one.cause) for one in gradlog.diagnose(made_of(run(**values), precision=precision))]

    assert told() == [("GL104", "")]
    assert told("mixed_float16") == []
    assert told(mean=5e-7) == []  # close to epsilon by itself
    assert told(fraction=0.3) == []
    broken = during(0, 7, 0, 1)
    history = run(epsilon_fraction=during(0.99, 0, 0, 1), gradient_nonfinite=broken, gradient_mean_abs=1e-3)
    assert [(one.code, one.cause) for one in gradlog.diagnose(made_of(history, precision="float16"))] == [
        ("GL104", ""),
        ("GL103", "GL104"),
    ]


def spiked(at=50, loss=9.0, steps=60, other=0.9):
    """A loss that has fallen and stays, with noise, but for one step."""
    losses = other + 0.02 * np.random.default_rng(0).normal(size=steps)
    losses[:4] = 2.3, 2.0, 1.5, 1.1
    losses[at] = loss
    return losses


def jump(at=48, ratio=9.0, steps=60):
    """A ratio of the second moment that jumps in the first layer's kernel."""
    return np.where((np.arange(steps)[:, None] == at) & (np.arange(5) == 0), ratio, 1.0)


CASES = {
    # GL203
    "attention on one token": ({"attention_entropy/a": 0.02, "loss": flat()}, [("GL203", 50, None), STUCK]),
    "attention on one token, and learning": (
        {"attention_entropy/a": 0.02, "attention_entropy/b": 0.5},
        [],
    ),
    "attention on one token, learned": (
        {"attention_entropy/a": during(0.5, 0.02, 0, 12)[:, 0], "accuracy": np.r_[0.1, np.full(19, 0.97)]},
        [],
    ),
    "attention on one token at first": (
        {"attention_entropy/a": during(0.02, 0.5, 0, 3)[:, 0], "loss": flat()},
        [STUCK],
    ),
    "attention to the first token, as is normal": ({"attention_sink/a": 0.99, "loss": flat()}, [STUCK]),
    # GL204
    "large logits": ({"attention_logit/a": 150.0, "loss": flat()}, [("GL204", 0, None), STUCK]),
    "logits of 90": ({"attention_logit/a": 90.0, "loss": flat()}, [STUCK]),
    "logits that grow": ({"attention_logit/a": np.geomspace(1, 5e3, 20)}, [("GL204", 110, None)]),
    # GL205
    "a stream that grows": (
        {"stream_rms/a": 1.0, "stream_rms/b": 30.0, "stream_rms/c": 300.0, "loss": flat()},
        [("GL205", 0, None), STUCK],
    ),
    "a stream that grows tenfold": ({"stream_rms/a": 1.0, "stream_rms/b": 10.0, "loss": flat()}, [STUCK]),
    "a stream that grows, and learning": (
        {"stream_rms/a": 1.0, "stream_rms/b": 300.0, "loss": np.r_[2.3, np.linspace(1.5, 0.3, 19)]},
        [("GL205", 0, 30)],  # what it has learned is known from the fifth logged step
    ),
    "tokens that are alike": (
        {"stream_cosine/a": 0.5, "stream_cosine/b": 0.999, "loss": flat()},
        [("GL205", 50, None), STUCK],
    ),
    "tokens alike in the middle": ({"stream_cosine/a": 0.999, "stream_cosine/b": 0.5, "loss": flat()}, [STUCK]),
    "a massive activation, as is normal": ({"stream_peak/a": 1e4, "loss": flat()}, [STUCK]),
    # GL301
    "a first step that replaced the weights": (
        {"update_ratio": during(5.0, 1e-3, 0, 1), "loss": np.linspace(2.3, 1.95, 20)},
        [("GL301", 0, None)],
    ),
    "a first step that replaced them, and learning": ({"update_ratio": during(5.0, 1e-3, 0, 1)}, []),
    "a large first step": ({"update_ratio": during(0.4, 1e-3, 0, 1), "loss": np.linspace(2.3, 1.95, 20)}, []),
    # GL304
    "below epsilon": ({"epsilon_fraction": 0.9, "loss": flat()}, [("GL304", 0, None), STUCK]),
    "below epsilon in two layers of five": (
        {"epsilon_fraction": np.array([0.9, 0.9, 0, 0, 0]), "loss": flat()},
        [STUCK],
    ),
    "below epsilon once it has learned": (
        {"epsilon_fraction": during(0, 0.9, 0, 8), "loss": np.r_[2.3, np.full(19, 0.1)]},
        [],
    ),
    # GL403
    "a spike": ({"steps": 60, "loss": spiked()}, [("GL403", 500, 500)]),
    "a spike before there is enough to compare with": ({"steps": 60, "loss": spiked(20)}, []),
    "a spike of a loss near zero": ({"steps": 60, "loss": spiked(loss=0.5, other=0.1)}, []),
    "a spike that the second moment foretold": (
        {"steps": 60, "loss": spiked(), "second_moment_ratio": jump()},
        [("GL403", 480, 480), ("GL403", 500, 500)],
    ),
    "a second moment that jumps at first": (
        {"steps": 60, "loss": spiked(loss=0.9), "second_moment_ratio": jump(10)},
        [],
    ),
    "a second moment that rises": ({"steps": 60, "loss": spiked(loss=0.9), "second_moment_ratio": jump(ratio=2.0)}, []),
}


@pytest.mark.parametrize("name", CASES)
def test_findings_are_exactly_these(name):
    values, expected = CASES[name]

    assert sorted(found(run(**values))) == sorted(expected)


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_at_a_step_needs_no_later_one(name):
    history = run(**CASES[name][0])
    whole = {(code, first) for code, first, _ in found(history)}

    for number in range(1, len(history.steps), 3):
        series = {tag: Series(s.steps[:number], s.values[:number]) for tag, s in history.scalars.items()}
        steps, statistics = history.steps[:number], history.statistics[:number]
        part = gradlog.History(history.variables, history.columns, steps, statistics, series)
        assert {(code, first) for code, first, _ in found(part)} <= whole


def test_logits_are_an_alarm_from_1000_and_a_note_where_the_network_has_learned():
    def severities(**values):
        return [one.severity for one in gradlog.diagnose(run(**values)) if one.code == "GL204"]

    learned = {"accuracy": np.full(20, 0.97)}
    assert severities(**{"attention_logit/a": 2e3}) == ["alarm"]
    assert severities(**{"attention_logit/a": 500.0}, loss=flat()) == ["warning"]
    assert severities(**{"attention_logit/a": 500.0}, **learned) == ["note"]
    assert severities(**{"attention_logit/a": 2e3}, **learned) == ["alarm"]


def test_a_spike_says_whether_the_second_moment_foretold_it():
    plain, foretold = (
        next(one for one in gradlog.diagnose(run(steps=60, loss=spiked(), **values)) if not one.is_note)
        for values in ({}, {"second_moment_ratio": jump()})
    )

    assert "outgrown" not in plain.message
    assert "had outgrown its second moment before" in foretold.message
    coming = [one for one in gradlog.diagnose(run(steps=60, loss=spiked(), second_moment_ratio=jump())) if one.is_note]
    assert [(one.code, one.where, one.measured) for one in coming] == [("GL403", ("layer1/kernel",), 9.0)]


def test_causes_come_before_what_they_do():
    large = {"update_ratio": during(5.0, 1e-3, 0, 1), "loss": np.linspace(2.3, 1.95, 20)}
    after = {"attention_logit/a": during(1.0, 2e3, 0, 2)[:, 0], "attention_entropy/a": during(0.9, 0.01, 0, 2)[:, 0]}
    told = [(one.code, one.cause) for one in gradlog.diagnose(run(**large, **after))]
    assert told == [("GL301", ""), ("GL204", "GL301"), ("GL203", "GL301")]

    start = {"attention_logit/a": 2e3, "attention_entropy/a": 0.01, "loss": flat()}
    told = [(one.code, one.cause) for one in gradlog.diagnose(run(**start))]
    assert told == [("GL204", ""), ("GL203", "GL204"), ("GL401", "GL204")]


# Fine-tuning: from a loss near zero, a batch with one mistake is many times as large.


def fine_tuned(**facts):
    generator = np.random.default_rng(0)
    is_wrong = generator.random(100) < np.linspace(0.1, 0.9, 100)
    loss = np.where(is_wrong, 3e-2, 1e-3)
    return {"steps": 100, "loss": loss, "norm": 100 * loss, "update_ratio": 1e-5} | facts


def test_fine_tuning_does_not_explode():
    assert found(run(**fine_tuned(accuracy=np.full(100, 0.99)))) == []
    classes = {"outputs": (Output("head", 10, "linear", "sparse_categorical_crossentropy", True),)}
    assert {"GL102", "GL402"} <= {code for code, *_ in found(run(**fine_tuned()))}  # nothing says what is low
    assert not {"GL102", "GL402"} & {one.code for one in gradlog.diagnose(made_of(run(**fine_tuned()), **classes))}
    lost = fine_tuned(accuracy=np.r_[np.full(20, 0.99), np.full(80, 0.5)], loss=np.geomspace(1e-3, 1, 100))
    assert "GL102" in [code for code, *_ in found(run(**lost | {"norm": np.geomspace(0.1, 90, 100)}))]


# Blocks.

BERT = [
    f"transformer_layer_{number}/{inside}/kernel"
    for number in range(3)
    for inside in ("self_attention_layer/query", "self_attention_layer/key", "self_attention_layer/value",
                   "self_attention_layer/attention_output", "feedforward_output_dense")
]  # fmt: skip


def test_the_kernels_of_a_block_are_one_layer():
    blocks = [f"transformer_layer_{number}" for number in range(3) for _ in range(5)]
    assert layers_of([*BERT, "head/kernel"]) == [*blocks, "head"]
    flat_names = [
        "stem/kernel",
        "attention0/query/kernel",
        "attention0/key/kernel",
        "dense/kernel",
        "attention1/query/kernel",
    ]
    assert layers_of(flat_names) == ["stem", "attention0", "attention0", "dense", "attention1"]
    decoder = [f"block_{n}/{kind}/query/kernel" for n in range(2) for kind in ("self", "cross")]
    assert layers_of(decoder) == ["block_0", "block_0", "block_1", "block_1"]
    nested = [f"encoder/mha_{n}/query/kernel" for n in range(4)]
    assert layers_of(nested) == [f"encoder/mha_{n}" for n in range(4)]
    assert layers_of(BERT[:5]) == ["transformer_layer_0/self_attention_layer"] * 4 + [
        "transformer_layer_0/feedforward_output_dense"
    ]


def test_query_and_key_that_get_little_have_not_vanished_where_the_block_gets_enough():
    gradients = np.tile([1e-7, 1e-7, 1e-2, 1e-2, 1e-2], 3)
    columns = ("gradient_mean_abs",)
    table = np.broadcast_to(gradients[None, :, None], (20, 15, 1))
    loss = {"train/loss": Series(np.arange(20), np.linspace(2, 1, 20))}
    history = gradlog.History(tuple(BERT), columns, np.arange(20), table, loss)

    assert found(history) == []
    vanished = table * np.repeat([1e-5, 1e-3, 1], 5)[None, :, None]
    (finding,) = gradlog.diagnose(dataclasses.replace(history, statistics=vanished))
    assert (finding.code, finding.where) == ("GL101", ("transformer_layer_0", "transformer_layer_1"))


# Changes and remedies.


def transformer_run(**optimizer):
    normal = {"class": "RandomNormal", "stddev": 5.0}
    layers = [
        Layer(f"block/attention/{name}", "EinsumDense", None, "linear", (32, 2, 16), normal)
        for name in ("query", "key")
    ]
    gelus = [Layer(f"dense{number}", "Dense", 32, "gelu", (32, 32), {"class": "GlorotUniform"}) for number in range(4)]
    pooled, attention = Layer("pooled", "Dense", 32, "tanh", (32, 32)), Layer("block/attention", "MultiHeadAttention")
    return Run(
        "net",
        (*layers, *gelus, pooled, attention),
        (Output("head"),),
        {"class": "Adam", "learning_rate": 0.001} | optimizer,
    )


def proposed(kind, run, where=("block/attention",), measured=0.3):
    evidence = Evidence(gradlog.History())
    evidence.run = run
    return table.change_for(kind, gradlog.Finding("", "", "alarm", where, 10, None, measured, 0, "", ()), evidence)


def test_a_change_names_what_is_there():
    assert proposed("GL304", transformer_run(epsilon=1.0)) == "epsilon=1e-07 (it is 1)"
    assert proposed("GL304", transformer_run(epsilon=1e-7)) == "epsilon=1e-15 (it is 1e-07)"
    assert proposed("GL403", transformer_run(beta_2=0.999)) == "beta_2=0.95 (it is 0.999)"
    assert proposed("GL403", transformer_run(beta_2=0.95)).endswith("global_clipnorm=1.0)")
    assert proposed("GL203", transformer_run(learning_rate=0.1)).startswith(
        "keras.optimizers.Adam(learning_rate=0.001)"
    )
    assert proposed("GL204", transformer_run()).startswith(
        'kernel_initializer="he_normal" (block/attention/query starts'
    )
    assert proposed("GL205", transformer_run()) == ""


def test_a_change_starts_from_the_rate_that_a_schedule_had_come_to():
    steps = np.arange(0, 50, 10)
    rates = Series(steps, np.float32([0.0, 0.1, 0.5, 0.3, 0.01]))
    evidence = Evidence(gradlog.History(steps=steps, scalars={"train/learning_rate": rates}))
    evidence.run = transformer_run(learning_rate=0.0)
    found = gradlog.Finding("", "", "alarm", (), 10, None, 0.3, 0, "", ())

    assert table.change_for("GL402", found, evidence) == "keras.optimizers.Adam(learning_rate=0.001) (it is 0.5)"
    late = dataclasses.replace(found, first_step=30, last_step=40)
    assert table.change_for("GL402", late, evidence) == "keras.optimizers.Adam(learning_rate=0.001) (it is 0.3)"
    over = dataclasses.replace(found, first_step=40)
    assert table.change_for("GL402", over, evidence) == "keras.optimizers.Adam(learning_rate=0.001) (it is 0.01)"


def test_one_tanh_among_many_is_not_why_a_gradient_vanishes():
    evidence = Evidence(gradlog.History())
    evidence.run = transformer_run()
    remedies = gradlog.rules.Vanishing().symptoms(Evidence(run())).__next__().remedies

    kept = table.applicable(remedies, evidence)
    assert not any(one.startswith("Use ReLU") for one in kept)
    assert any(one.startswith("Normalize before attention") for one in kept)
    assert proposed("GL101", evidence.run, ("dense0",)) == "keras.layers.BatchNormalization() after each hidden layer"
    evidence.run = Run("net", (Layer("a", "Dense", 3, "tanh", (3, 3)),))
    kept = table.applicable(remedies, evidence)
    assert kept[0].startswith("Use ReLU")
    assert not any(one.startswith("Normalize before attention") for one in kept)
