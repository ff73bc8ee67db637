"""Diagnosis while training: each finding said once, as an alarm, and healed; as afterwards; as the user asked."""

import warnings

import keras
import numpy as np
import pytest
from cases import during, flat, run, settled, snapshots
from marks import OF_TENSORFLOW

import gradlog
from gradlog.diagnosis import monitor as monitor_module
from gradlog.diagnosis.announcer import Announcer
from gradlog.diagnosis.monitor import Monitor
from gradlog.history.history import Series
from gradlog.rules import Exploding, Vanishing

pytestmark = pytest.mark.usefixtures("without_graph_optimizer", "variables_first")


def told(history, rules=None):
    """Returns what a monitor tells: (step, code, last step) in order, and what stands at the end."""
    events, stands = [], []

    def tell(news, findings, step):
        events.extend((step, finding.code, finding.last_step) for finding in news)
        stands[:] = findings

    monitor = Monitor(tell, rules)
    for snapshot in snapshots(history):
        monitor._spent = 0  # as if time had passed
        monitor.add(snapshot)
    monitor.finish()
    return events, stands


def deep_sigmoid():
    """So many layers that the first gradient is an alarm; built whole, so that a step is traced once."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(8, "sigmoid", name=f"layer{number}") for number in range(1, 8)]
    model = keras.Sequential([keras.Input((8,)), *layers, keras.layers.Dense(3, name="layer8")])
    model.compile(keras.optimizers.SGD(0.5), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer.build(model.trainable_variables)
    return model


def data(number=320):
    rng = np.random.default_rng(1)
    return rng.random((number, 8), np.float32), rng.integers(0, 3, number)


def test_a_finding_is_told_once_and_when_it_healed():
    history = run(gradient_nonfinite=during(7, 0, 5, 9), loss=np.linspace(2.3, 0.3, 20))

    events, stands = told(history)

    assert events == [(50, "GL103", None), (110, "GL103", 80)]  # three logged steps without it
    assert [finding.last_step for finding in stands] == [80]


def test_a_finding_is_told_again_only_when_it_becomes_an_alarm():
    ratio = np.geomspace(5e-4, 2e-7, 20)[:, None]
    gradients = np.concatenate([ratio, np.ones((20, 4))], axis=1)

    events, stands = told(run(gradient_mean_abs=gradients), [Vanishing()])

    assert [code for _, code, _ in events] == ["GL101"] * 2
    assert stands[0].severity == "alarm"
    assert stands[0].measured < 1e-6  # two powers of ten beyond what the alarm was told with


def test_nobody_is_warned_of_a_note(recwarn):
    texts, heard, model = [], [], keras.Sequential()
    model.stop_training = False

    class Writer:
        def write_text(self, step, tag, markdown):
            texts.append(markdown)

    for on_finding in ("warn", "stop", heard.append):
        announcer = Announcer(on_finding, Writer(), "run", model, warnings.warn)
        monitor = Monitor(announcer.tell, [Exploding()])
        for snapshot in snapshots(settled()):
            monitor.add(snapshot)
        monitor.finish()
        assert [finding.severity for finding in monitor.findings] == ["note"]

    assert "GL102 note · exploding gradient" in texts[-1]
    assert (heard, list(recwarn), model.stop_training) == ([], [], False)


def test_nothing_is_told_of_a_healthy_run():
    assert told(run()) == ([], [])


@pytest.mark.parametrize("changes", [{"loss": flat()}, {"gradient_mean_abs": 10.0 ** np.array([-7, -5, -4, -3, -2])}])
def test_what_stands_at_the_end_is_what_a_diagnosis_afterwards_says(changes):
    history = run(**changes)
    float32 = {tag: Series(series.steps, np.float32(series.values)) for tag, series in history.scalars.items()}
    history = gradlog.History(history.variables, history.columns, history.steps, history.statistics, float32)

    assert told(history)[1] == gradlog.diagnose(history) != []


def test_diagnosing_that_takes_long_is_put_off_but_not_forgotten():
    news = []
    monitor = Monitor(lambda new, all_of_them, step: news.extend(new))
    for snapshot in snapshots(run(loss=flat())):
        monitor._spent = float("inf")
        monitor.add(snapshot)
    assert news == []

    monitor.finish()

    assert [finding.code for finding in news] == ["GL401"]


def test_nan_is_told_at_once_however_busy():
    news = []
    monitor = Monitor(lambda new, all_of_them, step: news.extend((step, finding.code) for finding in new))
    for snapshot in snapshots(run(loss=np.r_[np.full(8, 2.0), np.full(12, np.nan)])):
        monitor._spent = float("inf")
        monitor.add(snapshot)

    assert news[0] == (80, "GL103")


@pytest.mark.parametrize("loop", ["fit", pytest.param("train", marks=OF_TENSORFLOW)])
def test_warn_says_it_once_and_the_text_tab_has_it(tmp_path, loop):
    model, logger = deep_sigmoid(), gradlog.GradientLogger(tmp_path, every=2)
    x, y = data()

    def train():
        if loop == "fit":
            model.fit(x, y, batch_size=32, shuffle=False, verbose=0, callbacks=[logger])
            return
        import tensorflow as tf

        dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
        gradlog.train(model, dataset, steps=10, callbacks=[logger])

    with pytest.warns(UserWarning, match="GL101 alarm · vanishing gradient · layer1") as caught:
        train()

    assert sum("GL101" in str(one.message) for one in caught) == 1
    history = gradlog.read(tmp_path)
    assert logger.findings == gradlog.diagnose(history)
    text = history.texts["gradlog/findings"]
    assert "GL101 alarm · vanishing gradient · layer1" in text.values[-1]
    assert "1. Use ReLU" in text.values[-1]


@pytest.mark.usefixtures("unhurried")
def test_stop_ends_the_training_and_says_why(tmp_path):
    model = deep_sigmoid()
    logger = gradlog.GradientLogger(tmp_path, every=2, on_finding="stop")

    with pytest.warns(UserWarning, match="stopped the training of .* after step 4: GL101 alarm"):
        model.fit(*data(), epochs=5, verbose=0, callbacks=[logger])

    assert model.stop_training
    assert int(model.optimizer.iterations) == 5  # the third logged step, and no further


def test_numbers_that_stay_broken_are_no_reason_to_hurry():
    """What is not finite is diagnosed at once when it is new, and then like all else."""
    times = []
    monitor = Monitor(lambda new, all_of_them, step: times.append(step))
    diagnose, monitor._diagnose = monitor._diagnose, lambda: (times.append("diagnosed"), diagnose())
    for snapshot in snapshots(run(loss=np.r_[np.full(8, 2.0), np.full(12, np.nan)])):
        monitor._spent = float("inf")
        monitor.add(snapshot)

    assert times == ["diagnosed", 80]


def test_a_very_long_run_is_kept_in_part(monkeypatch):
    """Every second step, then every fourth: memory has a bound, and NaN between two of them is told."""
    monkeypatch.setattr(monitor_module, "_MAX_BYTES", 0)
    monkeypatch.setattr(monitor_module, "_MIN_STEPS", 16)
    news = []
    monitor = Monitor(lambda new, all_of_them, step: news.extend((step, finding.code) for finding in new))
    history = run(100, gradient_nonfinite=during(7, 0, 77, 78, steps=100))
    for snapshot in snapshots(history):
        monitor._spent = float("inf")
        monitor.add(snapshot)

    kept = monitor.history()
    assert kept.steps.tolist() == sorted([*range(0, 1000, 80), 770])
    assert history.scalars.keys() == kept.scalars.keys() != set()
    for tag, series in history.scalars.items():
        assert kept.scalars[tag].steps.tolist() == kept.steps.tolist()
        wanted = np.float32(series.values)[np.isin(series.steps, kept.steps)]
        np.testing.assert_array_equal(kept.scalars[tag].values, wanted)
    assert (770, "GL103") in news


def test_ignore_warns_of_nothing(tmp_path):
    model, logger = deep_sigmoid(), gradlog.GradientLogger(tmp_path, every=1, on_finding="ignore")

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.fit(*data(160), verbose=0, callbacks=[logger])

    assert [finding.code for finding in logger.findings] == ["GL101"]
    assert "gradlog/findings" in gradlog.read(tmp_path).texts


def test_a_function_gets_the_finding(tmp_path):
    found = []
    model, logger = deep_sigmoid(), gradlog.GradientLogger(tmp_path, every=1, on_finding=found.append)

    model.fit(*data(160), verbose=0, callbacks=[logger])

    assert found[0].code == "GL101"
    assert isinstance(found[0], gradlog.Finding)


def test_a_function_that_raises_does_not_end_the_training(tmp_path):
    def raises(finding):
        raise RuntimeError("no such channel")

    model, logger = deep_sigmoid(), gradlog.GradientLogger(tmp_path, every=1, on_finding=raises)

    with pytest.warns(
        UserWarning, match="gradlog stopped diagnosing .*; training continues: RuntimeError: no such channel"
    ):
        model.fit(*data(160), verbose=0, callbacks=[logger])

    assert gradlog.read(tmp_path).steps.tolist() == [0, 1, 2, 3, 4]
    assert str(logger.error) == "no such channel"


def test_rules_can_be_chosen(tmp_path):
    model = deep_sigmoid()
    logger = gradlog.GradientLogger(tmp_path, every=1, rules=[Vanishing(ratio=1e-30, steady_ratio=1e-30, bias_ratio=0)])

    model.fit(*data(160), verbose=0, callbacks=[logger])

    assert logger.findings == []


@OF_TENSORFLOW
def test_a_loop_of_ones_own_is_diagnosed(tmp_path):
    import tensorflow as tf

    model, optimizer = deep_sigmoid(), keras.optimizers.SGD(0.5)
    logger = gradlog.GradientLogger(tmp_path, every=2, on_finding="ignore")
    x, y = data()

    with logger.attach(model, optimizer):
        for start in range(0, 320, 32):
            with tf.GradientTape() as tape:
                loss = model.loss(y[start : start + 32], model(x[start : start + 32], training=True))
            optimizer.apply_gradients(
                zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
            )

    assert "GL101" in {finding.code for finding in logger.findings}
    assert "GL101" in gradlog.read(tmp_path).texts["gradlog/findings"].values[-1]


def test_a_training_that_goes_on_is_one_run(tmp_path):
    """Told once over five calls of `fit`, and the same as afterwards; another model begins anew."""
    told = []
    model, logger = deep_sigmoid(), gradlog.GradientLogger(tmp_path, every=2, on_finding=told.append)
    for _ in range(5):
        model.fit(*data(), verbose=0, callbacks=[logger])

    assert [finding.code for finding in told].count("GL101") == 1
    assert logger.findings == gradlog.diagnose(gradlog.read(tmp_path))
    logger.set_model(deep_sigmoid())
    logger.set_params({})
    logger.on_train_begin()

    assert logger.findings == []
    logger.on_train_end()


@pytest.mark.parametrize("value", ["shout", 3, None])
def test_wrong_on_finding_is_said(tmp_path, value):
    with pytest.raises(ValueError, match=r"Expected 'warn', 'stop', 'ignore', or a function.*Received: on_finding="):
        gradlog.GradientLogger(tmp_path, on_finding=value)


def test_wrong_rules_are_said(tmp_path):
    with pytest.raises(TypeError, match=r"or a list of rules of gradlog.rules.*Received: rules="):
        gradlog.GradientLogger(tmp_path, rules=["GL101"])
