"""Changes: what to change in this very run, in a line of code, made from what the run says it was made of."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from gradlog.diagnosis.finding import Finding, some
from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import LARGE_STEPS, SMALL_STEPS
from gradlog.history.names import LEARNING_RATE_TAG
from gradlog.history.run import Layer, Run

SQUASHING = ("sigmoid", "tanh", "hard_sigmoid", "hard_tanh", "softsign", "tanh_shrink")
_RELUS = ("relu", "relu6")
_TARGET_RATIO = 3e-3  # of a step to the weights; about 1e-3 is usual (Karpathy, cs231n notes)
_DEFAULT_RATES = {"SGD": 0.01, "Adagrad": 0.001, "Ftrl": 0.001, "Adadelta": 0.001, "Lion": 1e-4}  # Keras'; else 0.001
_MAX_RATES = {"SGD": 0.1}  # that a change proposes; else ten times the default


def change_for(kind: str, finding: Finding, evidence: Evidence) -> str:
    """Returns what to change where something was found, or an empty string where the run does not say enough.

    Args:
        kind: String, the rule's code, or the kind of the symptom.
        finding: The `Finding`.
        evidence: The run.
    """
    if evidence.run is None or kind not in _CHANGES:
        return ""
    run = _as_it_was(evidence, finding)
    return next(filter(None, (propose(finding, run) for propose in _CHANGES[kind])), "")


def applicable(remedies: tuple[str, ...], evidence: Evidence) -> tuple[str, ...]:
    """Returns the remedies without those that the run does not need: it has what they add, or not what they replace."""
    if evidence.run is None:
        return remedies
    dropped = tuple(start for start, is_needed in _NEEDED.items() if not is_needed(evidence.run))
    return tuple(remedy for remedy in remedies if not remedy.startswith(dropped)) if dropped else remedies


# Proposals: functions of a finding and a run, which return an empty string where they do not apply.


def lower_rate(finding: Finding, run: Run) -> str:
    """Proposes a learning rate at which a step is about 0.003 of the weights."""
    rate = _number(run.optimizer, "learning_rate")
    if not rate or not finding.measured > 0:
        return ""
    return _rate(run, _rounded(rate * min(_TARGET_RATIO / finding.measured, 1 / 3)))


def tenth_of_rate(finding: Finding, run: Run) -> str:
    """Proposes a tenth of the learning rate, where something went wrong after the first step."""
    rate = _number(run.optimizer, "learning_rate")
    return _rate(run, _rounded(rate / 10)) if rate and finding.first_step > 0 else ""


def usual_rate(finding: Finding, run: Run) -> str:
    """Proposes Keras' default where the learning rate is ten times as large or more, of SGD a hundred times."""
    rate, kind = _number(run.optimizer, "learning_rate"), run.optimizer.get("class", "")
    default = _DEFAULT_RATES.get(kind, 0.001)
    is_unusual = rate and rate >= 10 * _MAX_RATES.get(kind, default)
    return _rate(run, default) if is_unusual and finding.first_step > 0 else ""


def raise_rate(finding: Finding, run: Run) -> str:
    """Proposes a larger learning rate, at most ten times Keras' default."""
    rate, kind = _number(run.optimizer, "learning_rate"), run.optimizer.get("class", "")
    default = _DEFAULT_RATES.get(kind, 0.001)
    if rate is None or rate >= default:
        return ""
    limit = _MAX_RATES.get(kind, default)
    wanted = rate * 1e-3 / finding.measured if finding.measured > 0 and rate > 0 else limit
    return _rate(run, _rounded(min(max(wanted, 10 * rate), limit)))


def larger_weights(finding: Finding, run: Run) -> str:
    """Proposes another initializer where the initial weights are much smaller than Glorot's."""
    return _initializer(finding, run, lambda deviation, glorot: deviation < glorot / 2)


def smaller_weights(finding: Finding, run: Run) -> str:
    """Proposes another initializer where the initial weights are much larger than Glorot's."""
    return _initializer(finding, run, lambda deviation, glorot: deviation > 2 * glorot)


def other_activation(finding: Finding, run: Run) -> str:
    """Proposes ReLU where the hidden layers use an activation that saturates."""
    found = [one for one in _hidden(run) if one.activation in SQUASHING]
    if not found:
        return ""
    verb = "uses" if len(found) == 1 else "use"
    return f'activation="relu" in the hidden layers ({_listed(found, run)} {verb} {found[0].activation})'


def other_activations(finding: Finding, run: Run) -> str:
    """Proposes the same where so many do that the gradient vanishes with depth: not for the pooling layer of a BERT."""
    return other_activation(finding, run) if _squashes(run) else ""


