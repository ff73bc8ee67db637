"""Export: what pandas reads back is what was logged, in every format."""

import json

import numpy as np
import pandas as pd
import pytest
from small_logs import COLUMNS, MEAN_ABS, STEPS, VARIABLES, write_run, write_scalars

from gradlog.commands import cli, export

FORMATS = ["csv", "parquet", "json"]


def exported(log_dir, tmp_path, ending, *arguments):
    """Both tables, as pandas reads them back."""
    path = tmp_path / f"a.{ending}"
    assert cli.main(["export", str(log_dir), "-o", str(path), *arguments]) == 0
    if ending == "json":
        content = json.loads(path.read_text(), parse_constant=pytest.fail)
        return pd.DataFrame(**content["numbers"]), pd.DataFrame(**content["histograms"])
    read = pd.read_csv if ending == "csv" else pd.read_parquet
    beside = tmp_path / f"a-histograms.{ending}"
    texts = {"keep_default_na": False, "na_values": {"value": ["nan"]}} if ending == "csv" else {}
    return read(path, **texts), read(beside) if beside.exists() else None


@pytest.mark.parametrize("ending", FORMATS)
def test_every_number_is_in_the_table_once(tmp_path, ending):
    write_run(tmp_path / "logs" / "a")
    write_run(tmp_path / "logs" / "b", MEAN_ABS[:1], [7])

    numbers, _ = exported(tmp_path / "logs", tmp_path, ending)

    assert list(numbers.columns) == ["run", "step", "variable", "statistic", "value"]
    assert not numbers.duplicated(["run", "step", "variable", "statistic"]).any()
    assert len(numbers) == (3 + 1) * (len(VARIABLES) * len(COLUMNS) + 2)  # and loss and accuracy
    of_a = numbers[(numbers["run"] == "a") & (numbers["statistic"] == "gradient_mean_abs")]
    table = of_a.pivot(index="step", columns="variable", values="value")[list(VARIABLES)]
    assert table.index.tolist() == list(STEPS)
    np.testing.assert_array_equal(table.to_numpy(np.float32), MEAN_ABS.astype(np.float32))
    loss = numbers[(numbers["statistic"] == "train/loss") & (numbers["variable"] == "")]
    assert loss[["run", "step", "value"]].to_numpy().tolist() == [
        ["a", 0, 2.0],
        ["a", 10, 1.5],
        ["a", 20, 1.0],
        ["b", 7, 1.65] if ending != "parquet" else ["b", 7, float(np.float32(1.65))],
    ]


@pytest.mark.parametrize("ending", FORMATS)
def test_histograms_have_a_row_a_bucket(tmp_path, ending):
    write_run(tmp_path / "logs", MEAN_ABS[:2], STEPS[:2], histograms=True)

    _, buckets = exported(tmp_path / "logs", tmp_path, ending)

    assert list(buckets.columns) == ["run", "step", "tag", "left", "right", "count"]
    assert len(buckets) == 2 * 2 * len(VARIABLES) * 2
    one = buckets[(buckets["step"] == 10) & (buckets["tag"] == "weight/layer2/bias")]
    assert one.to_numpy().tolist() == [
        ["logs", 10, "weight/layer2/bias", -2.5, -2.0, 1],
        ["logs", 10, "weight/layer2/bias", 1.0, 1.25, 3],
    ]


@pytest.mark.parametrize("ending", FORMATS)
def test_float32_comes_back_bit_by_bit(tmp_path, ending):
    random = np.random.default_rng(0)
    values = np.exp(random.uniform(-90, 80, (50, 4))).astype(np.float32)
    write_run(tmp_path / "logs", values, range(50))

    numbers, _ = exported(tmp_path / "logs", tmp_path, ending)

    read = numbers.loc[numbers["statistic"] == "gradient_mean_abs", "value"].to_numpy(np.float32)
    np.testing.assert_array_equal(read, values.ravel())


