"""Sums and counts of large tensors, on every engine, against NumPy in float64.

Those of small ones, and what is made of them: tests/test_statistics.py.
"""

import functools

import keras
import numpy as np
import on_engine
import pytest
import reference
from keras import ops
from marks import OF_TENSORFLOW, in_combinations
from on_engine import exactly, program, tensor

from gradlog.backends.engine import engine
from gradlog.stats import buckets

RNG = np.random.default_rng(7)
SMALLEST, LARGEST = np.finfo(np.float32).tiny, np.finfo(np.float32).max
SHAPE = (131, 157)  # more than 2^14 elements, and no multiple of 4096
NORMAL = RNG.normal(size=SHAPE)
IS_CHOSEN = RNG.uniform(size=SHAPE) < 0.01


def with_some(*values):
    """Returns normal numbers, a hundredth of which are others."""
    return np.where(IS_CHOSEN, RNG.choice(values, SHAPE), NORMAL)


def with_last(value, others=NORMAL):
    """Returns numbers of which the last one is another."""
    changed = np.array(others)
    changed.flat[-1] = value
    return changed


KINDS = {
    "ordinary": NORMAL,
    "positive": np.abs(NORMAL),
    "zeros": np.zeros(SHAPE),
    "some zeros": with_some(0.0, -0.0),
    "half of them zero": np.maximum(NORMAL, 0),
    "some subnormal": with_some(1e-40, -1e-40, 1e-38, 0.0),
    "all subnormal": RNG.choice([1e-40, -1e-40, 0.0], SHAPE),
    "at the smallest normal number": RNG.choice([SMALLEST, -SMALLEST, np.nextafter(SMALLEST, np.float32(0))], SHAPE),
    "some not finite": with_some(np.nan, np.inf, -np.inf),
    "not finite, zero and subnormal": with_some(np.nan, np.inf, 0.0, 1e-40),
    "the last is NaN": with_last(np.nan),
    "the last is infinite": with_last(-np.inf),
    "nothing finite": RNG.choice([np.nan, np.inf], SHAPE),
    "squares overflow": NORMAL * 1e30,
    "a square overflows": with_last(-2e20),
    "the largest": np.full(SHAPE, LARGEST),
    "the largest and NaN": with_last(np.nan, np.full(SHAPE, -LARGEST)),
    "the sum of the squares overflows": NORMAL * 1.5e18,
    "squares underflow": NORMAL * 1e-25,
    "squares are subnormal": NORMAL * 1e-20,
    "tiny": NORMAL * 1e-33,
    "one is tiny, the others zero": with_last(1e-25, np.zeros(SHAPE)),
    "one is subnormal, the others zero": with_last(1e-40, np.zeros(SHAPE)),
    "tiny and zero and NaN": with_last(np.nan, np.where(IS_CHOSEN, 0, NORMAL * 1e-25)),
    "mixed sizes": with_some(1e30, -1e-30),
}
WAYS = [
    *((dtype, False) for dtype in ("float32", "float16", "bfloat16", "float64")),
    in_combinations("float32", True, marks=[OF_TENSORFLOW]),
]


def all_of(one):
    """Returns all that is summed and counted of one tensor, as a step does."""
    return {
        "totals": {"totals": engine().totals([one])},
        "squares": {"weights": engine().totals([one], ["squares"])},
        "counted": engine().counted_totals([one]),
        "counts": {"counts": engine().histograms([one])},
    }


@functools.cache
def program_of_all(jit_compile):
    return program(all_of, jit_compile)


def check(values, dtype="float32", jit_compile=False, name=""):
    """Compares what an engine sums and counts of numbers with NumPy."""
    with on_engine.with_float64():
        one = tensor(values, dtype)
        found = {key: engine().on_host(arrays) for key, arrays in program_of_all(jit_compile)(one).items()}
    values = exactly(one)
    kept = reference.finite(values)
    absolute, squares = np.sum(np.abs(kept)), np.sum(kept**2)
    num_zeros, num_nonfinite = np.sum(np.abs(kept) < SMALLEST), values.size - kept.size
    # A processor may take subnormals for zero.
    of_absolute = {"rtol": 1e-5, "atol": num_zeros * SMALLEST, "err_msg": name}
    of_squares = {"rtol": 1e-5, "atol": num_zeros * np.square(np.float64(SMALLEST)), "err_msg": name}

    for totals in (found["totals"]["totals"], found["counted"]["totals"]):
        np.testing.assert_allclose(totals[0, 0], absolute, **of_absolute)
        np.testing.assert_allclose(totals[0, 1], squares, **of_squares)
    np.testing.assert_allclose(found["squares"]["weights"], [[squares]], **of_squares)
    assert found["counted"]["zeros"].tolist() == [num_zeros], name
    assert found["counted"]["nonfinite"].tolist() == [num_nonfinite], name
    counts = found["counts"]["counts"]
    assert counts.shape == (1, buckets.NUM_BUCKETS)
    assert counts.sum() == values.size
    assert buckets.num_zeros(counts).tolist() == [num_zeros], name
    assert buckets.num_nonfinite(counts).tolist() == [num_nonfinite], name
    if dtype != "float64":  # which a float32 may round to the next bucket
        rows = np.bincount(kept.astype(np.float32).view(np.uint32) >> 21, minlength=buckets.NUM_BUCKETS)
        is_finite = np.arange(buckets.NUM_BUCKETS) % buckets.PER_SIGN < buckets.NUM_FINITE
        np.testing.assert_array_equal(np.where(is_finite, counts[0], 0), rows, err_msg=name)


