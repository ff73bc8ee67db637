"""The second road to every gradient: the engine's own automatic differentiation, without Keras' trainer."""

import functools

import keras
import numpy as np


def gradients(model, loss_of, x, y, is_penalized=True):
    """Returns the gradients of a loss by a model's trainable variables as they are now, as float64 arrays.

    Args:
        model: A built model.
        loss_of: Function of targets and predictions to a scalar.
        x: Inputs, a NumPy array or a structure of them.
        y: Targets.
        is_penalized: Whether the model's own `losses` are added to it. Defaults to `True`.
    """

    def loss_of_weights(weights):
        others = [one.value for one in model.non_trainable_variables]
        predictions, _, losses = model.stateless_call(weights, others, x, training=True, return_losses=True)
        return sum([loss_of(y, predictions), *(losses if is_penalized else ())])

    found = globals()[f"_on_{keras.backend.backend()}"](model, loss_of_weights)
    return [np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(one, "float32")), np.float64) for one in found]


def _on_tensorflow(model, loss_of_weights):
    import tensorflow as tf

    weights = [tf.convert_to_tensor(one.value) for one in model.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = loss_of_weights(weights)
    return [tf.convert_to_tensor(one) for one in tape.gradient(loss, weights)]


def _on_jax(model, loss_of_weights):
    import jax

    return jax.grad(loss_of_weights)([one.value for one in model.trainable_variables])


def _on_torch(model, loss_of_weights):
    import torch

    weights = [one.value.detach().clone().requires_grad_() for one in model.trainable_variables]
    return torch.autograd.grad(loss_of_weights(weights), weights)


def of_step(model, x, y):
    """Returns the loss of a batch, a number, and the gradients of the loss as the optimizer scales it.

    What the model keeps, such as moving averages and random states, is as after a training step. A gradient may be
    `None`, as the engine has it.
    """
    return globals()[f"_step_on_{keras.backend.backend()}"](model, x, y)


def apply(optimizer, gradients, variables):
    """Has the optimizer apply gradients to variables."""
    globals()[f"_apply_on_{keras.backend.backend()}"](optimizer, gradients, variables)


def _apply_on_tensorflow(optimizer, gradients, variables):
    optimizer.apply(gradients, variables)


def _apply_on_jax(optimizer, gradients, variables):
    import jax

    state = [[one.value for one in each] for each in (optimizer.variables, variables)]
    after, of_optimizer = jax.jit(optimizer.stateless_apply)(state[0], gradients, state[1])
    for variable, value in zip((*variables, *optimizer.variables), (*after, *of_optimizer), strict=True):
        variable.assign(value)


def _apply_on_torch(optimizer, gradients, variables):
    import torch

    with torch.no_grad():
        optimizer.apply(gradients, variables)


def array(gradient):
    """Returns a gradient, which may be rows of an embedding, as a float64 array."""
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(gradient)), np.float64)


def _step_on_tensorflow(model, x, y):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = model.compute_loss(x, y, model(x, training=True), training=True)
        scaled = model.optimizer.scale_loss(loss)
    return float(loss), tape.gradient(scaled, model.trainable_variables)


def _step_on_jax(model, x, y):
    if not model.built:
        model._symbolic_build(data_batch=(x, y))
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    of_model = model.trainable_variables, model.non_trainable_variables, model.metrics_variables
    of_optimizer, *state = ([one.value for one in each] for each in (model.optimizer.variables, *of_model))
    (_, found), gradients = _derived_on_jax(model)(*state, x, y, of_optimizer)
    for variable, value in zip(model.non_trainable_variables, found[2], strict=True):
        variable.assign(value)
    return float(found[0]), gradients


@functools.lru_cache(maxsize=4)
def _derived_on_jax(model):
    """Returns the compiled function; what is not compiled rounds float16 more often."""
    import jax

    def loss_of(trainable, others, of_metrics, x, y, of_optimizer):
        state = trainable, others, of_metrics, x, y, None
        return model.compute_loss_and_updates(*state, training=True, optimizer_variables=of_optimizer)

    return jax.jit(jax.value_and_grad(loss_of, has_aux=True))


def _step_on_torch(model, x, y):
    model.zero_grad()
    loss = model.compute_loss(x, y, model(x, training=True), training=True)
    model.optimizer.scale_loss(loss).backward()
    return float(loss.detach()), [one.value.grad for one in model.trainable_variables]
