"""The reader: runs by name, files that are still growing, directories without runs."""

import numpy as np
import pytest
from test_writers import snapshot

import gradlog
from gradlog.history import History, join
from gradlog.writers import EventWriter


def write(log_dir, steps):
    writer = EventWriter(log_dir)
    for step in steps:
        writer.write(snapshot(step))
    writer.close()
    return writer.path


def test_one_directory_is_a_run_and_one_above_is_all_of_them(tmp_path):
    write(tmp_path / "relu", [0, 2])
    write(tmp_path / "deep" / "sigmoid", [0])

    runs = gradlog.read(tmp_path)

    assert list(runs) == ["deep/sigmoid", "relu"]
    assert runs["relu"].steps.tolist() == gradlog.read(tmp_path / "relu").steps.tolist() == [0, 2]


def test_a_record_that_is_not_complete_yet_ends_the_run_before_it(tmp_path):
    path = write(tmp_path, [0, 1, 2])
    with open(path, "rb+") as file:
        file.truncate(file.seek(0, 2) - 10)

    assert gradlog.read(tmp_path).steps.tolist() == [0, 1]


@pytest.mark.parametrize("log_dir", [".", "missing"])
def test_where_there_is_no_run_the_error_names_the_directory(tmp_path, log_dir):
    with pytest.raises(FileNotFoundError, match=f"no event files.*Received: log_dir=.*{log_dir}"):
        gradlog.read(tmp_path / log_dir)


def test_unknown_names_are_answered_with_the_known_ones(tmp_path):
    write(tmp_path, [0])
    run = gradlog.read(tmp_path)

    with pytest.raises(KeyError, match=r"no statistic 'norm'.*gradient_mean_abs, gradient_nonfinite"):
        run.statistic("norm")
    with pytest.raises(KeyError, match=r"no variable 'b/kernel'.*a/kernel, a/bias"):
        run.statistic("gradient_mean_abs", "b/kernel")


def test_steps_with_other_variables_are_joined_by_name():
    """As after a layer was unfrozen: what a step lacks is NaN."""
    variables, columns, steps, statistics = join(
        {9: (["b", "a"], ["x", "y"], [[3, 4], [5, 6]]), 1: (["b"], ["x"], [[1]])}
    )

    assert (variables, columns, steps.tolist()) == (("b", "a"), ("x", "y"), [1, 9])
    np.testing.assert_array_equal(statistics, [[[1, np.nan], [np.nan, np.nan]], [[3, 4], [5, 6]]])


def test_kernels_stand_in_the_models_order():
    assert History(variables=("z/kernel", "z/bias", "a/kernel")).kernels() == ["z/kernel", "a/kernel"]
