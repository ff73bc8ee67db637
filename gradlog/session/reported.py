"""What Keras reports of a call or an evaluation, as scalars by tag."""

import math

import numpy as np

from gradlog.history import names


def scalars_of(kind: str, logs: dict | None) -> dict[str, float]:
    """Returns the numbers in what Keras reports, by tag; a metric may also be a vector, which is left out.

    The metrics of `compile` may stand in a dictionary of their own, as a custom `train_step` returns them.

    >>> scalars_of("train", {"loss": np.ones([1]), "compile_metrics": {"accuracy": 0.5, "of_class": np.ones([3])}})
    {'train/loss': 1.0, 'train/accuracy': 0.5}
    """
    found: dict[str, float] = {}
    for name, value in (logs or {}).items():
        if isinstance(value, dict):
            found |= scalars_of(kind, value)
        elif math.prod(np.shape(value)) == 1:
            found[names.tag(kind, name)] = float(value if np.ndim(value) == 0 else value[(0,) * np.ndim(value)])
    return found
