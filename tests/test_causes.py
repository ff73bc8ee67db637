"""Causes first: what stands first explains the rest, and says what to change in this very run."""

import dataclasses

import keras
import labelled
import labelled_case
import labelled_tables
import networks
import numpy as np
import pytest
from marks import OTHER_WEIGHTS, TARGETS_REFUSED

import gradlog
from gradlog.diagnosis import causes
from gradlog.diagnosis.changes import initial_weights, table
from gradlog.diagnosis.finding import SEVERITIES
from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import LARGE_STEPS, SMALL_STEPS, Diagnosed
from gradlog.history.run import Layer, Output, Run

pytestmark = pytest.mark.usefixtures("without_graph_optimizer", "variables_first")

KERNELS = tuple(f"layer{number}/kernel" for number in range(1, 6))
EVIDENCE = Evidence(gradlog.History(KERNELS, (), np.arange(0, 200, 10), np.zeros((20, 5, 0))))
CODES = {LARGE_STEPS: "GL301", SMALL_STEPS: "GL301", causes.SETUP: "GL501"}


def one(kind, first_step=0, where=(), severity="alarm", is_initial=False, last_step=None):
    code = CODES.get(kind, kind)
    return Diagnosed(gradlog.Finding(code, "", severity, where, first_step, last_step, 1, 0, "", ()), kind, is_initial)


def order(*diagnosed):
    """What stands for itself, and what follows from it, by the numbers of the arguments."""
    told = causes.in_reading_order(dict(enumerate(diagnosed)), EVIDENCE)
    result = []
    for number, finding in told.items():
        if finding.cause:
            result[-1][1].append(number)
        else:
            result.append((number, []))
        assert set(finding.explains) <= {one.finding.code for one in diagnosed}
    return result


def test_large_steps_explain_what_comes_after_them():
    assert order(one("GL101", 30, KERNELS[:2]), one(LARGE_STEPS, severity="warning"), one("GL401")) == [(1, [0, 2])]


def test_large_steps_do_not_explain_what_was_there_before_the_first_update():
    vanished = one("GL101", 0, KERNELS[:2], is_initial=True)

    assert order(vanished, one(LARGE_STEPS, severity="warning"), one("GL401")) == [(0, [2, 1])]


def test_large_steps_that_come_much_later_explain_nothing():
    assert order(one("GL101", 0, KERNELS[:2]), one(LARGE_STEPS, 100)) == [(0, []), (1, [])]


def test_a_gradient_that_explodes_at_the_first_step_explains_large_steps_and_not_the_reverse():
    assert order(one(LARGE_STEPS), one("GL102", is_initial=True), one("GL103", 20)) == [(1, [2, 0])]
    assert order(one(LARGE_STEPS), one("GL102"), one("GL103", 20)) == [(0, [1, 2])]


def test_what_blocks_the_way_back_explains_what_lies_below_it_only():
    below, above = one("GL101", 0, KERNELS[:2]), one("GL101", 0, KERNELS[3:4])

    assert order(below, one("GL201", 0, KERNELS[2:3])) == [(1, [0])]
    assert sorted(order(above, one("GL201", 0, KERNELS[2:3]))) == [(0, []), (1, [])]


def test_weights_that_collapse_explain_what_came_before_they_were_gone():
    assert order(one("GL303", 150), one("GL101", 30, KERNELS[:1]), one("GL401")) == [(0, [1, 2])]


def test_a_set_up_explains_everything_and_a_flat_loss_nothing():
    everything = [one(kind) for kind in causes.FOLLOWS if kind not in (causes.SETUP, "GL303")]

    assert [number for number, _ in order(*everything, one(causes.SETUP))] == [len(everything)]
    assert causes.FOLLOWS["GL401"] == ()
    assert causes.FOLLOWS["GL404"] == ()
    assert all({"GL401", "GL404"} <= {*following} for following in causes.FOLLOWS.values() if following)


