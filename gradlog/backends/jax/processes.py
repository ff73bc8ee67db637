"""Processes: several of them may train one model together, and each reads what a step returns on its own host."""

from typing import Any

import jax
import keras
from jax.sharding import NamedSharding, PartitionSpec


def whole(arrays: Any) -> Any:
    """Returns a structure of arrays of which each process has the whole.

    What is divided by the rows of a batch, as the first targets are, would else be so in what a step returns, and no
    process could read the others' part. Within one process nothing is done: it has all parts.
    """
    distribution = keras.distribution.distribution()
    if jax.process_count() == 1 or distribution is None:
        return arrays
    everywhere = NamedSharding(distribution.device_mesh.backend_mesh, PartitionSpec())
    return jax.lax.with_sharding_constraint(arrays, everywhere)