def leaky_activation(finding: Finding, run: Run) -> str:
    """Proposes leaky ReLU where the layers use ReLU, which can die."""
    found = [one for one in _hidden(run) if one.activation in _RELUS]
    return f'activation="leaky_relu" in {_listed(found, run)}' if found else ""


def normalized_inputs(finding: Finding, run: Run) -> str:
    """Proposes to normalize the inputs where the first layer with weights is among those found."""
    first = next((one for one in run.layers if one.kernel), None)
    is_first = first is not None and first in _layers(finding, run)
    return "x = (x - x.mean(axis=0)) / x.std(axis=0)" if is_first else ""


def finite_inputs(finding: Finding, run: Run) -> str:
    """Proposes to look for NaN in the data where the first kernel alone has NaN in its gradient."""
    first = next((one for one in run.layers if one.kernel), None)
    is_alone = first is not None and finding.where == (f"{first.name}/kernel",)
    return "rows = numpy.isfinite(x).all(axis=1); x, y = x[rows], y[rows]" if is_alone else ""


def normalization_between(finding: Finding, run: Run) -> str:
    """Proposes batch normalization where the network has none."""
    return "" if _is_normalized(run) else "keras.layers.BatchNormalization() after each hidden layer"


def clipping(finding: Finding, run: Run) -> str:
    """Proposes to clip the gradient where the optimizer does not."""
    if finding.first_step == 0 or not run.optimizer or _clips(run):
        return ""
    rate, kind = _number(run.optimizer, "learning_rate"), run.optimizer.get("class", "")
    return f"keras.optimizers.{kind}(learning_rate={rate:.3g}, global_clipnorm=1.0)" if kind and rate else ""


def weaker_decay(finding: Finding, run: Run) -> str:
    """Proposes a tenth of the regularization, or of the weight decay."""
    for layer in _layers(finding, run):
        for variable, one in layer.regularizers.items():
            strength = next((name for name in ("l2", "l1", "factor") if _number(one, name)), None)
            if strength:
                weaker = _number(one, strength) / 10
                return f"{variable}_regularizer=keras.regularizers.{one.get('class')}({strength}={weaker:.3g})"
    decay = _number(run.optimizer, "weight_decay")
    return f"weight_decay={decay / 10:.3g} (it is {decay:.3g})" if decay else ""


def loss_scaling(finding: Finding, run: Run) -> str:
    """Proposes to scale the loss, where weights are kept in float32."""
    if "mixed_float16" not in run.precision:
        return 'keras.config.set_dtype_policy("mixed_float16") before the model is made (its weights are in float16)'
    rate, kind = _number(run.optimizer, "learning_rate"), run.optimizer.get("class", "")
    inner = f"keras.optimizers.{kind}(learning_rate={rate:.3g})" if kind and rate else ""
    return f"keras.optimizers.LossScaleOptimizer({inner})" if inner else ""


def smaller_attention_weights(finding: Finding, run: Run) -> str:
    """Proposes another initializer where query and key start with weights much larger than Glorot's."""
    found = [f"{layer}/{name}" for layer in finding.where for name in ("query", "key")]
    found = [one.name for one in run.layers if one.name in found]
    return smaller_weights(dataclasses.replace(finding, where=tuple(found)), run) if found else ""


def smaller_epsilon(finding: Finding, run: Run) -> str:
    """Proposes Keras' default epsilon, or where it is that, one that no gradient reaches."""
    epsilon = _number(run.optimizer, "epsilon")
    return f"epsilon={1e-7 if epsilon > 2e-7 else 1e-15:g} (it is {epsilon:g})" if epsilon else ""


def quicker_moment(finding: Finding, run: Run) -> str:
    """Proposes a second moment that follows the gradient sooner."""
    beta = _number(run.optimizer, "beta_2")
    return f"beta_2=0.95 (it is {beta:g})" if beta and beta > 0.98 else ""


_CHANGES: dict[str, tuple[Callable[[Finding, Run], str], ...]] = {
    "GL101": (larger_weights, other_activations, normalization_between),
    "GL102": (smaller_weights, usual_rate, clipping, tenth_of_rate),
    "GL103": (finite_inputs, smaller_weights, usual_rate, clipping, tenth_of_rate),
    "GL104": (loss_scaling,),
    "GL201": (usual_rate, leaky_activation),
    "GL202": (usual_rate, smaller_weights, normalized_inputs, other_activation),
    "GL203": (usual_rate, smaller_attention_weights),
    "GL204": (usual_rate, smaller_attention_weights, tenth_of_rate),
    "GL205": (usual_rate,),
    LARGE_STEPS: (lower_rate,),
    SMALL_STEPS: (raise_rate,),
    "GL302": (raise_rate,),
    "GL303": (weaker_decay,),
    "GL304": (smaller_epsilon,),
    "GL402": (usual_rate, tenth_of_rate),
    "GL403": (quicker_moment, clipping),
    "GL507": (normalized_inputs,),
    "GL513": (larger_weights, smaller_weights, other_activation),
}


