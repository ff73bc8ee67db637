"""What would be lost in fewer bits, counted in histograms, is what casting every number loses."""

import json

import ml_dtypes
import numpy as np
import pytest

from gradlog.commands import cli
from gradlog.history.history import History, Series, Snapshot
from gradlog.history.precision import FORMATS, lost
from gradlog.stats import buckets
from gradlog.writers.event_writer import EventWriter

# Magnitudes in the bucket of a limit, which count as kept.
AT_LIMITS = {
    "float16": [(2.0**-25, 2.0**-25), (65520, 65536)],
    "bfloat16": [(2.0**-140, 2.0**-128), ((2 - 2.0**-8) * 2.0**127, np.inf)],
    "float8_e4m3fn": [(2.0**-10, 2.0**-10), (464, 512)],
    "float8_e5m2": [(2.0**-17, 2.0**-17), (61440, 65536)],
}


def counted(values):
    index = np.asarray(values, np.float32).view(np.uint32) >> buckets.SHIFT
    return buckets.rows(np.bincount(index, minlength=buckets.NUM_BUCKETS))


def cast(values, dtype, scale):
    """How many numbers become zero, and how many infinite or NaN, and how many are not zero, one by one."""
    values = np.asarray(values, np.float32)
    values = values[np.abs(values) >= 2.0**-128]
    with np.errstate(over="ignore", invalid="ignore"):
        stored = (values.astype(np.float64) * scale).astype(getattr(ml_dtypes, dtype, dtype)).astype(np.float64)
    return (stored == 0).sum(), (~np.isfinite(stored)).sum(), len(values)


def is_at_limit(values, dtype, scale):
    magnitudes = np.abs(np.float64(values)) * scale
    return np.any([(low <= magnitudes) & (magnitudes <= high) for low, high in AT_LIMITS[dtype]], axis=0)


def samples():
    rng = np.random.default_rng(0)
    spread = np.ldexp(rng.normal(size=20_000), rng.integers(-60, 40, 20_000))
    extreme = [0.0, -0.0, 1e-45, -1e-39, 2.0**-128, 3e38, -3e38, np.float32(np.finfo(np.float32).max)]
    edges = np.ldexp(1.0, np.arange(-30, 20))
    return np.float32([*spread, *extreme, *edges, *-edges, *np.nextafter(np.float32(edges), np.float32(0))])


@pytest.mark.parametrize("scale", [1.0, 1024.0, 2.0**-8])
@pytest.mark.parametrize("dtype", FORMATS)
def test_it_is_what_casting_loses(dtype, scale):
    values = samples()
    values = values[~is_at_limit(values, dtype, scale) | (values == 0)]

    found = lost(counted(values), dtype, scale)
    assert found == cast(values, dtype, scale)
    assert dtype == "bfloat16" or min(found) > 0


@pytest.mark.parametrize(
    ("dtype", "inside", "beyond"),
    [
        ("float16", [65519, 65520, 65535], [65536]),
        ("float8_e4m3fn", [448, 464, 465, 511], [512]),
        ("float8_e5m2", [57344, 61440, 65535], [65536]),
    ],
)
def test_a_limit_inside_of_a_bucket_counts_as_kept(dtype, inside, beyond):
    assert lost(counted(inside), dtype) == (0, 0, len(inside))
    assert cast(inside, dtype, 1)[1] > 0
    assert lost(counted(beyond), dtype) == (0, len(beyond), len(beyond))


def test_any_scale_counts_at_most_what_is_lost():
    values = samples()
    for dtype in FORMATS:
        found, exact = lost(counted(values), dtype, 1000.0), cast(values, dtype, 1000.0)
        near = is_at_limit(values, dtype, 1000.0).sum() + 0.05 * len(values)
        assert all(exact[which] - near <= found[which] <= exact[which] for which in (0, 1))


def run():
    first, second = [2.0**-26, 0.0, 1.0], [2.0**-30, 1e6, -1e6, 2.0]
    gradients = Series(np.array([0, 10]), [counted(first), counted(second)])
    weights = Series(np.array([10]), [counted([0.0, 0.0])])
    histograms = {"gradient/a/kernel": gradients, "gradient/b/kernel": Series(np.array([10]), [counted([1e-9])])}
    return History(("a/kernel", "b/kernel", "c/kernel"), histograms=histograms | {"weight/a/kernel": weights})


def test_by_step_and_variable():
    found = run().precision("float16")
    underflow, overflow = found.fractions()

    assert found.variables == ("a/kernel", "b/kernel")
    assert found.steps.tolist() == [0, 10]
    np.testing.assert_array_equal(underflow, [[0.5, np.nan], [0.25, 1]])
    np.testing.assert_array_equal(overflow, [[0, np.nan], [0.5, 0]])
    assert found.total() == (3 / 7, 2 / 7)
    assert run().precision("float16", scale=2.0**10).total() == (0, 2 / 7)
    assert np.isnan(run().precision("float16", "weight").total()).all()
    assert History().precision("bfloat16").number.shape == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("float32",), "float32"), (("float16", "loss"), "loss"), (("float16", "gradient", 0.0), "scale=0.0")],
)
def test_what_is_no_format_is_refused(arguments, message):
    with pytest.raises(ValueError, match=f"Expected.*Received.*{message}"):
        run().precision(*arguments)


def test_the_command(tmp_path, capsys):
    counts = np.zeros((1, buckets.NUM_BUCKETS), int)
    counts[0, np.float32([2.0**-26, 1.0]).view(np.uint32) >> buckets.SHIFT] = 1, 3
    writer = EventWriter(tmp_path / "one")
    writer.write(Snapshot(0, ("a/kernel",), ("gradient_norm",), np.ones((1, 1), np.float32), counts, counts))
    writer.close()

    assert cli.main(["summary", str(tmp_path), "--precision"]) == 0
    text = capsys.readouterr().out
    assert "would be lost in:" in text
    cells = " ".join(text[text.index("lost in") :].split())
    assert "one gradients 25% 0 0 0" in cells

    assert cli.main(["summary", str(tmp_path), "--precision", "--loss-scale", "1024", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert found["precision"]["gradient"]["float16"] == {"underflow": 0.0, "overflow": 0.0}
    assert found["precision"]["weight"]["float16"] == {"underflow": 0.25, "overflow": 0.0}
