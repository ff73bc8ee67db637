"""The second road to every gradient: the engine's own automatic differentiation, without Keras' trainer."""

import keras
import numpy as np


def gradients(model, loss_of, x, y):
    """Returns the gradients of a loss by a model's trainable variables as they are now, as float64 arrays.

    Args:
        model: A built model.
        loss_of: Function of targets and predictions to a scalar; the model's own `losses` are added to it.
        x: Inputs, a NumPy array or a structure of them.
        y: Targets.
    """
    found = globals()[f"_on_{keras.backend.backend()}"](model, loss_of, x, y)
    return [np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(one, "float32")), np.float64) for one in found]


def _loss(model, loss_of, weights, x, y):
    others = [one.value for one in model.non_trainable_variables]
    predictions, _, losses = model.stateless_call(weights, others, x, training=True, return_losses=True)
    return sum([loss_of(y, predictions), *losses])


def _on_tensorflow(model, loss_of, x, y):
    import tensorflow as tf

    weights = [tf.convert_to_tensor(one.value) for one in model.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = _loss(model, loss_of, weights, x, y)
    return [tf.convert_to_tensor(one) for one in tape.gradient(loss, weights)]


def _on_jax(model, loss_of, x, y):
    import jax

    weights = [one.value for one in model.trainable_variables]
    return jax.grad(lambda weights: _loss(model, loss_of, weights, x, y))(weights)


def _on_torch(model, loss_of, x, y):
    import torch

    weights = [one.value.detach().clone().requires_grad_() for one in model.trainable_variables]
    return torch.autograd.grad(_loss(model, loss_of, weights, x, y), weights)