@pytest.mark.parametrize(("dtype", "jit_compile"), WAYS)
def test_every_kind_of_number(dtype, jit_compile):
    for name, values in KINDS.items():
        check(values, dtype, jit_compile, name)


@pytest.mark.parametrize(
    "shape", [(1 << 14,), ((1 << 14) - 1,), ((1 << 14) + 1,), (5, 4096), (30_001, 1), (1, 20_011), (3, 7, 11, 101)]
)
def test_every_shape(shape):
    """Of many and of few rows, and just at the size from which on a tensor is reduced in another way."""
    values = np.resize(np.append(with_some(0.0, 1e-40), NORMAL), shape)
    check(values)
    check(with_last(np.nan, values))


def test_three_zeros_among_millions():
    """More than 2^24 elements, of which float32 cannot count one by one."""
    rows, columns = 4097, 4099
    values = np.multiply.outer(
        RNG.uniform(0.5, 2, rows).astype(np.float32), RNG.normal(size=columns).astype(np.float32)
    )
    assert values.size > 1 << 24
    assert values.all()
    values[[0, 1234, -1], [0, 567, -1]] = 0, -0.0, 1e-40

    found = engine().on_host(program(lambda one: engine().counted_totals([one]))(tensor(values)))

    assert found["zeros"].tolist() == [3]
    assert found["nonfinite"].tolist() == [0]
    squares = np.einsum("ij,ij->", values, values, dtype=np.float64)
    np.testing.assert_allclose(found["totals"], [[np.sum(np.abs(values), dtype=np.float64), squares]], rtol=1e-5)


def test_a_sum_of_millions_keeps_its_digits():
    values = RNG.uniform(size=3_000_000).astype(np.float32)
    arrays = engine().on_host({"totals": engine().totals([tensor(values)])})

    np.testing.assert_allclose(
        arrays["totals"][0], [np.sum(values, dtype=float), np.sum(values**2, dtype=float)], rtol=1e-6
    )


@pytest.mark.parametrize("scale", [1, 1e-25, 1e25])
def test_square_distances(scale):
    """Of large tensors, with a difference that is nothing, tiny, or too large to be squared."""
    one, other = (np.float32(RNG.normal(size=(300, 500)) * scale) for _ in range(2))
    found = engine().square_distances([tensor(one), tensor(one)], [tensor(other), tensor(one)])

    moved = engine().on_host({"moved": found})["moved"]
    np.testing.assert_allclose(moved, [np.sum((np.float64(one) - other) ** 2), 0], rtol=1e-5)


def test_a_distance_that_the_last_of_millions_makes():
    """Of more than 2^22 elements, which PyTorch takes in blocks."""
    one = np.resize(NORMAL, (1 << 22) + 5).astype(np.float32)
    other = with_last(one[-1] + 1, one)
    found = engine().square_distances([tensor(one)], [tensor(other)])

    expected = np.square(np.float64(other[-1]) - one[-1])
    np.testing.assert_allclose(engine().on_host({"moved": found})["moved"], [expected], rtol=1e-6)


def test_sums_of_elements_of_small_and_large_tensors():
    """The last is taken in blocks on TensorFlow; counts and sums of millions are exact to six digits."""
    rng = np.random.default_rng(3)
    pairs = [rng.normal(size=(2, size)).astype(np.float32) for size in (3, 40, 3, 5000, 4_500_000)]
    lists = [[tensor(pair[which]) for pair in pairs] for which in (0, 1)]

    found = np.asarray(ops.convert_to_numpy(engine().element_sums(lambda x, y: (x * x, x > y), *lists)))

    expected = [[np.sum(np.float64(one) ** 2), np.sum(one > other)] for one, other in pairs]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_end_to_end_is_every_element_as_it_is(dtype):
    """Of any shape, in order, bit by bit, as float32 holds it."""
    parts = [NORMAL, np.array(-2.5), np.zeros((0, 3)), with_some(np.inf, 1e-40, -0.0), np.ones((1, 2, 3))]
    tensors = [tensor(one, dtype) for one in parts]

    found = ops.convert_to_numpy(engine().end_to_end(tensors))

    assert found.dtype == np.float32
    expected = np.concatenate([exactly(one).ravel() for one in tensors]).astype(np.float32)
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


def test_gradients_and_what_stands_beside():
    values = [tensor([1.0, 2.0]), tensor(3.0)]

    def function(values):
        loss = ops.sum(ops.square(values[0])) * values[1]
        return loss, {"loss": loss, "nothing": None}

    found, beside = engine().gradients(function, values)
    np.testing.assert_allclose(ops.convert_to_numpy(found[0]), [6.0, 12.0])
    np.testing.assert_allclose(ops.convert_to_numpy(found[1]), 5.0)
    assert float(beside["loss"]) == 15.0
    assert beside["nothing"] is None
    assert keras.backend.backend() in engine().version()
