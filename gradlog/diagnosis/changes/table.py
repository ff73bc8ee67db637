"""Which changes are proposed for what was found, the first that applies, and which remedies a run does not need."""

import dataclasses
from collections.abc import Callable

import numpy as np

from gradlog.diagnosis.changes.activation import leaky_activation, other_activation, other_activations
from gradlog.diagnosis.changes.initial_weights import larger_weights, smaller_attention_weights, smaller_weights
from gradlog.diagnosis.changes.inputs import finite_inputs, normalized_inputs
from gradlog.diagnosis.changes.learning_rate import lower_rate, raise_rate, tenth_of_rate, usual_rate
from gradlog.diagnosis.changes.normalization import normalization_between
from gradlog.diagnosis.changes.of_run import (
    RELUS,
    SQUASHING,
    clips,
    has_attention,
    hidden_layers,
    is_normalized,
    squashes,
)
from gradlog.diagnosis.changes.optimizer import clipping, loss_scaling, quicker_moment, smaller_epsilon, weaker_decay
from gradlog.diagnosis.finding import Finding
from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import LARGE_STEPS, SMALL_STEPS
from gradlog.history.names import LEARNING_RATE_TAG
from gradlog.history.run import Run

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
    "Use ReLU, leaky": squashes,
    "Normalize before": has_attention,
    "Use ReLU": lambda run: any(one.activation in SQUASHING for one in hidden_layers(run)),
    "Use leaky ReLU": lambda run: any(one.activation in RELUS for one in hidden_layers(run)),
    "Add batch normalization": lambda run: not is_normalized(run),
    "Clip the gradient": lambda run: not clips(run),
}


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
