"""A run as one long table."""

import sys

import numpy as np
import pandas
import pytest
import small_logs

import gradlog
from gradlog.commands import cli
from gradlog.history.history import History, Series


def history():
    return History(
        variables=("a/kernel", "a/bias"),
        columns=("gradient_norm", "gradient_zero_fraction"),
        steps=np.array([0, 200]),
        statistics=np.array([[[1, 2], [3, np.nan]], [[5, 6], [7, 8]]], np.float32),
        scalars={
            "train/loss": Series(np.array([0, 200]), np.float32([0.5, 0.25])),
            "activation_dead/block/relu": Series(np.array([200]), np.float32([0.75])),
        },
    )


def test_a_row_is_a_number():
    table = history().to_dataframe()

    expected = [
        (0, "a/kernel", "gradient_norm", 1.0),
        (0, "a/kernel", "gradient_zero_fraction", 2.0),
        (0, "a/bias", "gradient_norm", 3.0),
        (200, "a/kernel", "gradient_norm", 5.0),
        (200, "a/kernel", "gradient_zero_fraction", 6.0),
        (200, "a/bias", "gradient_norm", 7.0),
        (200, "a/bias", "gradient_zero_fraction", 8.0),
        (0, "", "train/loss", 0.5),
        (200, "", "train/loss", 0.25),
        (200, "block/relu", "activation_dead", 0.75),
    ]
    columns = ["step", "variable", "statistic", "value"]
    pandas.testing.assert_frame_equal(table, pandas.DataFrame(expected, columns=columns), check_dtype=False)
    assert (table.step.dtype, table.value.dtype) == (np.int64, np.float32)


def test_an_exported_file_holds_the_same_table(tmp_path):
    """Of a run that was written and read back, and as CSV reads back."""
    small_logs.write_run(tmp_path / "run")
    table = gradlog.read(tmp_path / "run").to_dataframe()

    assert cli.main(["export", str(tmp_path / "run"), "-o", str(tmp_path / "a.csv")]) == 0

    exported = pandas.read_csv(tmp_path / "a.csv", keep_default_na=False).drop(columns="run")
    exported.value = exported.value.astype(np.float32)
    pandas.testing.assert_frame_equal(exported, table, check_dtype=False)
    assert len(table) == 42


def test_an_empty_run_is_an_empty_table():
    table = History().to_dataframe()

    assert (len(table), list(table)) == (0, ["step", "variable", "statistic", "value"])


def test_without_pandas_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(ImportError, match=r"not installed. Install it with `pip install pandas`"):
        history().to_dataframe()
