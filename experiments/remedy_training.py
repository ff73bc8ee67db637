"""One training of the remedies: the digits it gets, `model.fit` with a logger, and the numbers that come of it."""

import dataclasses

import numpy as np
import tensorflow as tf

import gradlog
from experiments import data, parallel, remedy_memory, remedy_networks, runs

_NUM_VALIDATION = 2000  # of the training digits, kept apart
_NUM_PROBES = 256  # sequences on which the gradient of the state is taken


def num_steps(config, network):
    """Returns the steps of one training, with those that go before it."""
    steps = _num_epochs(config) * _steps_of_an_epoch(config)
    if _is_pretrained(network):
        steps += remedy_networks.num_hidden(config, network) * remedy_networks.pretraining_steps(config)
    return steps


def train(config, model, network, digits, seed, log_dir):
    """Trains a model, logs it to a directory, and returns its `gradlog.History` and its numbers, for JSON."""
    is_recurrent = isinstance(network, remedy_memory.Memory)
    batches, validation, test = _parts(config, digits, seed, is_recurrent)
    if _is_pretrained(network):
        remedy_networks.pretrain(config, model, batches, [parallel.StepCounter()])
    probe = [part[:_NUM_PROBES] for part in test]
    profiles = {"start": _profile(model, probe)} if is_recurrent else {}
    logger = gradlog.GradientLogger(log_dir, every=config.every, on_finding="ignore")  # the table says it
    fitted = model.fit(
        batches,
        steps_per_epoch=_steps_of_an_epoch(config),
        epochs=_num_epochs(config),
        validation_data=validation,
        validation_batch_size=1000,
        callbacks=[logger, parallel.StepCounter()],
        shuffle=False,
        verbose=0,
    )
    if is_recurrent:
        profiles["end"] = _profile(model, probe)
    numbers = model.evaluate(*test, batch_size=1000, verbose=0, callbacks=[logger], return_dict=True)
    reached = np.flatnonzero(np.array(fitted.history["val_accuracy"]) >= config.target)
    history = gradlog.read(log_dir)
    return history, {
        "test_accuracy": _finite(numbers["accuracy"]),
        "train_loss": _finite(fitted.history["loss"][-1]),
        "steps_to_target": int((reached[0] + 1) * _steps_of_an_epoch(config)) if len(reached) else None,
        **_summary(history, profiles),
    }


def kernels(history):
    """Returns the names of the kernels by depth, without a highway's gates and a recurrent layer's step in time."""
    return [name for name in history.kernels() if not name.startswith("gate") and not name.endswith("recurrent_kernel")]


def _profile(model, probe):
    gradients = remedy_memory.state_gradients(model, *probe)
    return {name: [_finite(norm) for norm in norms] for name, norms in gradients.items()}


def _steps_of_an_epoch(config):
    return min(config.validate_every, config.steps)


def _num_epochs(config):
    return -(-config.steps // _steps_of_an_epoch(config))


def _is_pretrained(network):
    return isinstance(network, remedy_networks.Network) and network.is_pretrained


def _parts(config, digits, seed, is_recurrent):
    """Returns endless batches, and x and y for validation and test."""
    num = len(digits.y_train) - min(_NUM_VALIDATION, len(digits.y_train) // 5)
    parts = [_scaled(digits.x_train[num:], digits.y_train[num:]), _scaled(digits.x_test, digits.y_test)]
    digits = dataclasses.replace(digits, x_train=digits.x_train[:num], y_train=digits.y_train[:num])
    if not is_recurrent:
        return data.batches(digits, config.batch_size, seed), *parts
    batches = data.batches(digits, config.batch_size * remedy_memory.DIGITS, seed).map(remedy_memory.sequences)
    return batches, *(remedy_memory.sequences(*part) for part in parts)


def _scaled(x, y):
    num = len(y) // remedy_memory.DIGITS * remedy_memory.DIGITS
    return tf.cast(x[:num], tf.float32) / 255, tf.constant(y[:num])


def _summary(history, profiles):
    """Returns what was logged. First and last are kernels by depth; of a recurrent network, states by time."""
    gradients = history.statistic("gradient_mean_abs").astype(float)
    gradients = gradients[:, [history.variables.index(name) for name in kernels(history)]]
    is_finite = np.isfinite(gradients).all(axis=1)
    start, over_run = gradients[0], _mean(gradients[is_finite])
    by_depth_or_time = [profiles[when]["hidden"] for when in ("start", "end")] if profiles else [start, over_run]
    ratios = [_finite(runs.ratio(values[-1], values[0])) for values in by_depth_or_time]
    updates = history.statistic("update_ratio", kernels(history)[0])[is_finite]
    return {
        "kernels": [name.removesuffix("/kernel") for name in kernels(history)],
        "gradient_at_start": [_finite(value) for value in start],
        "gradient_over_run": [_finite(value) for value in over_run],
        "ratio_at_start": ratios[0],
        "ratio_over_run": ratios[1],
        "first_update_ratio": _finite(np.median(updates)) if len(updates) else None,
        "norm_at_start": _finite(history.scalars["gradient_norm/global"].values[0]),
        "logged_steps": len(gradients),
        "steps_not_finite": int((~is_finite).sum()),
        "findings": runs.findings(history),
        **({"state_gradients": profiles} if profiles else {}),
    }


def _mean(rows):
    return rows.mean(axis=0) if len(rows) else np.full(rows.shape[1], np.nan)


def _finite(number):
    """Returns a number for JSON, which knows neither NaN nor infinity; five digits, for there are many."""
    return float(f"{number:.5g}") if number is not None and np.isfinite(number) else None
