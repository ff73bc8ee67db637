"""Causes: which finding explains which, so that a person reads first what to change.

A finding is explained by another if its kind follows from the other's in `FOLLOWS`, it does not begin earlier, and,
where the cause blocks the way back (dead or saturated layers), it lies at or below the cause. Large steps do not
explain what the network showed before its first update: that comes from its architecture or its initial weights.
Weights that collapse have shrunk for long, so what they explain may begin before.
"""

from collections.abc import Hashable
from dataclasses import replace
from typing import TypeVar

from gradlog.diagnosis.finding import Finding
from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import LARGE_STEPS, SMALL_STEPS, Diagnosed

_Key = TypeVar("_Key", bound=Hashable)
SETUP = "set-up"
VANISHING, EXPLODING, NONFINITE, UNDERFLOW, DEAD, SATURATED = "GL101", "GL102", "GL103", "GL104", "GL201", "GL202"
COLLAPSED, LOGITS, STREAM = "GL203", "GL204", "GL205"  # of attention, and of what passes along the blocks
UNCHANGED, COLLAPSING, EPSILON = "GL302", "GL303", "GL304"
STUCK, ERRATIC, SPIKE, CONSTANT = "GL401", "GL402", "GL403", "GL404"
INPUT_SCALE, CLASS_LOSS, FIRST_LOSS, FIRST_ACTIVATIONS, MESSAGES = "GL507", "GL508", "GL512", "GL513", "GL516"
# What checks find that may follow from something else, or be harmless; all else is a mistake in the set-up.
KINDS_OF_CHECKS = {
    **{kind: kind for kind in (INPUT_SCALE, CLASS_LOSS, FIRST_LOSS, FIRST_ACTIVATIONS, MESSAGES)},
    "GL514": LARGE_STEPS,
    "GL515": SMALL_STEPS,
}


def _but(kinds, one):
    return tuple(kind for kind in kinds if kind != one)


# Which kinds of findings each kind can cause. Every kind explains a loss or an accuracy that does not improve. Custom
# rules are not listed, so they are neither causes nor consequences.
_STOPPED = (SMALL_STEPS, UNCHANGED, ERRATIC, STUCK, CONSTANT)  # a network that no longer learns
_BLOCKED = (VANISHING, EPSILON, *_STOPPED)  # little of the gradient comes through
_DAMAGED = (SATURATED, DEAD, COLLAPSED, STREAM, *_BLOCKED)
_TOO_LARGE = (EXPLODING, LARGE_STEPS, NONFINITE, LOGITS, SPIKE, UNDERFLOW)
FOLLOWS = {
    SETUP: (COLLAPSING, *_TOO_LARGE, *_DAMAGED, INPUT_SCALE, FIRST_ACTIVATIONS, FIRST_LOSS, MESSAGES, CLASS_LOSS),
    INPUT_SCALE: (*_TOO_LARGE, *_DAMAGED, FIRST_ACTIVATIONS, FIRST_LOSS),
    UNDERFLOW: (EXPLODING, LARGE_STEPS, NONFINITE, SPIKE, *_DAMAGED),
    COLLAPSING: (EXPLODING, LARGE_STEPS, UNDERFLOW, *_DAMAGED),
    LARGE_STEPS: (*_TOO_LARGE, *_but(_DAMAGED, SMALL_STEPS)),
    EXPLODING: (*_TOO_LARGE, *_but(_DAMAGED, SMALL_STEPS), FIRST_ACTIVATIONS, FIRST_LOSS),
    NONFINITE: (*_but(_TOO_LARGE, NONFINITE), *_but(_DAMAGED, SMALL_STEPS)),
    LOGITS: (LOGITS, EXPLODING, LARGE_STEPS, NONFINITE, SPIKE, COLLAPSED, STREAM, *_BLOCKED),
    COLLAPSED: (LARGE_STEPS, STREAM, *_BLOCKED),
    SATURATED: (DEAD, LARGE_STEPS, COLLAPSED, STREAM, FIRST_ACTIVATIONS, *_BLOCKED),
    DEAD: (DEAD, LARGE_STEPS, COLLAPSED, STREAM, FIRST_ACTIVATIONS, *_BLOCKED),
    STREAM: (STREAM, LARGE_STEPS, *_BLOCKED),
    VANISHING: (SATURATED, DEAD, LARGE_STEPS, FIRST_ACTIVATIONS, COLLAPSED, STREAM, *_BLOCKED),
    EPSILON: _STOPPED,
    FIRST_ACTIVATIONS: (FIRST_LOSS, STUCK, CONSTANT),
    FIRST_LOSS: (STUCK, CONSTANT),
    MESSAGES: (STUCK, CONSTANT),
    CLASS_LOSS: (STUCK, CONSTANT),
    SMALL_STEPS: (SMALL_STEPS, UNCHANGED, STUCK, CONSTANT),
    UNCHANGED: (STUCK, CONSTANT),
    SPIKE: (SPIKE, ERRATIC, STUCK, CONSTANT),
    ERRATIC: (ERRATIC, STUCK, CONSTANT),
    STUCK: (),
    CONSTANT: (),
}
_ORDER = tuple(FOLLOWS)  # of two findings that could explain each other, the one whose kind comes first does
# What is harmless by itself, and the damage that shows that it was not.
_DAMAGE = {
    LARGE_STEPS: (NONFINITE, SATURATED, DEAD, VANISHING, ERRATIC, COLLAPSED, LOGITS, STREAM),
    EXPLODING: (NONFINITE, SATURATED, DEAD, ERRATIC, COLLAPSED, LOGITS, STREAM),
    CLASS_LOSS: (STUCK, CONSTANT),
    INPUT_SCALE: (EXPLODING, NONFINITE, SATURATED, DEAD, FIRST_LOSS),
}
_BLOCKS = (DEAD, SATURATED)
_INITIAL = (
    EXPLODING,
    UNDERFLOW,
    SATURATED,
    DEAD,
    VANISHING,
    COLLAPSED,
    LOGITS,
    STREAM,
)  # what a network can show before its first update
_LATE = 5  # logged steps that a cause may seem to begin later, since rules look back over as many


