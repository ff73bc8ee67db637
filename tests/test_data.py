"""MNIST by every road: prepared by TensorFlow Datasets, embedded, and neither."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from marks import OF_TENSORFLOW

from experiments import data

PREPARED = Path(__file__).parents[2] / "shared" / "data" / "tensorflow_datasets"


def no_answer(*args, **kwargs):
    raise OSError("no network")


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", no_answer)


def test_embedded_digits_are_genuine_and_split_by_class():
    digits = data.load_mnist("embedded")

    assert (digits.x_train.shape, digits.x_test.shape) == ((4000, 784), (1000, 784))
    assert np.bincount(digits.y_train).tolist() == [400] * 10
    assert np.bincount(digits.y_test).tolist() == [100] * 10
    assert (digits.x_train.dtype, digits.x_train.max()) == (np.uint8, 255)
    everything = np.concatenate([digits.x_train, digits.x_test])
    assert len(np.unique(everything, axis=0)) == 5000  # no digit is on both sides
    assert "not the whole of MNIST: they were asked for" in digits.notice


@pytest.mark.combinations
@pytest.mark.usefixtures("offline")
@pytest.mark.skipif(not PREPARED.is_dir(), reason=f"the whole of MNIST is not prepared in {PREPARED}")
def test_the_whole_of_mnist_through_tensorflow_datasets(monkeypatch):
    """Both ways to ask for it come to the same builder, from which it is read once."""
    original, asked, splits = data._split, [], {}

    def split(tfds, builder, name):
        asked.append((builder.info.full_name, name))
        splits[name] = splits[name] if name in splits else original(tfds, builder, name)
        return splits[name]

    monkeypatch.setattr(data, "_split", split)
    digits, same = (data.load_mnist(source, PREPARED) for source in ("tfds", "auto"))

    assert asked[:2] == asked[2:]
    assert (same.source, same.notice, len(same.x_train)) == (digits.source, None, 60000)
    assert (digits.x_train.shape, digits.x_test.shape) == ((60000, 784), (10000, 784))
    assert np.bincount(digits.y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert digits.x_train.mean() == pytest.approx(33.318, abs=1e-3)  # of all 47 million pixels
    assert digits.notice is None


@OF_TENSORFLOW
@pytest.mark.usefixtures("offline")
def test_without_a_network_auto_falls_back_and_says_so(tmp_path):
    digits = data.load_mnist("auto", tmp_path)

    assert len(digits.y_train) == 4000
    assert "not the whole of MNIST" in digits.notice
    assert "does not answer (OSError)" in digits.notice


@OF_TENSORFLOW
@pytest.mark.usefixtures("offline")
def test_without_a_network_tfds_is_an_error_that_names_the_remedy(tmp_path):
    with pytest.raises(data.DataError, match=r"does not answer.*--data-dir.*--data embedded"):
        data.load_mnist("tfds", tmp_path)


@OF_TENSORFLOW
def test_a_host_that_never_answers_is_given_up_after_three_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **kwargs: time.sleep(30))
    start = time.monotonic()

    with pytest.raises(data.DataError, match=r"does not answer \(TimeoutError\)"):
        data.load_mnist("tfds", tmp_path)
    assert time.monotonic() - start < 10


@OF_TENSORFLOW
def test_prepared_data_that_is_broken_is_said_so(tmp_path):
    (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
    (tmp_path / "mnist" / "3.0.1" / "dataset_info.json").write_text("{")

    with pytest.raises(data.DataError, match=r"3\.0\.1 cannot be read"):
        data.load_mnist("tfds", tmp_path)


def test_without_tensorflow_datasets_auto_falls_back_and_says_so(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)  # as where it is not installed
    digits = data.load_mnist("auto", tmp_path)
    assert len(digits.y_train) == 4000
    assert "tensorflow-datasets is not installed" in digits.notice
    with pytest.raises(data.DataError, match=r"tensorflow-datasets is not installed.*--data embedded"):
        data.load_mnist("tfds", tmp_path)
