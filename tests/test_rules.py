"""Each rule on runs made for it: the exact list of findings, so that a false alarm fails the test too."""

import numpy as np
import pytest
from cases import COLUMNS, during, flat, found, run

import gradlog
from gradlog.diagnosis.rules.table import RULES, Dead, Exploding, UpdateRatio, Vanishing
from gradlog.history import names
from gradlog.history.history import Series
from gradlog.history.run import Output, Run

pytestmark = pytest.mark.usefixtures("without_graph_optimizer", "variables_first")

DECLINE = 10.0 ** np.array([-7, -5.5, -4, -3, -2])  # by layer
STUCK = ("GL401", 0, None)


def at_end(value, number=5):
    """An array [number] of healthy gradients, the last another."""
    return np.array([1e-2] * (number - 1) + [value])


def by_head(others, head):
    """An array [20, 5]: a number of the first four layers, and the last one's over the steps."""
    return np.column_stack([np.full((20, 4), others), head])


# What is changed of a healthy run, and the findings: (code, first step, last step).
CASES = {
    "healthy": ({}, []),
    # GL101
    "vanishing with depth": ({"gradient_mean_abs": DECLINE}, [("GL101", 0, None)]),
    "vanishing that heals": (
        {"gradient_mean_abs": np.where(np.arange(20)[:, None] < 8, DECLINE, 1e-2)},
        [("GL101", 0, 80)],  # a mean of three logged steps is judged: two more carry it on
    ),
    "vanishing in one step alone": ({"gradient_mean_abs": np.where(np.arange(20)[:, None] == 8, DECLINE, 1e-2)}, []),
    "a steady decline, less deep": ({"gradient_mean_abs": 4e-3 ** np.linspace(1, 0, 5)}, [("GL101", 0, None)]),
    "the same, not steady": ({"gradient_mean_abs": np.array([4e-3, 8e-3, 4e-3, 1, 1])}, []),
    "first layer far below, others not": ({"gradient_mean_abs": np.array([1e-6, 1, 1, 1, 1])}, [("GL101", 0, None)]),
    "a layer in the middle far below": ({"gradient_mean_abs": np.array([1, 1, 1e-6, 1, 1])}, []),
    "one branch of two, layers by turns": (
        {"layers": 9, "gradient_mean_abs": np.array([1, 1e-7, 1, 1e-6, 1, 1e-5, 1, 1e-4, 1])},
        [("GL101", 0, None)],
    ),
    "several small ones in no order": (
        {"layers": 9, "gradient_mean_abs": np.array([1, 2e-5, 1, 1e-5, 1, 3e-5, 1, 2e-5, 1])},
        [],
    ),
    "vanishing once the loss is low": (
        {"gradient_mean_abs": DECLINE * 1e-4, "loss": np.r_[2.3, np.full(19, 1e-3)]},
        [],
    ),
    "vanishing once the accuracy is high": (
        {"gradient_mean_abs": DECLINE, "accuracy": np.r_[0.1, np.full(19, 0.97)]},
        [],
    ),
    "vanishing where one class is nearly all": (
        {"gradient_mean_abs": DECLINE, "accuracy": np.full(20, 0.98)},
        [("GL101", 0, None)],
    ),
    "two layers have no depth": ({"layers": 2, "gradient_mean_abs": np.array([1e-9, 1])}, []),
    "vanishing everywhere": (
        {"gradient_mean_abs": 1e-10, "gradient_norm": 1e-9, "bias_gradient_norm": 1e-9, "loss": flat()},
        [("GL101", 0, None), STUCK],
    ),
    "vanishing everywhere at the first step alone": (
        {name: during(1e-10, 1e-2, 0, 1) for name in ("gradient_mean_abs", "gradient_norm", "bias_gradient_norm")},
        [("GL101", 0, 0)],
    ),
    "small in other units": (
        {"gradient_mean_abs": 1e-10, "gradient_norm": 1e-9, "loss": np.linspace(2.3e-9, 1e-9, 20)},
        [],
    ),
    "little arrives, by the biases": (
        {"bias_gradient_mean_abs": DECLINE * 0.1, "gradient_mean_abs": 1e-6, "loss": flat()},
        [("GL101", 0, None), STUCK],
    ),
    # GL102
    "a large norm": ({"norm": 1e4, "loss": flat()}, [("GL102", 0, None), STUCK]),
    "a large norm, and a loss that falls": ({"norm": 1e4, "loss": np.geomspace(1e7, 1e4, 20)}, []),
    "a large norm in large units": ({"norm": 1e4, "loss": flat(loss=1e6)}, [STUCK]),
    "a large norm that is clipped": (
        {"norm": 1e4, "gradient_norm/global_clipped": 1.0, "loss": flat()},
        [STUCK],
    ),
    "a norm that grows with the loss": (
        {"norm": np.geomspace(1, 99, 20), "loss": np.linspace(2.3, 6, 20)},
        [("GL102", 120, None), STUCK],
    ),
    "a norm that grows while the loss falls": ({"norm": np.geomspace(0.1, 99, 20)}, []),
    "steps of the size of the weights": (
        {"update_ratio": at_end(0.5), "loss": flat()},
        [("GL102", 0, None), STUCK],
    ),
    "an overflow that passes, in a network that vanishes": (
        {"gradient_mean_abs": DECLINE, "gradient_nonfinite": during(7, 0, 8, 9)},
        [("GL101", 0, None), ("GL103", 80, 80)],
    ),
    # GL103
    "NaN from one step on": (
        {"gradient_nonfinite": during(7, 0, 5, 20) * np.array([0, 0, 1, 0, 0])},
        [("GL103", 50, None)],
    ),
    "NaN at one step": ({"gradient_nonfinite": during(7, 0, 5, 6)}, [("GL103", 50, 50)]),
    "a loss of NaN alone": ({"loss": np.r_[np.linspace(2.3, 1.5, 8), np.full(12, np.nan)]}, [("GL103", 80, None)]),
    "all is NaN": (
        {name: np.nan for name in COLUMNS if name != "gradient_nonfinite"}
        | {"gradient_nonfinite": 100, "loss": np.nan, "norm": np.nan},
        [("GL103", 0, None)],
    ),
    # GL201
    "dead by the probe": (
        {"activation_dead/layer2": 0.6, "loss": flat()},
        [("GL201", 50, None), STUCK],
    ),
    "dead by the probe, and learning": ({"activation_dead/layer2": 0.6}, []),
    "nearly all dead by the probe": ({"activation_dead/layer2": 0.95}, [("GL201", 0, None)]),
    "a layer that is dead by proof": (
        {
            "gradient_mean_abs": np.array([0, 0, 0, 1e-2, 1e-2]),
            "bias_gradient_mean_abs": np.array([0, 0, 1e-2, 1e-2, 1e-2]),
            "gradient_zero_fraction": np.array([1, 1, 1, 0, 0]),
            "loss": flat(),
        },
        [("GL201", 0, None), STUCK],
    ),
    "units that never get a gradient": (
        {
            "bias_gradient_zero_fraction": np.array([0, 0.8, 0, 0, 0]),
            "gradient_zero_fraction": np.array([0, 0, 0.9, 0, 0]),
            "loss": flat(),
        },
        [("GL201", 0, None), STUCK],
    ),
    # GL202
    "saturated by the probe": (
        {"activation_saturated/layer2": 0.7, "loss": flat()},
        [("GL202", 50, None), STUCK],
    ),
    "saturated by the probe, and learning": (
        {"activation_saturated/layer2": 0.7, "loss": np.r_[2.3, np.linspace(1.5, 0.3, 19)]},
        [],
    ),
    "a layer without a gradient below one that has one": (
        {
            "gradient_mean_abs": np.array([0, 1e-2, 1e-2, 1e-2, 1e-2]),
            "bias_gradient_mean_abs": np.array([0, 1e-2, 1e-2, 1e-2, 1e-2]),
            "gradient_zero_fraction": np.array([1, 0, 0, 0, 0]),
            "loss": flat(),
        },
        [("GL202", 0, None), STUCK],
    ),
    "inputs that are zero": (
        {"gradient_mean_abs": np.array([0, 1e-2, 1e-2, 1e-2, 1e-2]), "loss": flat()},  # its bias has a gradient
        [STUCK],
    ),
    # GL301
    "steps that are too large": ({"update_ratio": at_end(0.2), "loss": flat()}, [("GL301", 0, None), STUCK]),
    "large steps at the start": ({"update_ratio": during(0.2, 1e-3, 0, 2), "loss": flat()}, [STUCK]),
    "steps that are too small": ({"update_ratio": 1e-6, "loss": flat()}, [("GL301", 0, None), STUCK]),
    "small steps of a schedule that ends": ({"update_ratio": np.geomspace(1e-3, 1e-9, 20)[:, None]}, []),
    "fine-tuning": ({"update_ratio": 1e-6, "loss": flat(loss=0.2), "accuracy": np.full(20, 0.95)}, []),
    "warm-up": (
        {"update_ratio": np.geomspace(1e-9, 1e-3, 20)[:, None], "loss": np.r_[np.full(15, 2.3), [2.2, 2, 1.5, 1, 0.5]]},
        [],
    ),
    "a head that starts at zero": (
        {"update_ratio": by_head(1e-3, 1 / np.arange(1, 21)), "weight_norm": by_head(5.0, np.arange(20))},
        [],
    ),
    # GL302
    "lower layers that stand still": (
        {"update_ratio": np.array([0, 1e-9, 1e-3, 1e-3, 1e-3]), "loss": flat()},
        [("GL302", 0, None), STUCK],
    ),
    "an upper layer that stands still": (
        {"update_ratio": np.array([1e-3, 1e-3, 1e-3, 1e-3, 0]), "loss": flat()},
        [STUCK],
    ),
    "nothing moves": ({"update_ratio": 0.0, "loss": flat()}, [("GL302", 0, None), STUCK]),
    "a schedule that ends at zero": (
        {"update_ratio": np.r_[np.geomspace(1e-3, 1e-5, 10), np.zeros(10)][:, None], "loss": flat()},
        [STUCK],
    ),
    # GL303
    "weights that shrink away": ({"weight_norm": np.geomspace(5, 1e-4, 20)[:, None]}, [("GL303", 90, None)]),
    "weights that shrink by half": ({"weight_norm": np.geomspace(5, 2.5, 20)[:, None]}, []),
    # GL401
    "a loss that stays": ({"loss": flat()}, [STUCK]),
    "a loss that begins to fall late": (
        {"loss": np.r_[np.full(14, 2.3), np.linspace(2, 0.5, 6)]},
        [("GL401", 0, 140)],
    ),
    "a plateau after falling": ({"loss": np.r_[np.linspace(2.3, 1, 5), np.full(15, 1.0)]}, []),
    "nine steps are too few": ({"steps": 9, "loss": flat(9)}, []),
    "a lucky first batch": ({"loss": np.r_[0.4, np.linspace(2.3, 0.5, 19)]}, []),
    # GL402
    "a loss that wanders under large steps": (
        {"loss": np.resize([2.0, 3.0, 2.5, 1.9], 20), "update_ratio": at_end(0.08)},
        [("GL402", 0, None), STUCK],
    ),
    "a loss that wanders under small steps": ({"loss": np.resize([2.0, 3.0, 2.5, 1.9], 20)}, [STUCK]),
    "a loss that runs away below zero, as cross-entropy with labels outside 0 to 1": (
        {"loss": -np.geomspace(1, 2e14, 20)},
        [("GL402", 40, None), STUCK],
    ),
    "a loss below zero that is meant, as of a density": ({"loss": np.linspace(2.3, -20, 20)}, []),
    "a loss of exactly zero": ({"loss": flat(loss=0.0)}, [STUCK]),
    "a loss of exactly zero, and weights that stand still": (
        {"loss": flat(loss=0.0), "update_ratio": 0},
        [("GL302", 0, None), STUCK],
    ),
    "a loss that is flat over epochs, in noisy batches": (
        {"steps": 60, "loss": 2.3 + np.random.default_rng(1).normal(0, 0.08, 60)},
        [STUCK],
    ),
    "a loss that falls slowly, in noisy batches": (
        {"steps": 60, "loss": np.linspace(2.3, 1.3, 60) + np.random.default_rng(1).normal(0, 0.08, 60)},
        [],
    ),
    "a loss that runs away": ({"loss": np.geomspace(2.3, 230, 20)}, [("GL402", 100, None), STUCK]),
}