# How remedies begin that not every run needs, and whether a run does.
_NEEDED: dict[str, Callable[[Run], bool]] = {
    "Use ReLU, leaky": lambda run: _squashes(run),
    "Normalize before": lambda run: _has_attention(run),
    "Use ReLU": lambda run: any(one.activation in SQUASHING for one in _hidden(run)),
    "Use leaky ReLU": lambda run: any(one.activation in _RELUS for one in _hidden(run)),
    "Add batch normalization": lambda run: not _is_normalized(run),
    "Clip the gradient": lambda run: not _clips(run),
}


# What they are made of.


def _as_it_was(evidence, finding):
    """Returns the run with the largest learning rate in force while something was wrong, as a schedule had it."""
    run, rates = evidence.run, evidence.scalar(LEARNING_RATE_TAG)
    is_meant = evidence.steps >= finding.first_step
    if finding.last_step is not None:
        is_meant &= evidence.steps <= finding.last_step
    known = rates[is_meant & np.isfinite(rates)]
    if not len(known) or "learning_rate" not in run.optimizer:
        return run
    rate = float(f"{known.max():.6g}")  # it was logged in float32
    return dataclasses.replace(run, optimizer={**run.optimizer, "learning_rate": rate})


def deviation(layer: Layer) -> float | None:
    """Returns the standard deviation of a layer's initial weights, or `None` if its initializer does not tell."""
    settings, (fan_in, fan_out) = layer.initializer, fans(layer)
    kind, scale = str(settings.get("class", "")), _number(settings, "stddev")
    if kind in ("RandomNormal", "TruncatedNormal"):
        return scale
    if kind == "RandomUniform":
        low, high = _number(settings, "minval"), _number(settings, "maxval")
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
    for layer in _layers(finding, run) or [one for one in run.layers if one.kernel]:
        glorot, found = math.sqrt(2 / sum(fans(layer))), deviation(layer)
        if layer.kernel and found is not None and is_wrong(found, glorot):
            name = "glorot_uniform" if layer.activation in SQUASHING else "he_normal"
            return (
                f'kernel_initializer="{name}" ({layer.name} starts with weights of deviation {found:.2g}; Glorot\'s '
                f"would be {glorot:.2g})"
            )
    return ""


def _layers(finding, run):
    """Returns the layers that a finding names."""
    found = {one.name for one in map(run.layer, finding.where) if one is not None}
    return [one for one in run.layers if one.name in found]


def _is_normalized(run):
    return any("Normalization" in one.kind for one in run.layers)


def _squashes(run):
    """Whether more than a third of the hidden activations saturate."""
    hidden = _hidden(run)
    return 3 * sum(one.activation in SQUASHING for one in hidden) > len(hidden)


def _has_attention(run):
    return any("Attention" in one.kind for one in run.layers)


def _clips(run):
    return any(name in run.optimizer for name in ("clipnorm", "global_clipnorm", "clipvalue"))


def _hidden(run):
    """Returns the hidden layers that have an activation."""
    outputs = {one.name for one in run.outputs}
    return [one for one in run.layers if one.activation not in (None, "linear") and one.name not in outputs]


def _listed(layers, run):
    return some(tuple(dict.fromkeys(_with_weights(one, run).name for one in layers)))


def _with_weights(layer, run):
    """Returns the layer whose output an activation gets, as a person thinks of it: `Dense` before `Activation`."""
    below = layer
    for _ in run.layers:  # a log may name layers in a circle
        if below is None or below.kernel:
            break
        below = run.layer(below.inputs[0]) if len(below.inputs) == 1 else None
    return below if below is not None and below.kernel else layer


def _rate(run, rate):
    name = run.optimizer.get("class", "the optimizer")
    return f"keras.optimizers.{name}(learning_rate={rate:g}) (it is {run.optimizer['learning_rate']:g})"


def _rounded(number):
    """Returns a number as one writes a learning rate: 1 or 3 times a power of ten."""
    if not number > 0:
        return 0.001
    exponent = math.floor(math.log10(number) + 1e-9)
    return float(f"{3 if number / 10**exponent > 2 else 1}e{exponent}")


def _number(settings, name):
    """Returns a number among settings; `None` if there is none, or a log has something else in its place."""
    value = settings.get(name)
    return float(value) if isinstance(value, (int, float)) and np.isfinite(value) else None
