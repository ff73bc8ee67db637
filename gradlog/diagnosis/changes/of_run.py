"""What changes are made of: the layers and the settings of a run."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradlog.diagnosis.finding import Finding, some
from gradlog.history.run import Layer, Run

SQUASHING = ("sigmoid", "tanh", "hard_sigmoid", "hard_tanh", "softsign", "tanh_shrink")
RELUS = ("relu", "relu6")


def number(settings: dict, name: str) -> float | None:
    """Returns a number among settings; `None` if there is none, or a log has something else in its place."""
    value: Any = settings.get(name)
    return float(value) if isinstance(value, (int, float)) and np.isfinite(value) else None


def layers_of(finding: Finding, run: Run) -> list[Layer]:
    """Returns the layers that a finding names."""
    found = {one.name for one in map(run.layer, finding.where) if one is not None}
    return [one for one in run.layers if one.name in found]


def hidden_layers(run: Run) -> list[Layer]:
    """Returns the hidden layers that have an activation."""
    outputs = {one.name for one in run.outputs}
    return [one for one in run.layers if one.activation not in (None, "linear") and one.name not in outputs]


def squashes(run: Run) -> bool:
    """Whether more than a third of the hidden activations saturate."""
    layers = hidden_layers(run)
    return 3 * sum(one.activation in SQUASHING for one in layers) > len(layers)


def is_normalized(run: Run) -> bool:
    """Whether a layer normalizes."""
    return any("Normalization" in one.kind for one in run.layers)


def has_attention(run: Run) -> bool:
    """Whether a layer attends."""
    return any("Attention" in one.kind for one in run.layers)


def clips(run: Run) -> bool:
    """Whether the optimizer clips the gradient."""
    return any(name in run.optimizer for name in ("clipnorm", "global_clipnorm", "clipvalue"))


def listed(layers: Sequence[Layer], run: Run) -> str:
    """Returns the names of layers as a person thinks of them: `Dense` before `Activation`."""
    return some(tuple(dict.fromkeys(_with_weights(one, run).name for one in layers)))


def _with_weights(layer, run):
    """Returns the layer whose output an activation gets."""
    below = layer
    for _ in run.layers:  # a log may name layers in a circle
        if below is None or below.kernel:
            break
        below = run.layer(below.inputs[0]) if len(below.inputs) == 1 else None
    return below if below is not None and below.kernel else layer
