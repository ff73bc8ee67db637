"""Networks drawn at random are the same everywhere, each has the fault that its name says, and outcomes are counted."""

import collections
import contextlib
import json

import keras
import numpy as np
import pytest
from marks import in_combinations

pytest.importorskip("sklearn")

from experiments import drawn_figure, drawn_networks, repair_drawn, runs
from experiments.drawn_faults import FAULTS

NUMBERS = range(300)
DRAWN = {number: drawn_networks.draw(number) for number in NUMBERS}


def test_the_same_number_draws_the_same_network():
    assert drawn_networks.draw(7) == DRAWN[7]
    healthy, faults, sick = DRAWN[0]
    assert (healthy.data, healthy.depth, healthy.units, healthy.activation) == ("Friedman", 3, 32, "relu")
    assert faults == ["narrow first layer"]
    assert sick == healthy.changed(bottleneck=1)


def test_every_fault_is_drawn_and_changes_the_recipe():
    names = [name for faults in FAULTS.values() for name in faults]
    assert len(names) == len(set(names)) == 45
    drawn = collections.Counter(name for _, faults, _ in DRAWN.values() for name in faults)
    assert set(drawn) == set(names)
    for healthy, faults, sick in DRAWN.values():
        assert sick != healthy
        assert 1 <= len(faults) <= 2
    two = sum(len(faults) == 2 for _, faults, _ in DRAWN.values())
    assert 0.2 < two / len(DRAWN) < 0.4


@pytest.mark.parametrize("name", drawn_networks.DATA)
def test_data_are_scaled_and_held_out(name):
    train, held_out = drawn_networks.rows(name)
    assert len(held_out[0]) == len(held_out[1]) == round(0.25 * (len(train[0]) + len(held_out[0])))
    assert np.isfinite(train[0]).all()
    assert abs(train[0].mean()) < 1
    assert 0.05 < train[0].std() < 1.5
    if drawn_networks.DATA[name][1] == drawn_networks.NUMBER:
        assert 0.4 < train[1].std() < 1.2


# One recipe with each fault that needs nothing special; what the built network has is looked at.
LOOKS = {
    "weights of zero": lambda model, x, y: all((one == 0).all() for one in kernels(model)),
    "weights too large": lambda model, x, y: min(one.std() for one in kernels(model)) > 0.5,
    "biases far below zero": lambda model, x, y: (model.layers[0].get_weights()[1] < -4).all(),
    "narrow first layer": lambda model, x, y: model.layers[0].units == 1,
    "deep, sigmoid": lambda model, x, y: len(model.layers) >= 7 and model.layers[0].activation.__name__ == "sigmoid",
    "too much dropout": lambda model, x, y: model.layers[1].rate >= 0.9,
    "L2 too strong": lambda model, x, y: model.layers[0].kernel_regularizer.l2 >= 0.29,
    "a unit too few": lambda model, x, y: model.layers[-1].units == len(set(y.tolist())) - 1,
    "labels that begin at one": lambda model, x, y: y.min() == 1,
    "softmax twice": lambda model, x, y: model.loss.from_logits,
    "inputs far too large": lambda model, x, y: x.std() > 25,
    "inputs far from zero": lambda model, x, y: x.mean() > 90,
    "NaN in some rows": lambda model, x, y: 0.01 < np.isnan(x.reshape(len(x), -1)).any(1).mean() < 0.03,
    "momentum 0.99": lambda model, x, y: model.optimizer.momentum == 0.99,
    "weight decay too strong": lambda model, x, y: model.optimizer.weight_decay >= 10,
}


def kernels(model):
    return [layer.get_weights()[0] for layer in model.layers if layer.get_weights()]


@pytest.mark.parametrize("fault", LOOKS)
def test_the_built_network_has_the_fault(fault):
    healthy = drawn_networks.Recipe(
        "digits", units_out=10, activation_out="softmax", loss="sparse_categorical_crossentropy"
    )
    (made,) = (faults[fault] for faults in FAULTS.values() if fault in faults)
    sick = made(healthy, np.random.default_rng(0))
    assert LOOKS[fault](drawn_networks.build(sick), *drawn_networks.data_of(sick)[0])
    with contextlib.suppress(AttributeError, TypeError):  # what the healthy one does not even have
        assert not LOOKS[fault](drawn_networks.build(healthy), *drawn_networks.data_of(healthy)[0])
    assert np.isfinite(drawn_networks.data_of(sick)[1][0]).all()  # rows held out have no NaN


