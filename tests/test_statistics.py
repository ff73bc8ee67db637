"""Statistics and histograms of each engine against slow NumPy, for every dtype and every kind of number."""

import functools

import numpy as np
import on_engine
import pytest
import reference
from marks import ENGINE, OF_TENSORFLOW, in_combinations
from on_engine import exactly, program, tensor

from gradlog.backends.engine import engine
from gradlog.stats import buckets
from gradlog.stats.snapshots import StepLayout, snapshot
from gradlog.stats.statistics import STATISTICS, sums, table

OF_GRADIENTS = [name for name in STATISTICS if name.startswith("gradient_")]
OF_SECOND_MOMENTS = ("second_moment_ratio", "epsilon_fraction", "unused_rows")

RNG = np.random.default_rng(0)
SMALLEST = np.finfo(np.float32).tiny
CASES = {
    "normal": RNG.normal(size=(50, 20)),
    "shifted": RNG.normal(size=1000) * 1e-3 + 1,
    "gradient": RNG.normal(size=1000) * np.exp(RNG.normal(size=1000) * 4 - 12),
    "scalar": np.array(-0.75),
    "empty": np.zeros((0, 3)),
    "zeros": np.zeros(7),
    "signed_zeros": np.array([0.0, -0.0, 1.0]),
    "constant": np.full(1000, 0.1),
    "edges": np.array([1.0, 1.25, 1.5, 1.75, 2.0, -1.0, -1.25, -1.75, -2.0]),
    "half_zero": np.where(RNG.random(1000) < 0.3, 0, RNG.normal(size=1000)),
    "nan": np.array([1.0, np.nan, -3.0, np.nan]),
    "infinities": np.array([np.inf, 2.0, -np.inf, -1.0, 0.0]),
    "nothing_finite": np.array([np.nan, np.inf]),
    "vanished": RNG.normal(size=100) * 1e-25,
    "exploded": RNG.normal(size=100) * 1e30,
    "mixed_sizes": np.array([1e-30, 1e30, -1e-3]),
    "largest": np.array([np.finfo(np.float32).max, -np.finfo(np.float32).max]),
}
COMPILED = ["gradient", "scalar", "empty", "half_zero", "infinities", "vanished", "mixed_sizes"]  # these also by XLA
DENORMALS = np.array([1e-40, -1e-40, 3e-39, 6e-39, -9e-39, 1.17e-38, 1.2e-38, 0.0])
OF_HISTOGRAMS = {"denormals": DENORMALS, "beyond_float32": np.array([1e300, -1e39, 1e-300, -1e-45])}
DTYPES = ["float16", "bfloat16", "float32", "float64"]
XLA = pytest.param("xla", marks=OF_TENSORFLOW)  # JAX always compiles
WAYS = [
    *((dtype, "plain") for dtype in DTYPES),
    pytest.param("float32", "xla", marks=OF_TENSORFLOW),
    *(in_combinations(dtype, "xla", marks=[OF_TENSORFLOW]) for dtype in ("float16", "bfloat16", "float64")),
]


def statistics_of(tensors, mode="plain"):
    """Computes what a step computes on the device, and from that on the host the table [V, S]."""
    both = program(lambda *tensors: (engine().totals(tensors), engine().histograms(tensors)), mode == "xla")
    totals, counts = both(*tensors)
    totals = engine().on_host({"totals": totals})["totals"]
    columns, numbers = table(of_counts(totals, engine().to_numpy(counts), [exactly(one).size for one in tensors]))
    assert list(columns) == OF_GRADIENTS
    return numbers


def of_counts(totals, counts, sizes):
    return sums(totals, buckets.num_zeros(counts), buckets.num_nonfinite(counts), np.array(sizes))


@functools.cache
def computed(dtype, mode):
    """Returns for each case its elements, what is summed of them, and histograms; one program has all, each by itself.

    What is summed is what `totals` and `counted_totals` return.
    """
    of_totals = COMPILED if mode == "xla" else CASES

    def of_each(tensors):
        totals_of = {
            case: ({"totals": engine().totals([one])}, engine().counted_totals([one]))
            for case, one in tensors.items()
            if case in of_totals
        }
        return totals_of, {case: engine().histograms([one]) for case, one in tensors.items()}

    with on_engine.with_float64():
        tensors = {case: tensor(values, dtype) for case, values in (CASES | OF_HISTOGRAMS).items()}
        sums_of, counts = program(of_each, mode == "xla")(tensors)
        sums_of = {case: [engine().on_host(arrays) for arrays in both] for case, both in sums_of.items()}
    return {case: (exactly(one), sums_of.get(case), engine().to_numpy(counts[case])) for case, one in tensors.items()}