def test_every_kind_of_finding_has_a_place():
    assert set(causes.FOLLOWS) >= {rule.code for rule in gradlog.rules.RULES} - {"GL301"} | {LARGE_STEPS, SMALL_STEPS}
    assert all(kind in causes.FOLLOWS for following in causes.FOLLOWS.values() for kind in following)


def test_a_rule_of_the_user_stands_for_itself():
    assert order(one("XY999", 0), one("GL401", severity="warning")) == [(0, []), (1, [])]
    assert order(one("XY999", 0, severity="warning"), one(causes.SETUP)) == [(1, []), (0, [])]


def test_notes_explain_nothing_and_come_last():
    assert order(one(LARGE_STEPS, severity="note"), one("GL401", severity="warning")) == [(1, []), (0, [])]


def test_large_first_steps_that_did_harm_are_its_cause():
    note = one(LARGE_STEPS, severity="note", last_step=40)

    assert order(note, one("GL201", 20, KERNELS[:1])) == [(0, [1])]
    assert order(note, one("GL201", 20, KERNELS[:1], last_step=60)) == [(1, []), (0, [])]
    assert order(note, one("GL201", 0, KERNELS[:1], is_initial=True)) == [(1, []), (0, [])]
    hint = dataclasses.replace(note, is_hint=True, finding=dataclasses.replace(note.finding, severity="warning"))
    assert order(hint, one("GL201", 20, KERNELS[:1])) == [(0, [1])]
    assert order(hint, one("GL401")) == [(1, [])]


def test_a_loss_that_suits_classes_less_well_is_the_cause_where_nothing_else_is():
    note = one("GL508", severity="note")

    assert order(note, one("GL401", severity="warning")) == [(0, [1])]
    assert order(note, one("GL401", severity="warning"), one("GL101", is_initial=True)) == [(2, [1]), (0, [])]
    assert order(note, one("GL303", severity="warning")) == [(1, []), (0, [])]


def test_the_worst_group_comes_first():
    first = one("GL201", 0, KERNELS[:1], "warning"), one("GL302", 0, (), "warning")
    second = one("GL103", 150)

    assert order(*first, second)[0] == (2, [])
    assert SEVERITIES.index("alarm") < SEVERITIES.index("warning")


# Real trainings.


def diagnosed(model, x, y, log_dir, epochs=2):
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[gradlog.GradientLogger(log_dir, 8, on_finding="ignore")])
    return gradlog.diagnose(gradlog.read(log_dir))


def test_a_learning_rate_too_large_for_a_transformer_is_told_as_that():
    for history in labelled_tables.read()[0]["transformer, AdamW at 0.1"]:
        first, *others = gradlog.diagnose(labelled_case.first_steps(history))

        assert first.code in ("GL301", "GL102")
        assert first.change.startswith("keras.optimizers.AdamW(learning_rate=")
        assert first.change.endswith("(it is 0.1)")
        assert all(one.cause == first.code for one in others if not one.is_note)


def test_a_deep_sigmoid_network_is_told_by_its_activation_whatever_its_rate(tmp_path):
    x, y = labelled.digits()
    keras.utils.set_random_seed(1)

    build = networks.with_variables(labelled.mlp("sigmoid", 10, 16, labelled.adam(0.05)))

    first = diagnosed(build(), x, y, tmp_path)[0]

    assert first.code == "GL101"
    assert first.change == ('activation="relu" in the hidden layers (layer1, layer2 … layer10 (10 in all) use sigmoid)')


def test_a_mistake_in_the_set_up_stands_before_what_it_does(tmp_path):
    x, y = labelled.digits()
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1, "softmax")])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)

    logger = gradlog.GradientLogger(tmp_path, 8, on_finding="ignore")
    model.fit(x, y, epochs=3, verbose=0, callbacks=[logger])

    found = gradlog.diagnose(gradlog.read(tmp_path))
    mistakes = [one for one in found if not one.cause]
    assert [one.code for one in mistakes] == ["GL501", "GL502"]
    assert all(one.cause in ("", "GL501") for one in found)
    assert found[0] == mistakes[0]
    assert logger.findings == found
    assert [one.code for one in gradlog.diagnose(gradlog.read(tmp_path), rules=[])] == ["GL501", "GL502"]
    assert "of the targets lie outside: they go from 0 to 9" in mistakes[1].message


