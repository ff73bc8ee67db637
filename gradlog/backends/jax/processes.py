"""Processes: several may train one model, and each reads what a step returns on its own host."""

from typing import Any

import jax
import keras
from jax.sharding import NamedSharding, PartitionSpec


def whole(arrays: Any) -> Any:
    """Gives every process the whole of each array in a structure.

    Arrays that are divided by the rows of a batch, such as the first targets, would otherwise stay divided in what a
    step returns, and no process could read the other parts. A single process has all parts, so it gets its arrays as
    they are.
    """
    distribution = keras.distribution.distribution()
    if jax.process_count() == 1 or distribution is None:
        return arrays
    everywhere = NamedSharding(distribution.device_mesh.backend_mesh, PartitionSpec())
    return jax.lax.with_sharding_constraint(arrays, everywhere)