@pytest.mark.parametrize("name", CASES)
def test_findings_are_exactly_these(name):
    changes, expected = CASES[name]

    assert sorted(found(run(**changes))) == sorted(expected)


@pytest.mark.parametrize(
    ("ratio", "num_large", "expected"),
    [
        (0.5, 7, [("GL102", "note")]),
        (0.2, 10, [("GL301", "note")]),
        (0.5, 13, [("GL102", "alarm")]),
        (0.2, 13, [("GL301", "warning")]),
    ],
)
def test_large_first_steps_that_settle_within_ten_logged_ones_are_a_note(ratio, num_large, expected):
    ratios = during(ratio, 1e-3, 0, num_large)  # the median of five is large for two logged steps more
    ratios[num_large - 2 :] = 1e-3
    loss = np.r_[np.full(14, 2.3), np.linspace(2.0, 0.3, 6)]

    findings = gradlog.diagnose(run(update_ratio=ratios, loss=loss), [UpdateRatio(), Exploding()])

    assert [(finding.code, finding.severity) for finding in findings] == expected
    assert all(finding.last_step is not None for finding in findings)
    assert [finding.is_note for finding in findings] == [severity == "note" for _, severity in expected]


def test_a_finding_says_where_how_bad_and_what_to_try():
    finding = gradlog.diagnose(run(gradient_mean_abs=DECLINE))[0]

    assert (finding.severity, finding.where) == ("alarm", ("layer1", "layer2"))
    assert finding.measured == pytest.approx(1e-5, rel=1e-3)
    assert finding.threshold == 1e-3
    assert finding.remedies[0].startswith("Use ReLU")
    assert str(finding).splitlines()[:2] == [
        "GL101 alarm · vanishing gradient · layer1, layer2 · since step 0",
        "  The gradient vanishes towards the input: in layer1, layer2 it is 1e-05 times the largest layer's.",
    ]
    assert finding.to_dict()["where"] == ["layer1", "layer2"]


