"""Hyperparameters: what a run is and what came of it, for TensorBoard's tab HParams, where runs are sorted in a table.

Every experiment has the same columns, so that one TensorBoard shows several in one table.
"""

import hashlib
import json
import re
import time
from dataclasses import asdict, dataclass

import keras
import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams import summary_v2 as summary  # its `api` would import TensorFlow
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from gradlog.writers import EventWriter

WORST_RATIO = "experiment/worst_ratio"
METRICS = (
    summary.Metric("test/accuracy", display_name="final accuracy", description="On the test set, after the training."),
    summary.Metric(
        WORST_RATIO,
        display_name="worst ratio",
        description="How many times the mean absolute gradients of the first and the last kernel differ, whichever is "
        "larger, at the logged step where they differ most. Empty where one of them was always zero or not finite.",
    ),
)


@dataclass(frozen=True)
class Hyperparameters:
    """What a run is; each is a column of the table.

    Attributes:
        scenario: Its name.
        activation: Of the hidden layers, as Keras calls it.
        depth: Number of layers, counting the input.
        initializer: Of the kernels.
        learning_rate: Of the optimizer.
        data: What it is trained on, of `data_name`.
    """

    scenario: str
    activation: str
    depth: int
    initializer: str
    learning_rate: float
    data: str


def write(log_dir, hyperparameters, settings, history, kernels=None):
    """Writes what a run is and its worst ratio into its directory.

    Args:
        log_dir: Path of the run.
        hyperparameters: `Hyperparameters`.
        settings: Dictionary for JSON, all that defines the experiment. Runs that differ in nothing but their `seed` are
            one row of the table, with the mean of their numbers.
        history: `gradlog.History` of the run.
        kernels: List of names, from the first kernel to the last. Defaults to all.
    """
    values = asdict(hyperparameters)
    alike = {**settings, **values, "seed": None}
    digest = hashlib.sha256(json.dumps(alike, sort_keys=True).encode()).hexdigest()
    ratio = worst_ratio(history, kernels or history.kernels())
    numbers = EventWriter(log_dir)
    numbers.write_scalars(int(history.steps[-1]), {} if ratio is None else {WORST_RATIO: ratio})
    numbers.close()
    of_run = EventFileWriter(str(log_dir), filename_suffix=".hparams")
    columns = [summary.HParam(name) for name in values]
    of_run.add_event(Event(wall_time=time.time(), summary=summary.hparams_config_pb(columns, METRICS)))
    trial = f"{hyperparameters.scenario} {digest[:6]}"
    of_run.add_event(Event(wall_time=time.time(), summary=summary.hparams_pb(values, trial_id=trial)))
    of_run.close()


def data_name(data):
    """Returns the name of an experiment's data, anything with `source` and `notice`; a fallback says that it is one."""
    return f"{data.source} (fallback)" if data.notice else data.source


def initializer_name(initializer):
    """Returns how Keras calls an initializer, such as `glorot_uniform`, with the deviation of a normal one."""
    name = re.sub("(?<!^)(?=[A-Z])", "_", type(initializer).__name__).lower()
    return f"{name} {initializer.stddev}" if isinstance(initializer, keras.initializers.RandomNormal) else name


def learning_rate(model):
    """Returns the learning rate of a compiled model, without the digits that float32 adds."""
    return float(f"{float(model.optimizer.learning_rate):.6g}")


def worst_ratio(history, kernels):
    """Returns how many times the mean absolute gradients of the first and the last kernel differ at most, or `None`.

    At least 1, whichever is larger; `None` where at no logged step both are positive and finite.
    """
    first, last = (history.statistic("gradient_mean_abs", name).astype(float) for name in (kernels[0], kernels[-1]))
    is_known = np.isfinite(first) & np.isfinite(last) & (first > 0) & (last > 0)
    ratios = last[is_known] / first[is_known]
    return float(np.maximum(ratios, 1 / ratios).max()) if len(ratios) else None