@pytest.mark.parametrize("kind", ["dense", in_combinations("convolution"), in_combinations("recurrent")])
def test_a_healthy_network_learns(kind):
    healthy = next(one for one, _, _ in DRAWN.values() if one.kind == kind and one.data == "digits")
    chance, score = repair_drawn._reached(healthy.changed(batch_size=64), 0)
    assert chance < 0.15
    assert score > 0.6


@pytest.mark.parametrize(
    ("before", "after", "verdict", "expected"),
    [
        (0.1, 0.85, "repaired", "healed"),  # nine tenths of the way from 0.1 to 0.9 is 0.82
        (0.1, 0.81, "repaired", "better"),
        (0.5, 0.5, "nothing to repair", "not healed"),
        (0.1, 0.1, "nothing that was tried helps", "not healed"),
        (0.83, 0.83, "nothing to repair", "not sick"),
        (0.83, 0.7, "repaired", "better"),
        (float("-inf"), 0.9, "repaired", "healed"),
    ],
)
def test_the_outcome(before, after, verdict, expected):
    assert repair_drawn.outcome(0.1, 0.9, before, after, verdict) == expected
    assert repair_drawn.outcome(0.1, 0.5, before, after, verdict) == "cannot be learned"
    other = repair_drawn.outcome(0.1, 0.9, before, after, verdict, has_its_task=False)
    assert other == ("better" if verdict == "repaired" else "not healed")


def row(number, outcome, faults, trainings=4.0):
    return {"scenario": str(number), "outcome": outcome, "faults": faults, "trainings": trainings}


def test_outcomes_are_counted_and_drawn(tmp_path):
    scenarios = [
        row(0, "healed", ["hinge"]),
        row(1, "healed", ["hinge", "deep, sigmoid"], 6.0),
        row(2, "better", ["hinge"]),
        row(3, "not healed", ["softmax twice"]),
        row(4, "not sick", ["softmax twice"]),
        row(5, "cannot be learned", ["hinge"]),
    ]
    found = repair_drawn.summary(scenarios)
    assert found == {
        "networks": 2, "of": 4, "better": 1, "mean_trainings": 5.0, "not_sick": 1, "cannot_be_learned": 1
    }  # fmt: skip
    assert repair_drawn.by_fault(scenarios) == [
        ("depth", "deep, sigmoid", {"healed": 1}),
        ("output", "softmax twice", {"not healed": 1, "not sick": 1}),
        ("output", "hinge", {"healed": 2, "better": 1, "cannot be learned": 1}),
    ]
    results = {"scenarios": scenarios, "healed": found, "config": {"trainings": 6}}
    screen = runs.console()
    with screen.capture() as capture:
        screen.print(repair_drawn.table(results))
    said = " ".join(capture.get().split())
    assert (
        "2 of 4 sick networks are healed, with 5.0 trainings on average. Better than before, but not healed: 1." in said
    )
    path = drawn_figure.draw(results, tmp_path, tmp_path / "drawn.png")
    assert path.stat().st_size > 10_000


@pytest.mark.combinations
def test_a_network_is_repaired_and_written_down(tmp_path):
    keras.utils.set_random_seed(0)
    results = repair_drawn.run(repair_drawn.Config(number=1, first=149), tmp_path / "logs")
    (found,) = json.loads((tmp_path / "logs" / "results.json").read_text())["scenarios"]
    assert found["network"] == str(drawn_networks.draw(149)[0])
    assert (found["faults"], found["changes"], found["outcome"]) == (
        ["inputs far too small"], ["scaled inputs"], "healed"
    )  # fmt: skip
    assert found["before"] < 0.6 < 0.9 < found["after"]
    assert "gradlog.repair · repaired" in (tmp_path / "logs" / "149.txt").read_text()
    assert results["healed"]["networks"] == 1