def test_the_first_variable_with_nan_is_named():
    count = during(7, 0, 5, 6) * np.array([0, 0, 1, 0, 0]) + during(9, 0, 6, 20)

    finding = gradlog.diagnose(run(gradient_nonfinite=count))[0]

    assert finding.where == ("layer3/kernel",)
    assert (finding.first_step, finding.measured) == (50, 45)


def test_thresholds_are_arguments():
    history = run(
        gradient_mean_abs=np.array([5e-3, 1, 1, 1, 1]), update_ratio=at_end(0.2), loss=np.linspace(2.3, 1.5, 20)
    )

    assert found(history, [Vanishing()]) == []
    assert found(history, [Vanishing(ratio=1e-2)]) == [("GL101", 0, None)]
    assert found(history, [UpdateRatio()]) == [("GL301", 0, None)]
    assert found(history, [UpdateRatio(max_ratio=0.25), Exploding(), Dead()]) == []
    assert found(history, []) == []


def test_a_training_that_is_resumed_need_not_improve():
    """Its loss fell before; a run whose first step is called 1 began at its start all the same."""
    history = run(loss=flat())

    def begun_at(step):
        series = {tag: Series(s.steps + step, s.values) for tag, s in history.scalars.items()}
        return gradlog.History(history.variables, history.columns, history.steps + step, history.statistics, series)

    assert found(begun_at(1)) == [("GL401", 1, None)]
    assert found(begun_at(1000)) == []


