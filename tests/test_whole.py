"""Gradients of a small network come to the host whole, several steps at once; those of a large one are summed."""

import threading

import keras
import networks
import numpy as np
import pytest
import reference
from marks import ENGINE, OF_TENSORFLOW, ONE_STEP_A_CALL, in_combinations
from test_statistics import CASES, OF_HISTOGRAMS

import gradlog
from gradlog.stats import buckets, whole
from gradlog.stats.snapshots import StepLayout, snapshots
from gradlog.writers import MemoryWriter

STEPS = 6


@pytest.mark.parametrize("has_histograms", [True, False])
def test_what_came_whole_equals_numpy(has_histograms):
    """Two steps, of which the second is the first backwards."""
    with np.errstate(over="ignore"):
        values = [one.astype(np.float32).ravel() for one in (CASES | OF_HISTOGRAMS).values()]
    after = [one + np.float32(0.5) for one in values]
    layout = StepLayout(
        tuple(CASES | OF_HISTOGRAMS), np.array([len(one) for one in values]), np.full(len(values), True)
    )

    def both(tensors):
        return np.stack([np.concatenate(tensors), np.concatenate([one[::-1] for one in tensors])])

    arrays = {"gradient": both(values), "before": both(values), "after": both(after)}
    found = snapshots(layout, [4, 5], whole.reduced(layout, arrays, has_histograms))

    assert [one.step for one in found] == [4, 5]
    np.testing.assert_allclose(found[0].statistics, found[1].statistics, rtol=1e-5)
    for index, (name, one) in enumerate(zip(layout.variables, values, strict=True)):
        expected = reference.statistics(one)
        for column, number in zip(found[0].columns, found[0].statistics[index].tolist(), strict=True):
            if column in expected:
                with np.errstate(over="ignore"):
                    wanted = np.float32(expected[column])
                np.testing.assert_allclose(number, wanted, rtol=1e-5, err_msg=f"{column} of {name}")
        if has_histograms:
            rows = reference.histogram_rows(one)
            assert buckets.rows(found[0].gradients[index]).tolist() == rows, name
            assert buckets.rows(found[1].weights[index]).tolist() == rows, name
        elif np.isfinite(one).all() and one.any():
            moved = np.linalg.norm(after[index].astype(float) - one) / np.linalg.norm(one.astype(float))
            np.testing.assert_allclose(found[1].statistics[index, -1], moved, rtol=1e-5, err_msg=name)
    assert (found[0].gradients is None) != has_histograms


def test_a_variable_without_a_gradient_has_statistics_of_its_weights_alone():
    layout = StepLayout(("a", "b"), np.array([2, 3]), np.array([False, True]))
    arrays = {"gradient": np.float32([[1, 2, 2]]), "before": np.float32([[3, 4, 0, 0, 1]])}

    (found,) = snapshots(layout, [0], whole.reduced(layout, arrays))

    assert found.columns == (
        "gradient_mean_abs",
        "gradient_norm",
        "gradient_zero_fraction",
        "gradient_nonfinite",
        "weight_norm",
    )
    np.testing.assert_allclose(found.statistics, [[np.nan] * 4 + [5], [5 / 3, 3, 0, 0, 1]], rtol=1e-6)


@OF_TENSORFLOW
def test_packed_tensors_are_the_same_bit_by_bit():
    import tensorflow as tf

    from gradlog.backends.tensorflow.packing import Packing

    tensors = {
        "loss": tf.constant(np.float32("nan")),
        "step": tf.constant(2**53 + 1, tf.int64),
        "metrics": tf.constant([0.1, -0.0, 1e-42], tf.float32),
        "clipped": tf.constant(np.pi, tf.float64),
        "counts": tf.constant([[1, -2], [2**31 - 1, 0]], tf.int32),
        "half": tf.constant([0.5], tf.float16),
        "before": tf.constant([1.0, 2.0]),
    }
    packing = Packing()
    outputs = tf.function(lambda: packing.packed(tensors, apart=("before",)), jit_compile=True)()

    found = packing.unpacked({name: tensor.numpy()[None] for name, tensor in outputs.items()})

    assert len(outputs) == 3  # what is packed, what is apart, and the half precision
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name][0].tobytes() == tensor.numpy().tobytes(), name


