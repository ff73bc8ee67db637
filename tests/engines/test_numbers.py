"""Sums and counts of tensors, on every engine, against NumPy in float64."""

import keras
import numpy as np
import pytest
import reference
from keras import ops

from gradlog.backends.engine import engine
from gradlog.stats import buckets

RNG = np.random.default_rng(7)
CASES = {
    "ordinary": RNG.normal(size=(40, 30)),
    "large": RNG.normal(size=(300, 500)),
    "large and not finite": np.where(RNG.uniform(size=(300, 500)) < 0.01, [np.nan], RNG.normal(size=(300, 500))),
    "large and infinite once": np.append(RNG.normal(size=70_000), np.inf),
    "large and vanished": RNG.normal(size=(300, 500)) * 1e-25,
    "large and exploded": RNG.normal(size=(300, 500)) * 1e30,
    "large and zero": np.zeros((300, 500)),
    "empty": np.zeros((0, 4)),
    "zeros": np.zeros(9),
    "scalar": np.array(-2.5),
    "not finite": np.array([np.nan, 1.0, np.inf, -3.0, -np.inf, 0.0]),
    "nothing finite": np.array([np.nan, np.inf]),
    "vanished": RNG.normal(size=100) * 1e-25,
    "exploded": RNG.normal(size=100) * 1e30,
    "mixed sizes": np.array([1e-30, 1e30, -1e-3]),
    "largest": np.array([np.finfo(np.float32).max, -np.finfo(np.float32).max]),
    "half of them zero": np.where(RNG.normal(size=200) > 0, 0, RNG.normal(size=200)),
}


def tensor(values, dtype):
    return ops.cast(ops.convert_to_tensor(np.asarray(values, np.float32)), dtype)


def exactly(one):
    return np.float64(ops.convert_to_numpy(ops.cast(one, "float32")))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_sums_and_counts(name, dtype):
    with np.errstate(over="ignore"):
        one = tensor(CASES[name], dtype)
    kept = reference.finite(exactly(one))

    arrays = engine().on_host({"totals": engine().totals([one, tensor([3.0, -4.0], dtype)])})
    counted = engine().on_host(engine().counted_totals([one, tensor([0.0, 1e-40, -2.0, np.nan], "float32")]))
    counts = engine().to_numpy(engine().histograms([one]))

    np.testing.assert_allclose(arrays["totals"][0], [np.sum(np.abs(kept)), np.sum(kept**2)], rtol=1e-5)
    np.testing.assert_allclose(arrays["totals"][1], [7.0, 25.0], rtol=1e-6)
    np.testing.assert_allclose(counted["totals"][0], arrays["totals"][0], rtol=1e-5)
    assert counted["zeros"].tolist() == [buckets.num_zeros(counts)[0], 2]
    assert counted["nonfinite"].tolist() == [exactly(one).size - kept.size, 1]
    assert counts.shape == (1, buckets.NUM_BUCKETS)
    assert counts.sum() == exactly(one).size
    assert buckets.num_nonfinite(counts)[0] == exactly(one).size - kept.size
    np.testing.assert_array_equal(buckets.rows(counts[0]), np.reshape(reference.histogram_rows(kept), (-1, 3)))


def test_a_sum_of_millions_keeps_its_digits():
    values = RNG.uniform(size=3_000_000).astype(np.float32)
    arrays = engine().on_host({"totals": engine().totals([ops.convert_to_tensor(values)])})

    np.testing.assert_allclose(
        arrays["totals"][0], [np.sum(values, dtype=float), np.sum(values**2, dtype=float)], rtol=1e-6
    )


@pytest.mark.parametrize("scale", [1, 1e-25, 1e25])
@pytest.mark.parametrize("shape", [(30, 20), (300, 500)])
def test_square_distances(shape, scale):
    one, other = ((RNG.normal(size=shape) * scale).astype(np.float32) for _ in range(2))
    found = engine().square_distances([ops.convert_to_tensor(one)], [ops.convert_to_tensor(other)])

    moved = engine().on_host({"moved": found})["moved"]
    np.testing.assert_allclose(moved, [np.sum((np.float64(one) - other) ** 2)], rtol=1e-5)


def test_gradients_and_what_stands_beside():
    values = [ops.convert_to_tensor(np.array([1.0, 2.0], np.float32)), ops.convert_to_tensor(np.float32(3.0))]

    def function(values):
        loss = ops.sum(ops.square(values[0])) * values[1]
        return loss, {"loss": loss, "nothing": None}

    found, beside = engine().gradients(function, values)
    np.testing.assert_allclose(ops.convert_to_numpy(found[0]), [6.0, 12.0])
    np.testing.assert_allclose(ops.convert_to_numpy(found[1]), 5.0)
    assert float(beside["loss"]) == 15.0
    assert beside["nothing"] is None
    assert keras.backend.backend() in engine().version()


def test_sums_of_elements_of_small_and_large_tensors():
    """The last is taken in blocks on TensorFlow; counts and sums of millions are exact to six digits."""
    rng = np.random.default_rng(3)
    pairs = [rng.normal(size=(2, size)).astype(np.float32) for size in (3, 40, 3, 5000, 4_500_000)]
    lists = [[keras.ops.convert_to_tensor(pair[which]) for pair in pairs] for which in (0, 1)]

    found = np.asarray(keras.ops.convert_to_numpy(engine().element_sums(lambda x, y: (x * x, x > y), *lists)))

    expected = [[np.sum(np.float64(one) ** 2), np.sum(one > other)] for one, other in pairs]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
