"""What all rules share: a `Sign` says at which steps it is so, and `findings` makes of it what a person is told."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gradlog.diagnosis.finding import Finding, some
from gradlog.diagnosis.rules.evidence import Evidence

_HEALED_AFTER = 3  # logged steps without it; fewer are a pause


@dataclass(frozen=True)
class Sign:
    """At which logged steps something is so.

    Attributes:
        is_on: Boolean array [T]. What stands at a step depends on that step and those before it alone, so that a
            diagnosis while training says what one afterwards says.
        measured: Array [T], the number that is told.
        threshold: The number that it crossed.
        message: String, a sentence with `{where}` and `{measured}` in it.
        remedies: Strings, likeliest first.
        names: What `where` counts: n names.
        where: Boolean array [T, n], which of them it concerns; `None` for the whole run.
        is_alarm: Boolean array [T], where it is worse than a warning.
        is_worst_small: Whether a smaller number is a worse one.
        least: Integer, the logged steps in a row from which on it counts.
        window: Integer, the logged steps that one entry looks back upon, itself among them.
    """

    is_on: np.ndarray
    measured: np.ndarray
    threshold: float
    message: str
    remedies: tuple[str, ...]
    names: tuple[str, ...] = ()
    where: np.ndarray | None = None
    is_alarm: np.ndarray | bool = False
    is_worst_small: bool = False
    least: int = 3
    window: int = 1


class Rule(Protocol):
    """A rule: a code, a name in words, and what it sees in a run.

    A rule may set `sees_broken`, where it has something to say after NaN has spread; others are not asked then.
    """

    code: str
    name: str

    def signs(self, evidence: Evidence) -> Iterator[Sign]:
        """Yields what it looks for, with where it is so; nothing where the run cannot tell."""


def finding_of(rule: Rule, sign: Sign, evidence: Evidence) -> Finding | None:
    """Returns the finding of a sign of a rule, or `None` where it never was so for long enough."""
    steps = evidence.steps
    is_judged = np.full(len(steps), True) if getattr(rule, "sees_broken", False) else ~evidence.is_broken
    spans = _spans(_held(sign.is_on, is_judged), sign.least)
    is_in = np.zeros(len(steps), bool)
    for start, end in spans:
        is_in[start:end] = True
    is_in &= sign.is_on & is_judged
    if is_in.sum() < sign.least:
        return None
    where = _where(sign, is_in)
    measured = sign.measured[is_in]
    measured = measured[~np.isnan(measured)] if (~np.isnan(measured)).any() else measured
    worst = float(measured.min() if sign.is_worst_small else measured.max())
    is_over = len(steps) - spans[-1][1] >= _HEALED_AFTER
    is_alarm = (is_in & sign.is_alarm).sum() >= sign.least
    return Finding(
        code=rule.code,
        name=rule.name,
        severity="alarm" if is_alarm else "warning",
        where=where,
        first_step=int(steps[max(0, spans[0][0] - sign.window + 1)]),
        last_step=int(steps[spans[-1][1] - 1]) if is_over else None,
        measured=worst,
        threshold=float(sign.threshold),
        message=sign.message.format(where=some(where), measured=_number(worst)),
        remedies=sign.remedies,
    )


def _held(is_on, is_judged):
    """Returns what was so at the last step that could be judged: what cannot be has not healed."""
    last = np.maximum.accumulate(np.where(is_judged, np.arange(len(is_on)), -1))
    return np.where(last >= 0, is_on[last], False)


def _where(sign, is_in):
    if sign.where is None:
        return ()
    share = sign.where[is_in].mean(axis=0)  # of the steps; what comes up once by chance is not named
    return tuple(name for name, part in zip(sign.names, share, strict=True) if part >= min(0.5, share.max()))


def _spans(is_on, least):
    """Returns the spans [start, end) of a sign, those with a pause between them as one.

    A span counts where it is so at `least` logged steps in a row somewhere within it.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_on.astype(np.int8), [0]])))
    spans = []
    for start, end in edges.reshape(-1, 2).tolist():
        is_long = end - start >= least
        if spans and start - spans[-1][1] < _HEALED_AFTER:
            spans[-1] = (spans[-1][0], end, spans[-1][2] or is_long)
        else:
            spans.append((start, end, is_long))
    return [(start, end) for start, end, is_long in spans if is_long]


def _number(number):
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e6 else f"{number:.2g}"
