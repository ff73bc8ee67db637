"""Optimizers: what gradlog asks of Keras' optimizers, and which of them a model has."""

import keras


def inner_optimizer(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Returns the optimizer inside of loss scaling."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def batches_per_step(optimizer: keras.optimizers.Optimizer) -> int:
    """Returns over how many batches an optimizer accumulates the gradient of a step."""
    return inner_optimizer(optimizer).gradient_accumulation_steps or 1


def optimizers(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """Returns the optimizers that a model has: the one it was compiled with, and those in attributes of its own."""
    found = [model.optimizer, *vars(model).values()]
    found = [one for one in found if isinstance(one, keras.optimizers.Optimizer)]
    return list({id(inner_optimizer(one)): one for one in reversed(found)}.values())[::-1]


def is_rate_known(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether a learning rate is a number, or a schedule of Keras' own; a user's schedule is never asked twice."""
    rate = optimizer._learning_rate
    return isinstance(rate, keras.Variable) or type(rate).__module__.startswith("keras.")


def clips(optimizer: keras.optimizers.Optimizer) -> bool:
    """Returns whether an optimizer clips its gradients."""
    inner = inner_optimizer(optimizer)
    return any((inner.clipnorm, inner.global_clipnorm, inner.clipvalue))