def trained(callbacks, jit_compile=False, **arguments):
    if ENGINE == "tensorflow":  # JAX always compiles
        arguments["jit_compile"] = jit_compile
    model = networks.random_network(**arguments)
    x, y = networks.data(STEPS * 16)
    model.fit(x, y, batch_size=16, epochs=1, shuffle=False, verbose=0, callbacks=callbacks)
    return model


@pytest.mark.parametrize(
    ("jit_compile", "histograms"),
    [
        (False, True),
        *(in_combinations(True, histograms, marks=[OF_TENSORFLOW]) for histograms in (True, False)),
        in_combinations(False, False),
    ],
)
def test_large_and_small_networks_have_the_same_numbers(tmp_path, monkeypatch, jit_compile, histograms):
    """What is summed in the graph, and what is summed on the host; the weights are the same bit by bit."""
    found = {}
    for name, largest in {"small": 1 << 30, "large": 0}.items():
        monkeypatch.setattr(whole, "LARGEST", largest)
        logger = gradlog.GradientLogger(tmp_path / name, every=1, histograms=histograms)
        model = trained([logger], jit_compile)
        assert logger.error is None
        found[name] = gradlog.read(logger.directory), networks.state(model)

    (small, weights), (large, others) = found.values()
    assert small.steps.tolist() == large.steps.tolist() == list(range(STEPS))
    assert small.columns == large.columns
    assert small.variables == large.variables
    np.testing.assert_allclose(small.statistics, large.statistics, rtol=2e-5, atol=1e-12)
    assert small.histograms.keys() == large.histograms.keys()
    for tag, series in small.histograms.items():
        for rows, other in zip(series.values, large.histograms[tag].values, strict=True):
            np.testing.assert_array_equal(rows, other, err_msg=tag)
    for one, other in zip(weights, others, strict=True):
        is_xla = jit_compile or ENGINE == "jax"
        np.testing.assert_allclose(one, other, rtol=1e-5 if is_xla else 0)  # XLA compiles each in its own way


@pytest.mark.parametrize(
    ("steps_per_execution", "largest"),
    [
        (1, 1 << 30),
        pytest.param(3, 0, marks=ONE_STEP_A_CALL),
        in_combinations(1, 0),
        in_combinations(3, 1 << 30, marks=[ONE_STEP_A_CALL]),
    ],
)
def test_histograms_at_every_so_many_logged_steps(tmp_path, monkeypatch, largest, steps_per_execution):
    """Scalars are those of every logged step, and the training is as it would be without."""
    monkeypatch.setattr(whole, "LARGEST", largest)
    memory = MemoryWriter()
    logger = gradlog.GradientLogger(tmp_path, every=2, histograms=2, activations=networks.data(8)[0], writers=[memory])
    model = trained([logger], steps_per_execution=steps_per_execution)

    assert logger.error is None
    history = gradlog.read(tmp_path)
    assert history.steps.tolist() == [0, 2, 4]
    assert {tag.split("/")[0] for tag in history.histograms} == {"gradient", "weight", "activation"}
    for tag, series in history.histograms.items():
        assert series.steps.tolist() == [0, 4], tag
    assert not np.isnan(history.statistic("gradient_zero_fraction")).any()
    plain = trained([], steps_per_execution=steps_per_execution)
    for one, other in zip(networks.state(model), networks.state(plain), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("histograms", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError), ("yes", TypeError)]
)
def test_what_is_no_number_of_logged_steps_is_refused(tmp_path, histograms, error):
    with pytest.raises(error, match=r"at every how many logged steps.*True, False, or an integer, 1 or more\."):
        gradlog.GradientLogger(tmp_path, histograms=histograms)


@pytest.mark.usefixtures("unhurried")
def test_findings_are_told_in_the_thread_that_trains(tmp_path):
    """What is found in gradlog's thread; so a function of the user's may touch the model."""
    told = []
    model = networks.dense_network()
    model.compile(keras.optimizers.SGD(1e30), model.loss)
    x, y = networks.data(STEPS * 16)
    logger = gradlog.GradientLogger(
        tmp_path, every=1, on_finding=lambda finding: told.append((finding.code, threading.current_thread()))
    )

    model.fit(x, y, batch_size=16, verbose=0, callbacks=[logger])

    assert ("GL202" if ENGINE == "torch" else "GL301") in dict(told)  # other weights, another finding
    assert {thread for _, thread in told} == {threading.main_thread()}