@pytest.mark.parametrize(("dtype", "mode"), WAYS)
def test_statistics_equal_numpy(dtype, mode):
    """Zeros and what is not finite are counted by histograms, or by themselves."""
    for case in COMPILED if mode == "xla" else CASES:
        values, (plain, counted), counts = computed(dtype, mode)[case]
        expected = reference.statistics(values)
        by_themselves = sums(counted["totals"], counted["zeros"], counted["nonfinite"], np.array([values.size]))
        for found in (of_counts(plain["totals"], counts, [values.size]), by_themselves):
            columns, numbers = table(found)
            assert list(columns) == list(expected) == OF_GRADIENTS
            for name, value in zip(OF_GRADIENTS, numbers[0], strict=True):
                with np.errstate(over="ignore"):
                    wanted = np.float32(expected[name])
                np.testing.assert_allclose(value, wanted, rtol=1e-5, err_msg=f"{name} of {case}")


@pytest.mark.parametrize(("dtype", "mode"), WAYS)
def test_histogram_equals_numpy_exactly(dtype, mode):
    """Of float64, JAX and PyTorch take for zero what is smaller than the smallest normal float32."""
    for case, (values, _, (counts,)) in computed(dtype, mode).items():
        assert counts.dtype.kind == "i"
        assert counts.sum() == values.size, case
        if dtype == "float64" and ENGINE != "tensorflow":
            values = np.where(np.abs(values) < SMALLEST, 0, values)
        assert buckets.rows(counts).tolist() == reference.histogram_rows(values), case


@pytest.mark.parametrize("step", [0, 3])
def test_a_step_tells_of_the_second_moments(step):
    """Of a variable without one, and of one that is frozen, nothing; ahead of the first update, no ratio."""
    gradients = [RNG.normal(size=(3, 4)), None, RNG.normal(size=5), RNG.normal(size=(5, 2))]
    taken = [tensor(np.zeros(0) if one is None else one) for one in gradients]
    arrays = engine().on_host({"totals": engine().totals(taken), "counts": engine().histograms(taken)})
    arrays |= {"weights": np.ones((4, 1))}
    arrays |= {"ratios": np.array([[48.0, 12.0], [1.0, 1.0], [8.0, 10.0]]), "below": np.array([3.0, 1.0, 5.0])}
    arrays["rows"] = np.array([[2, 4]])
    layout = StepLayout(tuple("abcd"), np.array([12, 7, 5, 10]), np.array([True, False, True, True]))
    layout.remembered, layout.embeddings, layout.num_rows = (0, 1, 3), (2,), (5,)

    made = snapshot(layout, step, arrays)

    nan = np.nan
    ratios = [2.0, nan, nan, np.sqrt(2)] if step else [nan] * 4
    expected = [ratios, [0.25, nan, nan, 0.5], [nan, nan, nan, 0.4]]
    assert made.columns[-3:] == OF_SECOND_MOMENTS
    np.testing.assert_array_equal(made.statistics[:, -3:].T, np.float32(expected))


@pytest.mark.parametrize("is_regularized", [True, False])
@pytest.mark.parametrize("knows_updates", [True, False])
def test_a_step_has_every_statistic_of_gradients_weights_and_updates(knows_updates, is_regularized):
    """Of a frozen variable those of its weights; of weights that are all zero no ratio."""
    gradients = [RNG.normal(size=(3, 4)), None, RNG.normal(size=5)]
    before = [RNG.normal(size=(3, 4)), RNG.normal(size=7), np.zeros(5)]
    after = [before[0] + 0.01, before[1], before[2] + 1]
    taken = [tensor(np.zeros(0) if one is None else one) for one in gradients]
    weights = [tensor(one) for one in before]
    arrays = {
        "totals": engine().totals(taken),
        "weights": engine().totals(weights, ["squares"]),
        "counts": engine().histograms(taken),
    }
    layout = StepLayout(("a", "b", "c"), np.array([12, 7, 5]), np.array([True, False, True]))
    penalties = [None, None, RNG.normal(size=5)] if is_regularized else [None] * 3
    if is_regularized:
        layout.regularized = (2,)
        arrays["loss_totals"] = engine().totals([tensor(np.float32(gradients[2]) - np.float32(penalties[2]))])
    if knows_updates:
        arrays["moved"] = engine().square_distances([tensor(one) for one in after], weights)

    made = snapshot(layout, 3, engine().on_host(arrays) | {"others": np.float64(4.0)})

    missing = dict.fromkeys(OF_GRADIENTS, np.nan)
    expected = [
        (missing if gradient is None else reference.statistics(gradient))
        | reference.weight_statistics(*both)
        | reference.loss_statistics(gradient, penalty)
        for gradient, penalty, *both in zip(gradients, penalties, before, after, strict=True)
    ]
    known = [name for name in STATISTICS if name not in OF_SECOND_MOMENTS]
    names = [name for name in known if knows_updates or name != "update_ratio"]
    names = [name for name in names if is_regularized or not name.startswith("loss_")]
    assert list(expected[0]) == known
    assert made.columns == tuple(names)
    np.testing.assert_allclose(made.statistics, [[row[name] for name in names] for row in expected], rtol=1e-4)
    squares = sum((gradient**2).sum() for gradient in gradients if gradient is not None)
    assert made.scalars == {"gradient_norm/global": pytest.approx((squares + 4) ** 0.5, rel=1e-5)}
    assert (made.step, made.gradients, made.weights) == (3, None, None)


