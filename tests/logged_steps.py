"""Trainings with a logger, and the second road to every number of a logged step: the engine's own gradients, NumPy."""

import autograd
import keras
import networks
import numpy as np
import pytest
import reference

import gradlog

VARIABLES = [f"layer{layer}/{name}" for layer in (1, 2, 3) for name in ("kernel", "bias")]  # of `dense_network`
NUM_STEPS, BATCH_SIZE = 12, 16  # of `fit`


def fit(model, callbacks, epochs=2, **arguments):
    networks.fit(model, callbacks, epochs=epochs, **arguments)


def logged(model, log_dir, train=fit, **arguments):
    """Trains with a logger and returns its history, as read back from the event file."""
    train(model, [gradlog.GradientLogger(log_dir, **arguments)])
    return gradlog.read(log_dir)


def independent_steps(model):
    """Trains without `fit` and gradlog; yields loss, weights before, gradients and weights after each step."""
    x, y = networks.first_batches(NUM_STEPS)
    for start in range(0, len(x), BATCH_SIZE):
        batch = [keras.ops.convert_to_tensor(array[start : start + BATCH_SIZE]) for array in (x, y)]
        loss = model.loss(batch[1], model(batch[0], training=True))
        gradients = autograd.gradients(model, model.loss, *batch)
        weights = values(model)
        tensors = [keras.ops.convert_to_tensor(gradient, "float32") for gradient in gradients]
        autograd.apply(model.optimizer, tensors, model.trainable_variables)
        yield float(keras.ops.convert_to_numpy(loss)), weights, gradients, values(model)


def values(model):
    return [np.array(variable) for variable in model.trainable_variables]


def check_same(plain, observed):
    """Two models are in the same state, bit by bit."""
    for one, other in zip(networks.state(plain), networks.state(observed), strict=True):
        np.testing.assert_array_equal(one, other)


def check_numbers(history):
    """Statistics, norms, update ratio, loss and histograms of steps 0, 3, 6, 9 against gradients of the test's own."""
    assert history.steps.tolist() == [0, 3, 6, 9]
    assert history.variables == tuple(VARIABLES)
    for step, (loss, weights, gradients, after) in enumerate(independent_steps(networks.dense_network())):
        if step % 3:
            continue
        time = step // 3
        assert history.scalars["train/loss"].values[time] == pytest.approx(loss, rel=1e-5)
        norm = np.sqrt(sum(np.sum(g.astype(float) ** 2) for g in gradients))
        assert history.scalars["gradient_norm/global"].values[time] == pytest.approx(norm, rel=1e-5)
        for row, name in enumerate(VARIABLES):
            check_variable(history, time, name, weights[row], gradients[row], after[row])


def check_variable(history, time, name, weight, gradient, after):
    for statistic, expected in reference.statistics(gradient).items():
        actual = history.statistic(statistic, name)[time]
        np.testing.assert_allclose(actual, expected, rtol=1e-5, err_msg=f"{statistic} of {name}")
    norm, moved = np.linalg.norm(weight.astype(float)), np.linalg.norm(after.astype(float) - weight)
    assert history.statistic("weight_norm", name)[time] == pytest.approx(norm, rel=1e-5)
    ratio = history.statistic("update_ratio", name)[time]
    # a weight moves by some 1e-3 of itself, so its float32 rounding alone is 1e-4 of the move
    assert ratio == pytest.approx(moved / norm, rel=1e-3) if norm else np.isnan(ratio)
    rows = history.histograms[f"weight/{name}"].values[time]
    check_rows(rows, weight)
    check_rows(history.histograms[f"gradient/{name}"].values[time], gradient)


def check_rows(rows, values):
    """The rows count every element; one that the independent road rounds over an edge may be in the next bucket."""
    expected = {tuple(row[:2]): row[2] for row in reference.histogram_rows(values)}
    actual = {tuple(row[:2]): row[2] for row in rows}
    assert sum(actual.values()) == values.size
    difference = sum(abs(actual.get(k, 0) - expected.get(k, 0)) for k in {*actual, *expected})
    assert difference <= 2 * max(1, values.size // 50)


def num_calls(log_dir, train, build=None, **arguments):
    """Returns how often a network is called, or traced, in a training without a logger and in one that logs a step.

    Args:
        log_dir: The directory of the run.
        train: Function that trains a model with callbacks.
        build: Function of the model that builds what a first training builds; for engines where that takes a trace.
        **arguments: What `compile` is given.
    """
    calls = []

    class Counting(keras.Sequential):
        def call(self, *args, **kwargs):
            calls.append("call")
            return super().call(*args, **kwargs)

    layers = [keras.layers.Dense(4, name="layer1"), keras.layers.Dense(3, name="layer2")]
    model = networks.compiled(Counting([keras.Input((12,)), *layers]), **arguments)
    if build is not None:
        build(model)

    def count(callbacks):
        calls.clear()
        model.train_function = None
        model.optimizer.iterations.assign(0)
        train(model, callbacks)
        return len(calls)

    return count([]), count([gradlog.GradientLogger(log_dir, every=100)])
