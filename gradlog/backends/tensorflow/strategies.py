"""Strategies: what `tf.distribute` says of a training, and how often an optimizer was applied."""

import keras
import tensorflow as tf

from gradlog.backends.optimizers import inner_optimizer


def num_batches(optimizer: keras.optimizers.Optimizer) -> int:
    """Returns how many batches an optimizer has seen; several make a step where it accumulates."""
    return int(inner_optimizer(optimizer)._iterations.numpy())


def strategy_of(model) -> tf.distribute.Strategy:
    """Returns the distribution strategy under which a model trains."""
    return getattr(model, "distribute_strategy", None) or tf.distribute.get_strategy()


def num_replicas(model) -> int:
    """Returns how many replicas of a model make a step together."""
    return strategy_of(model).num_replicas_in_sync


def num_processes(model) -> int:
    """Returns how many workers, a chief among them, train a model together."""
    resolver = strategy_of(model).cluster_resolver
    if resolver is None or not resolver.task_type:
        return 1
    cluster = resolver.cluster_spec()
    return sum(cluster.num_tasks(job) for job in cluster.jobs if job in ("chief", "worker"))


def is_chief(model) -> bool:
    """Returns whether this process writes: of the several that train one model together, only the first does."""
    resolver = strategy_of(model).cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)