def test_one_wild_tensor_leaves_the_others_right():
    """One tensor that is not finite may send all through float64; their numbers stay what they were."""
    tame, wild = tensor([3.0, -4.0]), tensor([np.nan, 1e30, np.inf])

    both = statistics_of([tame, wild])

    np.testing.assert_allclose(both[0], statistics_of([tame])[0], rtol=1e-6)
    names = OF_GRADIENTS
    assert both[1, names.index("gradient_nonfinite")] == 2
    assert both[1, names.index("gradient_norm")] == np.float32(1e30)


@pytest.mark.parametrize("mode", ["plain", XLA])
@pytest.mark.parametrize("scale", [1, 1e-25, 1e25])
def test_square_distances_equal_numpy(scale, mode):
    """Of small, large and empty tensors, with a difference that is nothing, tiny, or too large to be squared."""
    shapes = [(3, 4), (100, 200), (12,), (0,), (), (4, 3)]
    ones, others = ([np.float32(RNG.normal(size=shape) * scale) for shape in shapes] for _ in range(2))
    others[-1] = ones[-1]

    found = program(lambda ones, others: engine().square_distances(ones, others), mode == "xla")(
        *([tensor(one) for one in each] for each in (ones, others))
    )

    expected = [np.sum((np.float64(one) - other) ** 2) for one, other in zip(ones, others, strict=True)]
    np.testing.assert_allclose(engine().on_host({"moved": found})["moved"], expected, rtol=1e-5)


@pytest.mark.parametrize("mode", ["plain", XLA])
def test_a_tensor_that_is_taken_in_blocks(mode):
    """Of 5 million elements, three blocks on TensorFlow: float32's sums stay exact to 1e-5, no element is left out."""
    values = (RNG.normal(size=5_000_001) ** 2).astype(np.float32)
    values[-1] = np.nan

    actual = statistics_of([tensor(values)], mode)[0]

    np.testing.assert_allclose(actual, list(reference.statistics(values).values()), rtol=1e-5)
    (counts,) = engine().to_numpy(program(lambda one: engine().histograms([one]), mode == "xla")(tensor(values)))
    np.testing.assert_array_equal(counts, np.bincount(values.view(np.uint32) >> 21, minlength=buckets.NUM_BUCKETS))


def test_more_elements_than_a_float32_can_count():
    """2**24 + 2 elements: a count or a sum of ones in float32 would stop at 2**24."""
    number = 2**24 + 2
    ones = tensor(np.ones(number))

    assert buckets.rows(engine().to_numpy(engine().histograms([ones]))[0]).tolist() == [[1.0, 1.25, float(number)]]
    values = dict(zip(OF_GRADIENTS, statistics_of([ones])[0], strict=True))
    assert values["gradient_mean_abs"] == pytest.approx(1, rel=1e-6)
    assert values["gradient_norm"] == pytest.approx(number**0.5, rel=1e-6)


@OF_TENSORFLOW
def test_histogram_refuses_what_is_not_a_float():
    with pytest.raises(TypeError, match=r"Expected a tensor of dtype float16.*Received: dtype=int32"):
        engine().histograms([tensor([1, 2], "int32")])


def test_edges_resolve_every_decade_and_leave_no_gap():
    edges = buckets.edges()

    assert edges[0] == 0
    assert edges[-1] == 2.0**128
    assert (np.diff(edges) > 0).all()
    normal = edges[edges >= 2.0**-126]
    assert (normal[1:] / normal[:-1]).max() == 1.25
