"""Optimizers: what gradlog asks of Keras' optimizers, and which of them a model has."""

import keras
import tensorflow as tf


def inner_optimizer(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Returns the optimizer inside of loss scaling."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def num_batches(optimizer: keras.optimizers.Optimizer) -> int:
    """Returns how many batches an optimizer has seen; several make a step where it accumulates."""
    return int(inner_optimizer(optimizer)._iterations.numpy())


def batches_per_step(optimizer: keras.optimizers.Optimizer) -> int:
    """Returns over how many batches an optimizer accumulates the gradient of a step."""
    return inner_optimizer(optimizer).gradient_accumulation_steps or 1


def optimizers(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """Returns the optimizers that a model has: the one it was compiled with, and those in attributes of its own."""
    found = [model.optimizer, *vars(model).values()]
    found = [one for one in found if isinstance(one, keras.optimizers.Optimizer)]
    return list({id(inner_optimizer(one)): one for one in reversed(found)}.values())[::-1]


def clips(optimizer: keras.optimizers.Optimizer) -> bool:
    """Returns whether an optimizer clips its gradients."""
    inner = inner_optimizer(optimizer)
    return any((inner.clipnorm, inner.global_clipnorm, inner.clipvalue))


def strategy_of(model) -> tf.distribute.Strategy:
    """Returns the distribution strategy under which a model trains."""
    return getattr(model, "distribute_strategy", None) or tf.distribute.get_strategy()


def is_chief(model) -> bool:
    """Returns whether this process writes: of the several that train one model together, only the first does."""
    resolver = strategy_of(model).cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)
