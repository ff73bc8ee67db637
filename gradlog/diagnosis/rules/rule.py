"""What all rules share: a `Symptom` says at which steps something is wrong; `finding_of` turns it into a finding."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gradlog.diagnosis.finding import NOTE, Finding, written
from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.history.tree import tree_of

LARGE_STEPS, SMALL_STEPS = "large steps", "small steps"  # kinds of symptoms that a code does not tell apart
_HEALED_AFTER = 3  # logged steps without the symptom; a shorter gap is a pause


@dataclass(frozen=True)
class Symptom:
    """Something that may be wrong with a run, and at which logged steps.

    Attributes:
        is_on: Boolean array [T], true where the symptom shows. Each entry depends only on its own step and earlier
            ones, so that diagnosing during training and afterwards gives the same findings.
        measured: Array [T], the number to report.
        threshold: The number that it crossed.
        message: String, a sentence with the placeholders `{where}` and `{measured}`.
        remedies: Strings, likeliest first.
        names: The n names of the variables or layers in `where`.
        where: Boolean array [T, n], which of them are affected; `None` for the whole run.
        is_alarm: Boolean array [T], true where it is an alarm rather than a warning.
        is_lower_worse: Whether a lower number is worse.
        min_logged_steps: Integer, how many logged steps in a row make a finding.
        window: Integer, how many logged steps each entry looks back on, including its own.
        is_note: Boolean array [T], true where it is worth a note alone; a finding is a note if all its steps are.
        kind: String, what it is as a cause or a consequence; the rule's code where it is empty.
        is_initial: Boolean, whether the network showed it before its first update.
        is_hint: Boolean, whether it is worth telling only where it explains what else is found.
    """

    is_on: np.ndarray
    measured: np.ndarray
    threshold: float
    message: str
    remedies: tuple[str, ...]
    names: tuple[str, ...] = ()
    where: np.ndarray | None = None
    is_alarm: np.ndarray | bool = False
    is_lower_worse: bool = False
    min_logged_steps: int = 3
    window: int = 1
    is_note: np.ndarray | bool = False
    kind: str = ""
    is_initial: bool = False
    is_hint: bool = False


@dataclass(frozen=True)
class Diagnosed:
    """A finding, and what tells whether it explains others.

    Attributes:
        finding: The `Finding`.
        kind: String, what it is as a cause or a consequence: a rule's code, or a kind of symptom.
        is_initial: Boolean, whether the network showed it before its first update.
        is_hint: Boolean, whether it is worth telling only where it explains what else is found.
    """

    finding: Finding
    kind: str
    is_initial: bool = False
    is_hint: bool = False


class Rule(Protocol):
    """A rule: a code, a name, all remedies that it knows and the symptoms it looks for.

    Steps after NaN has spread are judged only by rules that set `sees_broken`.
    """

    @property
    def code(self) -> str:
        """Code, such as `"GL101"`."""

    @property
    def name(self) -> str:
        """What is wrong, in a few words."""

    @property
    def remedies(self) -> tuple[str, ...]:
        """All remedies, each one sentence."""

    def symptoms(self, evidence: Evidence) -> Iterator[Symptom]:
        """Yields each symptom the rule looks for; nothing if the run lacks the numbers it needs."""


def finding_of(rule: Rule, symptom: Symptom, evidence: Evidence) -> Finding | None:
    """Returns the finding for a symptom, or `None` if it never lasted long enough."""
    steps = evidence.steps
    is_judged = np.full(len(steps), True) if getattr(rule, "sees_broken", False) else ~evidence.is_broken
    spans = _spans(_held(symptom.is_on, is_judged), symptom.min_logged_steps)
    is_in = np.zeros(len(steps), bool)
    for start, end in spans:
        is_in[start:end] = True
    is_in &= symptom.is_on & is_judged
    if is_in.sum() < symptom.min_logged_steps:
        return None
    where = _where(symptom, is_in)
    place = tree_of(tuple(evidence.variables)).said(where)
    measured = symptom.measured[is_in]
    measured = measured[~np.isnan(measured)] if (~np.isnan(measured)).any() else measured
    worst = float(measured.min() if symptom.is_lower_worse else measured.max())
    is_over = len(steps) - spans[-1][1] >= _HEALED_AFTER
    return Finding(
        code=rule.code,
        name=rule.name,
        severity=_severity(symptom, is_in),
        where=where,
        first_step=int(steps[max(0, spans[0][0] - symptom.window + 1)]),
        last_step=int(steps[spans[-1][1] - 1]) if is_over else None,
        measured=worst,
        threshold=float(symptom.threshold),
        message=symptom.message.format(where=place, measured=written(worst)),
        remedies=symptom.remedies,
        place=place,
    )


def _severity(symptom, is_in):
    if np.all(symptom.is_note | ~is_in):
        return NOTE
    is_alarm = (is_in & symptom.is_alarm).sum() >= symptom.min_logged_steps
    return "alarm" if is_alarm else "warning"


def _held(is_on, is_judged):
    """Returns the state at the last step that could be judged: steps that cannot be judged do not count as healed."""
    last = np.maximum.accumulate(np.where(is_judged, np.arange(len(is_on)), -1))
    return np.where(last >= 0, is_on[last], False)


def _where(symptom, is_in):
    if symptom.where is None:
        return ()
    share = symptom.where[is_in].mean(axis=0)  # of the steps; a name that appears once by chance is left out
    return tuple(name for name, part in zip(symptom.names, share, strict=True) if part >= min(0.5, share.max()))


def _spans(is_on, min_length):
    """Returns the spans [start, end) of a symptom; spans separated only by a pause are joined.

    A span counts if it contains at least `min_length` logged steps in a row with the symptom.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_on.astype(np.int8), [0]])))
    spans = []
    for start, end in edges.reshape(-1, 2).tolist():
        is_long = end - start >= min_length
        if spans and start - spans[-1][1] < _HEALED_AFTER:
            spans[-1] = (spans[-1][0], end, spans[-1][2] or is_long)
        else:
            spans.append((start, end, is_long))
    return [(start, end) for start, end, is_long in spans if is_long]
