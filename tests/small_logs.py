"""Small logs of known numbers, written in milliseconds with gradlog's own writers, for what reads them."""

import numpy as np

from gradlog.history.history import Snapshot
from gradlog.stats import buckets
from gradlog.writers import EventWriter

VARIABLES = ("layer1/kernel", "layer1/bias", "layer2/kernel", "layer2/bias")
COLUMNS = ("gradient_mean_abs", "gradient_nonfinite", "update_ratio")
# mean |g| [3 steps, 4 variables]: the first layer's vanishes beside the last's, and is zero at last
MEAN_ABS = np.array([[1e-6, 2e-6, 1e-2, 2e-2], [4e-6, 5e-6, 3e-2, 5e-2], [0, 0, 5e-2, 1e-1]])
STEPS = (0, 10, 20)


def counts(number=4):
    """Bucket counts of `number` tensors with three ones each, and a minus two."""
    result = np.zeros((number, buckets.NUM_BUCKETS), np.int64)
    result[:, 127 << buckets.MANTISSA_BITS] = 3
    result[:, buckets.PER_SIGN + (128 << buckets.MANTISSA_BITS)] = 1
    return result


def write_run(
    log_dir,
    mean_abs=MEAN_ABS,
    steps=STEPS,
    nonfinite=0,
    variables=VARIABLES,
    histograms=False,
    scalars=(),
    attention=(),
):
    """Writes a run.

    Args:
        log_dir: Path.
        mean_abs: Array [T, V].
        steps: T integers.
        nonfinite: Integer or array [T, V].
        variables: V names.
        histograms: Boolean.
        scalars: Dictionary of tags to T numbers each, beside loss 2 - step / 20 and accuracy (step + 1) / 100.
        attention: Array [T, A, H, 3] of layers `attention0` and on.
    """
    writer, shape = EventWriter(log_dir), np.shape(mean_abs)
    nonfinite = np.broadcast_to(nonfinite, shape)
    for time, step in enumerate(steps):
        ratios = np.linspace(1e-4, 1e-2, shape[1])
        numbers = {"train/loss": 2 - step / 20, "train/accuracy": (step + 1) / 100}
        numbers |= {tag: values[time] for tag, values in dict(scalars).items()}
        table = np.stack([mean_abs[time], nonfinite[time], ratios], 1).astype(np.float32)
        tensors = {"gradients": counts(shape[1]), "weights": counts(shape[1])} if histograms else {}
        if len(attention):
            tensors |= {"attention": np.float32(attention[time])}
            tensors |= {"attention_layers": tuple(f"attention{number}" for number in range(len(attention[time])))}
        writer.write(Snapshot(step, tuple(variables), COLUMNS, table, scalars=numbers, **tensors))
    writer.close()


def write_scalars(log_dir, scalars, step=0):
    """Writes a run that holds nothing of gradlog's own, as other loggers' do."""
    writer = EventWriter(log_dir)
    writer.write_scalars(step, scalars)
    writer.close()