def test_a_warning_of_the_set_up_is_a_note_once_the_network_has_learned(tmp_path):
    x, y = labelled.digits()
    keras.utils.set_random_seed(1)
    model = networks.with_variables(labelled.to_classes("softmax", from_logits=True))()

    logger = gradlog.GradientLogger(tmp_path, 8, on_finding="ignore")
    severities = []
    for _ in range(4):
        model.fit(x, y, verbose=0, callbacks=[logger])
        severities += [(one.code, one.severity) for one in gradlog.diagnose(gradlog.read(tmp_path))]

    assert severities[0] == ("GL505", "warning")
    assert severities[-1] == ("GL505", "note")
    assert [(one.code, one.severity) for one in logger.findings] == severities[-1:]


def test_an_accuracy_of_numbers_does_not_tell_whether_a_network_has_learned(tmp_path):
    x, y = labelled.sums()
    keras.utils.set_random_seed(1)
    model = labelled.to_number(None)()
    model.compile(keras.optimizers.Adam(3e-3), "mse", metrics=["accuracy"])

    found = diagnosed(model, x, y, tmp_path, epochs=4)

    assert [(one.code, one.severity) for one in found] == [("GL511", "note"), ("GL512", "note")]


@TARGETS_REFUSED
@pytest.mark.parametrize(
    ("is_checked", "compiling"),
    [
        (True, {}),
        (False, {}),
        (True, {"steps_per_execution": 3}),
        (True, {"jit_compile": True}),
        (True, {"run_eagerly": True}),
    ],
)
def test_labels_that_do_not_fit_are_told_at_the_first_logged_step(tmp_path, is_checked, compiling):
    x, y = labelled.digits()
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(1, "sigmoid", name="output")])
    model.compile("sgd", "binary_crossentropy", **compiling)
    logger = gradlog.GradientLogger(tmp_path, 8, on_finding="ignore", check=is_checked)
    model.fit(x[:96], y[:96], verbose=0, callbacks=[logger])

    found = gradlog.diagnose(gradlog.read(tmp_path))
    assert logger.error is None
    assert logger.findings == found
    assert [one.code for one in found if one.code.startswith("GL5")] == ["GL503", "GL504"] * is_checked


@OTHER_WEIGHTS
def test_an_accuracy_that_does_not_rise_is_told_whether_the_set_up_is_checked_or_not(tmp_path):
    """On TensorFlow alone, Keras computes the loss from the logits, so a softmax of one unit has a gradient still."""
    x, y = labelled.table(is_scaled=True)
    order = np.random.default_rng(0).permutation(len(x))
    if networks.IS_TENSORFLOW:
        cases = (True, [("GL501", ""), ("GL404", "GL501")]), (False, [])
    else:
        cases = (True, [("GL501", ""), ("GL302", "GL501")]), (False, [("GL302", "")])
    for is_checked, expected in cases:
        keras.utils.set_random_seed(1)
        model = networks.with_variables(labelled.yes_or_no("softmax"))()
        logger = gradlog.GradientLogger(tmp_path / str(is_checked), 8, on_finding="ignore", check=is_checked)
        model.fit(x[order], y[order], epochs=5, verbose=0, callbacks=[logger])

        assert [(one.code, one.cause) for one in gradlog.diagnose(gradlog.read(logger.log_dir))] == expected
    share = gradlog.read(tmp_path / "True").run.outputs[0].majority
    assert share == pytest.approx(max(y.mean(), 1 - y.mean()), abs=0.15)


# Changes.


