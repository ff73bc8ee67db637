"""Another initializer, where the initial weights are far from those of Glorot and Bengio (2010)."""

import dataclasses
import math

from gradlog.diagnosis.changes.of_run import SQUASHING, layers_of, number
from gradlog.diagnosis.finding import Finding
from gradlog.history.run import Layer, Run


def larger_weights(finding: Finding, run: Run) -> str:
    """Proposes another initializer where the initial weights are much smaller than Glorot's."""
    return _initializer(finding, run, lambda deviation, glorot: deviation < glorot / 2)


def smaller_weights(finding: Finding, run: Run) -> str:
    """Proposes another initializer where the initial weights are much larger than Glorot's."""
    return _initializer(finding, run, lambda deviation, glorot: deviation > 2 * glorot)


def smaller_attention_weights(finding: Finding, run: Run) -> str:
    """Proposes another initializer where query and key start with weights much larger than Glorot's."""
    found = [f"{layer}/{name}" for layer in finding.where for name in ("query", "key")]
    found = [one.name for one in run.layers if one.name in found]
    return smaller_weights(dataclasses.replace(finding, where=tuple(found)), run) if found else ""


def deviation(layer: Layer) -> float | None:
    """Returns the standard deviation of a layer's initial weights, or `None` if its initializer does not tell."""
    settings, (fan_in, fan_out) = layer.initializer, fans(layer)
    kind, scale = str(settings.get("class", "")), number(settings, "stddev")
    if kind in ("RandomNormal", "TruncatedNormal"):
        return scale
    if kind == "RandomUniform":
        low, high = number(settings, "minval"), number(settings, "maxval")
        return None if low is None or high is None else (high - low) / math.sqrt(12)
    if kind in ("Zeros", "Constant", "Ones"):
        return 0.0
    variances = {"Glorot": 2 / (fan_in + fan_out), "He": 2 / fan_in, "Lecun": 1 / fan_in}
    return next((math.sqrt(one) for name, one in variances.items() if kind.startswith(name)), None)


def fans(layer: Layer) -> tuple[int, int]:
    """Returns how many inputs and outputs a kernel has, as Glorot and Bengio (2010) count them; at least 1 each."""
    shape = layer.kernel or (1,)
    field = math.prod(shape[:-2])
    return max(1, field * shape[-2] if len(shape) > 1 else shape[0]), max(1, field * shape[-1])


def _initializer(finding, run, is_wrong):
    for layer in layers_of(finding, run) or [one for one in run.layers if one.kernel]:
        glorot, found = math.sqrt(2 / sum(fans(layer))), deviation(layer)
        if layer.kernel and found is not None and is_wrong(found, glorot):
            name = "glorot_uniform" if layer.activation in SQUASHING else "he_normal"
            return (
                f'kernel_initializer="{name}" ({layer.name} starts with weights of deviation {found:.2g}; Glorot\'s '
                f"would be {glorot:.2g})"
            )
    return ""