@pytest.mark.parametrize("ending", FORMATS)
def test_a_loss_that_is_no_number_is_kept_and_no_gradient_has_no_row(tmp_path, ending):
    write_run(tmp_path / "logs", [[np.nan, 1, 1, 1]] * 3, scalars={"train/loss": [np.nan, np.inf, -np.inf]})

    numbers, _ = exported(tmp_path / "logs", tmp_path, ending)

    losses = numbers.loc[numbers["statistic"] == "train/loss", "value"].astype(float)
    np.testing.assert_array_equal(losses, [np.nan, np.inf, -np.inf])
    gradients = numbers[numbers["statistic"] == "gradient_mean_abs"]
    assert set(gradients["variable"]) == set(VARIABLES[1:])


def test_the_fractions_of_a_layer_stand_under_its_name(tmp_path):
    write_run(tmp_path / "logs", scalars={"activation_dead/layer1": [0.25, 0.5, 0.75]})

    numbers, _ = exported(tmp_path / "logs", tmp_path, "csv")

    dead = numbers[numbers["statistic"] == "activation_dead"]
    assert (set(dead["variable"]), dead["value"].tolist()) == ({"layer1"}, [0.25, 0.5, 0.75])


@pytest.mark.parametrize("ending", FORMATS)
def test_runs_that_others_wrote_are_exported_too(tmp_path, ending):
    write_scalars(tmp_path / "logs" / "other", {"loss": 0.5}, step=3)

    numbers, _ = exported(tmp_path / "logs", tmp_path, ending)

    assert numbers.to_numpy().tolist() == [["other", 3, "", "loss", 0.5]]


def test_filters_choose_rows(tmp_path):
    write_run(tmp_path / "logs", histograms=True)

    numbers, buckets = exported(tmp_path / "logs", tmp_path, "csv", "--variables", "layer2/k", "--steps", "10:")

    assert set(numbers["variable"]) == {"", "layer2/kernel"}
    assert set(numbers["step"]) == set(buckets["step"]) == {10, 20}
    assert set(buckets["tag"]) == {"gradient/layer2/kernel", "weight/layer2/kernel"}


def test_what_was_written_is_said(tmp_path, capsys):
    write_run(tmp_path / "logs", histograms=True)
    path = tmp_path / "a.csv"

    cli.main(["export", str(tmp_path / "logs"), "-o", str(path)])
    beside = tmp_path / "a-histograms.csv"
    expected = f"Wrote {path} (42 rows of numbers)\nWrote {beside} (48 rows of histograms)\n"
    assert capsys.readouterr() == (expected, "")

    cli.main(["export", str(tmp_path / "logs"), "-o", str(path), "--json"])
    assert json.loads(capsys.readouterr().out) == {
        "runs": ["logs"],
        "files": [
            {"file": str(path), "what": "numbers", "rows": 42},
            {"file": str(beside), "what": "histograms", "rows": 48},
        ],
    }


@pytest.mark.parametrize("ending", FORMATS)
def test_where_writing_fails_the_file_that_was_there_is_whole(tmp_path, monkeypatch, capsys, ending):
    write_run(tmp_path / "logs")
    path = tmp_path / f"a.{ending}"
    path.write_text("before")

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export.frames, "long_table", fail)

    assert cli.main(["export", str(tmp_path / "logs"), "-o", str(path)]) == 2
    assert capsys.readouterr() == ("", f"error: cannot write {str(path)!r}: No space left on device\n")
    assert path.read_text() == "before"
    assert sorted(each.name for each in tmp_path.iterdir()) == [path.name, "logs"]


def test_without_pyarrow_parquet_says_how_to_install_it_and_csv_works(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "logs")
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)

    assert cli.main(["export", str(tmp_path / "logs"), "-o", str(tmp_path / "a.parquet")]) == 2
    message = "error: pyarrow is not installed; install it in a checkout with: pip install -e '.[export]'\n"
    assert capsys.readouterr() == ("", message)
    assert cli.main(["export", str(tmp_path / "logs"), "-o", str(tmp_path / "a.csv")]) == 0


def test_there_is_nothing_to_export_of_runs_without_numbers(tmp_path, capsys):
    write_scalars(tmp_path / "logs", {})

    assert cli.main(["export", str(tmp_path / "logs"), "-o", str(tmp_path / "a.csv")]) == 2
    assert capsys.readouterr().err == "error: nothing to export, since no run has numbers: logs\n"
