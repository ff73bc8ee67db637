"""Warnings: each names the line of the user's program that it comes from, and not one of gradlog's or of Keras'."""

import linecache

import keras
import networks
import pytest
from marks import ENGINE, NOT_ON_JAX, OF_TENSORFLOW

import gradlog

pytestmark = pytest.mark.filterwarnings("always")


def lines(caught, beginning):
    """Returns the lines of code that the warnings with such a text name."""
    found = [one for one in caught if str(one.message).startswith(beginning)]
    assert {one.filename for one in found} == {__file__}
    return [linecache.getline(one.filename, one.lineno).strip() for one in found]


@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}])
def test_a_fit_is_named(tmp_path, options, recwarn):
    x, y = networks.data()
    first, second = networks.dense_network(**options), networks.dense_network(**options)
    first.fit(x, y, verbose=0, callbacks=[gradlog.GradientLogger(tmp_path)])
    logger = gradlog.GradientLogger(tmp_path)

    second.fit(x, y, verbose=0, callbacks=[logger])

    assert lines(recwarn, f"{str(tmp_path)!r} holds") == ["second.fit(x, y, verbose=0, callbacks=[logger])"]


def test_a_finding_and_a_failure_are_told_where_the_training_is(tmp_path, recwarn, monkeypatch):
    model = networks.dense_network(optimizer=keras.optimizers.SGD(1e30))
    x, y = networks.data()
    logger = gradlog.GradientLogger(tmp_path, every=1)

    model.fit(x, y, epochs=2, verbose=0, callbacks=[logger])
    assert [one.code for one in logger.findings] == ["GL102", "GL202"]
    monkeypatch.setattr("gradlog.session.session.TrainingSession.begin_call", lambda self: 1 / 0)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[logger])

    assert set(lines(recwarn, "in ")) == {"model.fit(x, y, epochs=2, verbose=0, callbacks=[logger])"}
    assert lines(recwarn, "gradlog stopped") == ["model.fit(x, y, epochs=3, verbose=0, callbacks=[logger])"]


@NOT_ON_JAX
def test_a_custom_loop_is_named(tmp_path, recwarn):
    model = networks.dense_network()
    logger = gradlog.GradientLogger(tmp_path, every=1)

    with logger.attach(model, model.optimizer):
        model.optimizer.iterations.assign(3)  # as if the steps had been compiled before

    assert lines(recwarn, "gradlog logged nothing") == ["with logger.attach(model, model.optimizer):"]


@OF_TENSORFLOW
def test_a_train_is_named(recwarn):
    model = networks.dense_network()
    dataset = networks.dataset().take(2)

    gradlog.train(model, dataset, steps=3)

    assert lines(recwarn, "The dataset ran out") == ["gradlog.train(model, dataset, steps=3)"]


@pytest.mark.skipif(ENGINE != "torch", reason="is PyTorch's")
def test_a_fit_whose_logged_steps_are_not_compiled_is_named(tmp_path, recwarn):
    model = networks.dense_network(jit_compile=True)
    x, y = networks.data(16)

    model.fit(x, y, batch_size=16, verbose=0, callbacks=[gradlog.GradientLogger(tmp_path)])

    named = ["model.fit(x, y, batch_size=16, verbose=0, callbacks=[gradlog.GradientLogger(tmp_path)])"]
    assert lines(recwarn, "gradlog runs logged steps without") == named