def run_of(activation="relu", initializer=None, **optimizer):
    layers = tuple(
        Layer(f"layer{number}", "Dense", 10, activation, (100, 100), initializer or {"class": "GlorotUniform"})
        for number in range(1, 4)
    )
    return Run("net", layers, (Output("layer4"),), {"class": "Adam", "learning_rate": 0.1} | optimizer)


def change(kind, run, where=(), measured=0.3, first_step=10):
    history = gradlog.History(KERNELS, (), np.arange(3), np.zeros((3, 5, 0)))
    evidence = Evidence(history)
    evidence.run = run
    return table.change_for(
        kind, gradlog.Finding("", "", "alarm", where, first_step, None, measured, 0, "", ()), evidence
    )


def test_a_change_names_what_is_there():
    normal = {"class": "RandomNormal", "mean": 0, "stddev": 0.01}

    assert change(LARGE_STEPS, run_of()) == "keras.optimizers.Adam(learning_rate=0.001) (it is 0.1)"
    assert change(LARGE_STEPS, run_of(), measured=0.1) == "keras.optimizers.Adam(learning_rate=0.003) (it is 0.1)"
    assert change(SMALL_STEPS, run_of(learning_rate=1e-7), measured=1e-7) == (
        "keras.optimizers.Adam(learning_rate=0.001) (it is 1e-07)"
    )
    assert change("GL101", run_of("sigmoid")) == (
        'activation="relu" in the hidden layers (layer1, layer2, layer3 use sigmoid)'
    )
    assert change("GL101", run_of("tanh", normal), ("layer2/kernel",)) == (
        'kernel_initializer="glorot_uniform" (layer2 starts with weights of deviation 0.01; Glorot\'s would be 0.1)'
    )
    assert change("GL201", run_of(learning_rate=0.001)) == 'activation="leaky_relu" in layer1, layer2, layer3'
    assert change("GL201", run_of()) == "keras.optimizers.Adam(learning_rate=0.001) (it is 0.1)"
    assert change("GL303", run_of(weight_decay=3.0)) == "weight_decay=0.3 (it is 3)"
    assert change("GL103", run_of(learning_rate=0.001)) == (
        "keras.optimizers.Adam(learning_rate=0.001, global_clipnorm=1.0)"
    )


def test_nothing_is_proposed_that_does_not_apply():
    gelu = run_of("gelu", learning_rate=0.001)

    assert change("GL101", gelu) == "keras.layers.BatchNormalization() after each hidden layer"
    assert change("GL201", gelu) == ""
    assert change(SMALL_STEPS, run_of()) == ""
    assert change("GL401", gelu) == ""
    assert change("GL101", None) == ""
    evidence = Evidence(gradlog.History())
    evidence.run = gelu
    remedies = ("Use ReLU instead of sigmoid.", "Use leaky ReLU.", "Clip the gradient.", "Normalize the inputs.")
    assert table.applicable(remedies, evidence) == ("Clip the gradient.", "Normalize the inputs.")


@pytest.mark.parametrize("name", ["glorot_uniform", "glorot_normal", "he_normal", "he_uniform", "lecun_normal"])
def test_the_deviation_of_an_initializer_is_that_of_its_weights(name):
    model = keras.Sequential([keras.Input((300,)), keras.layers.Dense(200, kernel_initializer=name, name="one")])
    layer = gradlog.session.describe.described(model).layers[0]

    assert initial_weights.deviation(layer) == pytest.approx(np.std(model.get_weights()[0]), rel=0.03)
    assert initial_weights.fans(layer) == (300, 200)


# A loss that stands still.