def test_codes_names_and_order():
    assert [(rule.code, rule.name) for rule in RULES] == [
        ("GL101", "vanishing gradient"),
        ("GL102", "exploding gradient"),
        ("GL103", "non-finite gradient"),
        ("GL104", "gradient underflow"),
        ("GL201", "dead ReLU"),
        ("GL202", "saturated activation"),
        ("GL203", "attention collapsed to one token"),
        ("GL204", "attention logits grow"),
        ("GL205", "residual stream degenerates"),
        ("GL301", "update ratio out of range"),
        ("GL302", "weights not changing"),
        ("GL303", "weights collapsing to zero"),
        ("GL304", "gradients below epsilon"),
        ("GL401", "loss not improving"),
        ("GL402", "loss erratic"),
        ("GL403", "loss spike"),
        ("GL404", "loss falls, accuracy does not rise"),
    ]


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_at_a_step_needs_no_later_one(name):
    """Live and afterwards: on every shorter part of a run, a finding that stands later stands with the same start."""
    history = run(**CASES[name][0])
    whole = {(code, first) for code, first, _ in found(history)}

    for number in range(1, len(history.steps)):
        series = {tag: Series(s.steps[:number], s.values[:number]) for tag, s in history.scalars.items()}
        part = gradlog.History(
            history.variables, history.columns, history.steps[:number], history.statistics[:number], series
        )
        assert {(code, first) for code, first, _ in found(part)} <= whole


