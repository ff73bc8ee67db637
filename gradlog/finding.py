"""Finding: what a rule found in a run, with the numbers behind it and what to try."""

import textwrap
from dataclasses import asdict, dataclass

_SEVERITIES = ("alarm", "warning")  # worst first
_WIDTH = 100


@dataclass(frozen=True)
class Finding:
    """What a rule found.

    Attributes:
        code: String such as "GL101".
        name: String such as "vanishing gradient".
        severity: "alarm" or "warning".
        where: Names of variables or layers; empty where it is the whole run.
        first_step: Integer.
        last_step: Integer, or `None` where it is still so at the last logged step.
        measured: Float.
        threshold: Float, what `measured` crossed.
        message: One sentence with the numbers.
        remedies: What to try, likeliest first.
    """

    code: str
    name: str
    severity: str
    where: tuple[str, ...]
    first_step: int
    last_step: int | None
    measured: float
    threshold: float
    message: str
    remedies: tuple[str, ...] = ()

    @property
    def rank(self) -> tuple:
        """A key to sort by, worst first."""
        return _SEVERITIES.index(self.severity), self.first_step, self.code, self.where

    def to_dict(self) -> dict:
        """Returns what `json.dumps` takes."""
        return asdict(self) | {"where": list(self.where), "remedies": list(self.remedies)}

    def __str__(self):
        until = "on" if self.last_step is None else f"to {self.last_step}"
        place = ", ".join(self.where) or "the whole run"
        lines = [f"{self.code} {self.name} ({self.severity}) in {place}, from step {self.first_step} {until}"]
        lines += textwrap.wrap(self.message, _WIDTH, initial_indent="  ", subsequent_indent="  ")
        return "\n".join([*lines, *(f"  - {remedy}" for remedy in self.remedies)])
