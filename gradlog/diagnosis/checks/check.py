"""What all checks share: the form of a check, and how a finding is made of what it sees."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from gradlog.diagnosis.checks.setup import Setup
from gradlog.diagnosis.finding import Finding


class Check(Protocol):
    """A check: a code, a name, all remedies that it knows, and the findings it makes of a set-up."""

    @property
    def code(self) -> str:
        """Code, such as `"GL501"`."""

    @property
    def name(self) -> str:
        """What is wrong, in a few words."""

    @property
    def remedies(self) -> tuple[str, ...]:
        """All remedies, each one sentence."""

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields what is wrong; nothing if the set-up does not say what the check needs."""


def finding_of(
    check: Check,
    where: str,
    message: str,
    remedies: Sequence[str],
    *,
    measured: float = 1,
    threshold: float = 0,
    severity: str = "alarm",
) -> Finding:
    """Returns a finding that stands from the first step on.

    Args:
        check: The `Check`.
        where: String, the name of a layer; empty for the whole model.
        message: String, one sentence with the numbers.
        remedies: Strings, what to change, most promising first.
        measured: Number, what was measured; 1 where something just is so.
        threshold: Number, what it crossed.
        severity: String. Defaults to `"alarm"`.
    """
    places = (where,) if where else ()
    numbers = float(measured), float(threshold)
    return Finding(check.code, check.name, severity, places, 0, None, *numbers, message, tuple(remedies))