def slow_starter():
    """Two inputs, whose product's sign is to be told: the loss stands still for some hundred steps, and then falls."""
    generator = np.random.default_rng(0)
    x = generator.uniform(-1, 1, (640, 2)).astype("float32")
    layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((2,)), *layers])
    draws, shapes = np.random.default_rng(2), [(2, 8), (8, 8), (8, 1)]  # the same weights on every engine
    kernels = [draws.uniform(-1, 1, shape) * np.sqrt(6 / sum(shape)) for shape in shapes]
    model.set_weights([one for kernel in kernels for one in (kernel, np.zeros(kernel.shape[1]))])
    steps_a_call = 1 if keras.backend.backend() == "torch" else 10
    model.compile(
        keras.optimizers.Adam(1e-3), "binary_crossentropy", metrics=["accuracy"], steps_per_execution=steps_a_call
    )
    model.optimizer.build(model.trainable_variables)
    return model, x, (x[:, 0] * x[:, 1] > 0).astype("int32")


@pytest.mark.combinations
def test_a_slow_starter_is_not_disturbed(tmp_path, recwarn):
    model, x, y = slow_starter()

    model.fit(x, y, epochs=60, verbose=0, shuffle=False, callbacks=[gradlog.GradientLogger(tmp_path, 10)])

    assert model.evaluate(x, y, verbose=0)[1] > 0.9
    (found,) = gradlog.diagnose(gradlog.read(tmp_path))
    assert (found.code, found.severity, found.last_step) == ("GL401", "note", 110)
    assert not [one for one in recwarn if "GL401" in str(one.message)]


def flat(logged, every):
    """A loss that never falls, and nothing else that could be seen."""
    steps = np.arange(logged) * every
    losses = gradlog.history.history.Series(steps, np.full(logged, 0.7, np.float32))
    return gradlog.History((), (), steps, np.zeros((logged, 0, 0), np.float32), {"train/loss": losses})


@pytest.mark.parametrize(
    ("logged", "every", "severity"),
    [(12, 10, "note"), (39, 10, "note"), (40, 10, "warning"), (41, 7, "note"), (21, 50, "warning"), (19, 100, "note")],
)
def test_a_flat_loss_is_worth_a_warning_when_it_has_lasted(logged, every, severity):
    (found,) = gradlog.diagnose(flat(logged, every))

    assert (found.code, found.severity) == ("GL401", severity)


def test_a_flat_loss_with_a_reason_is_worth_a_warning_at_once():
    assert order(one("GL101", 0, is_initial=True), one("GL401", severity="note")) == [(0, [1])]
    told = causes.in_reading_order({0: one("GL101"), 1: one("GL401", severity="note")}, EVIDENCE)
    assert told[1].severity == "warning"


# A log that somebody else wrote.


def hostile(**changed):
    """A run whose JSON has something else in the place of numbers, and layers that follow each other in a circle."""
    normal = {"class": "RandomNormal", "stddev": "wide"}
    layers = tuple(
        Layer(name, "Dense", 3, "sigmoid", (), normal, {"kernel": {"class": "L2", "l2": "strong"}}, (other,))
        for name, other in (("layer1", "layer2"), ("layer2", "layer1"))
    )
    optimizer = {"class": "SGD", "learning_rate": "fast", "weight_decay": []}
    return Run("net", layers, (), optimizer, **changed)


@pytest.mark.parametrize("kind", sorted(table._CHANGES))
def test_a_hostile_run_proposes_nothing_that_it_cannot_know(kind):
    proposed = change(kind, Run.from_json(hostile().to_json()), ("layer1/kernel",))

    assert "learning_rate" not in proposed
    assert "kernel_initializer" not in proposed
    assert "regularizer" not in proposed


@pytest.mark.parametrize("broken", [{}, {"first_step": "soon"}, {"severity": "worst"}, {"message": 5}, {"new": 1}])
def test_mistakes_that_are_no_findings_are_left_out(broken):
    mistake = one(causes.SETUP).finding.to_dict() | broken
    text = hostile(mistakes=(mistake, {})).to_json()
    series = gradlog.history.history.Series(np.array([0]), [text])
    history = gradlog.History((), (), np.array([0]), np.zeros((1, 0, 0)), texts={"gradlog/run": series})

    assert [finding.code for finding in gradlog.diagnose(history)] == ([] if broken else ["GL501"])