def in_reading_order(diagnosed: dict[_Key, Diagnosed], evidence: Evidence) -> dict[_Key, Finding]:
    """Returns findings as a person should read them: causes, worst first, each followed by what it explains.

    Args:
        diagnosed: What was found, by any key. Notes come last. A note or a hint of large first steps becomes a warning
            where nothing else explains damage that they left; a hint that explains nothing is dropped.
        evidence: The run.

    Returns:
        A dictionary of the same keys to `Finding`s with `explains` and `cause` set.
    """
    reasons = [one for one in diagnosed.values() if not one.finding.is_note and not one.is_hint]
    if reasons:  # to think that a loss that is flat will stay so
        flat = {key: _warned(one) for key, one in diagnosed.items() if one.kind == STUCK and one.finding.is_note}
        diagnosed = diagnosed | flat
    notes = {key: one for key, one in diagnosed.items() if one.finding.is_note}
    hints = {key: one for key, one in diagnosed.items() if one.is_hint}
    found = {key: one for key, one in diagnosed.items() if key not in notes and key not in hints}
    groups = _groups(found, evidence)
    for kind, damage in _DAMAGE.items():
        for key, one in (notes | hints).items() if all(one.kind != kind for one in found.values()) else ():
            tried = _groups(found | {key: _warned(one)}, evidence) if one.kind == kind else {}
            if any(_is_left(found[other], damage) for other in tried.get(key, ()) if other != key):
                found, groups = found | {key: _warned(one)}, tried
                notes.pop(key, None)
                break
    told = [_told({key: found[key].finding for key in group}) for group in groups.values()]
    told.sort(key=lambda group: min(finding.rank for finding in group.values()))
    told.append(dict(sorted(((key, one.finding) for key, one in notes.items()), key=lambda item: item[1].rank)))
    return {key: finding for group in told for key, finding in group.items()}


def _groups(found, evidence):
    """Returns what explains itself with what it explains: a dictionary of keys to lists of keys."""
    groups = {}
    for key in sorted(found, key=lambda key: _place(found[key])):
        cause = next((one for one in groups if _explains(found[one], found[key], evidence)), key)
        groups.setdefault(cause, []).append(key)
    return groups


def _warned(one):
    """Returns what was a note or a hint as a warning: it has done harm."""
    return replace(one, finding=replace(one.finding, severity="warning"))


def _is_left(one, damage):
    return one.kind in damage and one.finding.last_step is None


def _told(group):
    """Returns a cause and then what it explains, worst first; a dictionary. Only the cause says what to change."""
    (key, cause), *others = group.items()
    following = {name: replace(finding, cause=cause.code, change="") for name, finding in others}
    following = dict(sorted(following.items(), key=lambda item: item[1].rank))
    codes = tuple(dict.fromkeys(finding.code for finding in following.values()))
    return {key: replace(cause, explains=codes), **following}


def _place(one):
    """A sort key: what explains others comes before them."""
    is_early = one.is_initial and one.kind in _INITIAL
    order = _ORDER.index(one.kind) if one.kind in _ORDER else len(_ORDER)  # a custom rule
    return one.kind not in (SETUP, INPUT_SCALE), order - len(_ORDER) * is_early, one.finding.rank


def _explains(cause, one, evidence):
    if one.kind not in FOLLOWS.get(cause.kind, ()):
        return False
    if cause.kind == LARGE_STEPS and one.is_initial and one.kind in _INITIAL:
        return False
    if (
        cause.kind != COLLAPSING
        and one.kind != STUCK
        and _index(evidence, cause.finding) > _index(evidence, one.finding) + _LATE
    ):
        return False
    return cause.kind not in _BLOCKS or one.kind != VANISHING or _is_below(one.finding, cause.finding, evidence)


def _index(evidence, finding):
    """Returns the number of the logged step at which a finding begins."""
    return int((evidence.steps < finding.first_step).sum())


def _is_below(finding, cause, evidence):
    """Whether any layer of a finding lies at a layer of the cause, or nearer to the input."""
    depths = [[_depth(name, evidence) for name in one.where] for one in (finding, cause)]
    known = [[depth for depth in each if depth is not None] for each in depths]
    return not all(known) or min(known[0]) <= max(known[1])


def _depth(name, evidence):
    """Returns the number of the kernel that a name, of a layer or of a variable, belongs to; `None` if it has none."""
    belong = (number for number, one in enumerate(evidence.kernels) if one == name or one.startswith(f"{name}/"))
    return next(belong, None)
