"""The same weights and the same batch give the same numbers on every engine: those of a network written in NumPy."""

import itertools

import keras
import numpy as np
import reference

import gradlog

RNG = np.random.default_rng(5)
SIZES = (6, 8, 7, 3)
KERNELS = [RNG.normal(size=shape).astype(np.float32) * 0.5 for shape in itertools.pairwise(SIZES)]
BIASES = [RNG.normal(size=size).astype(np.float32) * 0.1 for size in SIZES[1:]]
X, Y = RNG.normal(size=(20, 6)).astype(np.float32), RNG.integers(0, 3, 20)
RATE = 0.25


def by_hand():
    """Returns the gradients of the mean cross-entropy of a tanh network, in float64, kernels and biases by turns."""
    values = [np.float64(X)]
    for kernel, bias in zip(KERNELS, BIASES, strict=True):
        reached = values[-1] @ np.float64(kernel) + bias
        values.append(np.tanh(reached) if len(values) < len(SIZES) - 1 else reached)
    exponents = np.exp(values[-1] - values[-1].max(1, keepdims=True))
    error = (exponents / exponents.sum(1, keepdims=True) - np.eye(3)[Y]) / len(X)
    found = []
    for number in reversed(range(len(KERNELS))):
        found = [values[number].T @ error, error.sum(0), *found]
        error = error @ np.float64(KERNELS[number]).T * (1 - values[number] ** 2)
    return found, values[1:-1]


def test_the_numbers_of_one_step_on_all_engines(tmp_path):
    layers = [keras.layers.Dense(size, "tanh", name=f"layer{n}") for n, size in enumerate(SIZES[1:-1], 1)]
    model = keras.Sequential([keras.Input((6,)), *layers, keras.layers.Dense(3, name="output")])
    model.set_weights([one for pair in zip(KERNELS, BIASES, strict=True) for one in pair])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(RATE, global_clipnorm=0.1), loss)
    logger = gradlog.GradientLogger(tmp_path, every=1, activations=X)
    model.fit(X, Y, batch_size=20, shuffle=False, verbose=0, callbacks=[logger])

    history, (gradients, hidden) = gradlog.read(tmp_path), by_hand()
    joint = np.sqrt(sum(np.sum(one**2) for one in gradients))
    weights = [np.float64(one) for pair in zip(KERNELS, BIASES, strict=True) for one in pair]
    for row, (gradient, before) in enumerate(zip(gradients, weights, strict=True)):
        after = before - RATE * gradient * min(1, 0.1 / joint)
        expected = reference.statistics(gradient) | reference.weight_statistics(before, after)
        for name, value in expected.items():
            found = history.statistics[0, row, history.columns.index(name)]
            np.testing.assert_allclose(found, value, rtol=1e-5, err_msg=f"{name} of {history.variables[row]}")
        assert (
            reference.num_elsewhere(history.histograms[f"gradient/{history.variables[row]}"].values[0], gradient) == 0
        )
        assert reference.num_elsewhere(history.histograms[f"weight/{history.variables[row]}"].values[0], before) == 0
    np.testing.assert_allclose(history.scalars["gradient_norm/global"].values[0], joint, rtol=1e-5)
    np.testing.assert_allclose(history.scalars["gradient_norm/global_clipped"].values[0], min(joint, 0.1), rtol=1e-5)
    for number, reached in enumerate(hidden, 1):
        saturated = history.scalars[f"activation_saturated/layer{number}"].values[0]
        np.testing.assert_allclose(saturated, np.mean(np.abs(reached) > 0.97), rtol=1e-6)
        assert reference.num_elsewhere(history.histograms[f"activation/layer{number}"].values[0], reached) == 0