ODD = {
    "nothing": gradlog.History(),
    "one step": run(steps=1),
    "two steps": run(steps=2),
    "no loss": gradlog.History(*(getattr(run(), name) for name in ("variables", "columns", "steps", "statistics"))),
    "one layer": run(layers=1),
    "no biases": run(biases=False),
    "a loss of zero": run(loss=flat(loss=0.0)),
    "a negative loss": run(loss=np.linspace(-1, -20, 20)),
    "an infinite first loss": run(loss=np.r_[np.inf, np.linspace(2, 1, 19)]),
    "no statistics": gradlog.History(("a/kernel",), (), np.arange(3), np.zeros((3, 1, 0))),
    "no variables": gradlog.History((), COLUMNS, np.arange(3), np.zeros((3, 0, len(COLUMNS)))),
    "only biases": gradlog.History(("a/bias",), COLUMNS, np.arange(3), np.ones((3, 1, len(COLUMNS)))),
    "names that are no names": gradlog.History(
        ("", "/", "kernel"), COLUMNS, np.arange(12), np.ones((12, 3, len(COLUMNS)))
    ),
    "variables that come late": run(gradient_mean_abs=during(np.nan, 1e-2, 0, 10)),
    "infinite statistics": run(weight_norm=np.inf, update_ratio=np.inf),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_runs_raise_nothing(name):
    findings = gradlog.diagnose(ODD[name])

    for finding in findings:
        assert finding.remedies
        assert str(finding)
    if name in ("nothing", "one step", "two steps", "no loss", "one layer", "no biases", "a negative loss"):
        assert findings == []


def test_random_numbers_raise_nothing():
    rng = np.random.default_rng(1)
    values = [0, 1e-30, 1e-8, 1e-3, 1, 1e3, 1e30, np.nan, np.inf, -1]
    for _ in range(200):
        steps, layers = rng.integers(1, 30), rng.integers(1, 7)
        changes = {name: rng.choice(values, (steps, layers)) for name in COLUMNS}
        history = run(steps, layers, loss=rng.choice(values, steps), **changes)
        assert all(finding.message for finding in gradlog.diagnose(history))


def test_something_else_than_a_run_is_said():
    with pytest.raises(TypeError, match=r"takes one run.*Received: dict"):
        gradlog.diagnose({"relu": run()})


def test_a_name_is_no_markdown():
    history = run(gradient_mean_abs=DECLINE)
    names = tuple(name.replace("layer1", "<img src=x>") for name in history.variables)
    history = gradlog.History(names, history.columns, history.steps, history.statistics, history.scalars)

    text = gradlog.diagnose(history)[0].markdown()

    assert "<img" not in text
    assert "&#60;img src=x&#62;" in text
    assert "1. Use ReLU" in text


@pytest.mark.parametrize(
    ("share", "accuracy", "loss", "expected"),
    [
        (0.6, 0.55, np.linspace(0.7, 0.1, 20), [("GL404", 50, None)]),
        (0.6, 0.68, np.linspace(0.7, 0.1, 20), [("GL404", 50, None)]),
        (0.6, np.r_[np.full(15, 0.5), np.full(5, 0.9)], np.linspace(0.7, 0.1, 20), [("GL404", 50, None)]),
        (0.6, np.r_[np.full(10, 0.5), np.full(10, 0.9)], np.linspace(0.7, 0.1, 20), []),
        (0.6, 0.71, np.linspace(0.7, 0.1, 20), []),
        (0.6, 0.55, np.linspace(0.7, 0.4, 20), []),  # it has not halved
        (0.6, 0.55, np.linspace(7, 0.4, 20), []),  # nor from that of guessing
        (0.9, 0.9, np.linspace(0.7, 0.1, 20), []),  # one class is nearly all
        (None, 0.55, np.linspace(0.7, 0.1, 20), []),
        (0.6, None, np.linspace(0.7, 0.1, 20), []),
    ],
)
def test_an_accuracy_that_does_not_rise(share, accuracy, loss, expected):
    history = run(loss=loss, accuracy=accuracy)
    description = Run("net", outputs=(Output("output", 1, "sigmoid", "binary_crossentropy", majority=share),))
    history.texts[names.RUN_TAG] = Series(np.array([0]), [description.to_json()])

    assert found(history) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("binary_crossentropy", [("GL402", 60, None)]), ("poisson", []), (None, [])],
)
def test_a_cross_entropy_below_zero(kind, expected):
    history = run(loss=np.r_[np.linspace(2.3, 0.4, 5), np.full(15, -0.5)])
    history.texts[names.RUN_TAG] = Series(np.array([0]), [Run("net", outputs=(Output("output", loss=kind),)).to_json()])

    assert found(history) == expected
