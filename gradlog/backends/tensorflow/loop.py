"""The `GradientTape` loop: many steps inside one compiled function, Keras callbacks between its calls."""

import contextlib
import functools
from collections.abc import Sequence

import keras
import tensorflow as tf

from gradlog.backends.checks import check_trainable, checked_model
from gradlog.backends.inform import inform

# Which step Keras tells `on_train_batch_end` of a call: the last; up to Keras 3.10, the first.
_TELLS_LAST_STEP = tuple(map(int, keras.__version__.split(".")[:2])) >= (3, 11)


def train(
    model, dataset, steps: int, callbacks: Sequence | None, steps_per_execution: int, verbose: int
) -> keras.callbacks.History:
    """Trains a compiled model, as `gradlog.train` says."""
    checked_model(model)
    check_trainable(model)
    _check_dataset(dataset)
    callbacks = keras.callbacks.CallbackList(
        callbacks,
        add_history=True,
        add_progbar=verbose != 0,
        model=model,
        verbose=verbose,
        epochs=1,
        steps=steps,
    )
    _build(model, dataset)
    with _programs_of(model):
        _run(model, iter(dataset), steps, steps_per_execution, callbacks)
    return model.history


def _build(model, dataset):
    """Makes all variables ahead of the first trace, which would be traced twice if it had to make them."""
    model._symbolic_build(data_batch=dataset.element_spec)


def _run(model, iterator, steps, steps_per_execution, callbacks):
    model.stop_training = False
    model.make_train_function()
    callbacks.on_train_begin()
    model.reset_metrics()
    callbacks.on_epoch_begin(0)
    logs, done = {}, 0
    while done < steps and not model.stop_training:
        number = min(steps_per_execution, steps - done, *_bounds(callbacks))
        model.steps_per_execution = number
        begin = done
        callbacks.on_train_batch_begin(begin)
        number_run, metrics = model.train_function(iterator, tf.constant(number))
        number_run = int(number_run)
        done += number_run
        if number_run:
            logs = {name: float(value) for name, value in metrics.items()}
            callbacks.on_train_batch_end(done - 1 if _TELLS_LAST_STEP else begin, logs)
        if number_run < number:
            _warn_of_short_dataset(done, steps)
            break
    callbacks.on_epoch_end(0, logs)
    callbacks.on_train_end(logs)


def _bounds(callbacks):
    """Returns how many steps each logger lets the next call have, of which it records the first or none."""
    loggers = [callback for callback in callbacks.callbacks if hasattr(callback, "max_steps_of_next_call")]
    return [number for logger in loggers if (number := logger.max_steps_of_next_call()) is not None]


@contextlib.contextmanager
def _programs_of(model):
    """Has the model make this loop's training function, as Keras' trainer has it make its own.

    So a callback that replaces or remakes `model.train_function` between two calls, as `GradientLogger` does, need not
    know which loop it is in.
    """
    attributes = {}
    if type(model).train_step is keras.Model.train_step and "train_step" not in vars(model):
        attributes["train_step"] = functools.partial(_step, model)
    original_step = attributes.get("train_step", model.train_step)
    plain_step = _compiled(model, original_step)

    def make_train_function(force=False):
        if force or model.train_function is None:
            is_plain = model.train_step == original_step
            first_step = plain_step if is_plain else _compiled(model, model.train_step)
            model.train_function = _many_steps(model, first_step, plain_step)

    attributes["make_train_function"] = make_train_function
    earlier = model.train_function, model.steps_per_execution
    hidden = {name: vars(model)[name] for name in attributes if name in vars(model)}
    model.train_function = None
    model.__dict__.update(attributes)
    try:
        yield
    finally:
        for name in attributes:
            del model.__dict__[name]
        model.__dict__.update(hidden)
        model.train_function, model.steps_per_execution = earlier


def _compiled(model, step):
    if model.run_eagerly:
        return step
    return tf.function(step, jit_compile=model.jit_compile, reduce_retracing=True, autograph=False)


def _many_steps(model, first_step, step):
    """Returns a function of an iterator and a number: it runs so many steps, returns how many, and the metrics.

    Only its first step is `first_step`, which may record; the others are `step`.
    """

    def run(iterator, number):
        def run_until(end, step, count, batch):
            def is_next(count, batch):
                return tf.logical_and(count < end, batch.has_value())

            def run_one(count, batch):
                step(batch.get_value())
                is_last = count + 1 >= number  # then the next batch is left for the next call
                return count + 1, tf.cond(is_last, lambda: batch, iterator.get_next_as_optional)

            return tf.while_loop(is_next, run_one, [count, batch])

        state = tf.constant(0), iterator.get_next_as_optional()
        if first_step is not step:
            state = run_until(1, first_step, *state)
        count, _ = run_until(number, step, *state)
        return count, model.get_metrics_result()

    return run if model.run_eagerly else tf.function(run, reduce_retracing=True, autograph=False)


def _step(model, batch):
    """Runs one optimizer step, as `keras.Model.train_step` does."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    with tf.GradientTape() as tape:
        y_pred = model(x, training=True)
        loss = model._compute_loss(x, y, y_pred, sample_weight, training=True)
        model._loss_tracker.update_state(loss, sample_weight=tf.shape(tf.nest.flatten(x)[0])[0])
        scaled = model.optimizer.scale_loss(loss)
    gradients = tape.gradient(scaled, model.trainable_variables)
    model.optimizer.apply(gradients, model.trainable_variables)
    return model.compute_metrics(x, y, y_pred, sample_weight)


def _check_dataset(dataset):
    if not isinstance(dataset, tf.data.Dataset):
        raise TypeError(
            "`train` reads its batches from a `tf.data.Dataset`; make one from arrays with "
            "`tf.data.Dataset.from_tensor_slices((x, y)).batch(32)`. "
            f"Received: dataset of type {type(dataset).__name__}"
        )
    element = dataset.element_spec
    if not isinstance(element, tuple) or len(element) not in (2, 3):
        raise ValueError(
            "`train` learns from pairs. Expected elements (x, y) or (x, y, sample_weight), as a tuple. "
            f"Received: elements {element}"
        )


def _warn_of_short_dataset(done, steps):
    inform(
        f"The dataset ran out after {done:,} of {steps:,} steps, and the training ended there. Make it longer, "
        "or endless with `dataset.repeat()`."
    )
