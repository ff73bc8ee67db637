"""Finding: what a rule found in a run, in words and in numbers."""

import dataclasses
import textwrap
from dataclasses import dataclass

SEVERITIES = ("alarm", "warning")  # worst first
_MOST_NAMES = 4


@dataclass(frozen=True)
class Finding:
    """What is wrong, where, since when, how bad, and what to try.

    Attributes:
        code: String, stable: `"GL101"`.
        name: String, in words: `"vanishing gradient"`.
        severity: `"alarm"`, the training cannot go well like this, or `"warning"`.
        where: Names of variables or layers, in the model's order; empty where it concerns the whole run.
        first_step: Integer, the first logged step at which it was so.
        last_step: Integer, the last one, or `None` where it still is so at the last logged step.
        measured: The worst number that was measured.
        threshold: The number that it crossed.
        message: String, one sentence with the numbers.
        remedies: Strings, what to try, likeliest first.

    Example:
    >>> name, message = "weights collapsing to zero", "The weights of a/kernel have shrunk to 0.1 % of what they were."
    >>> remedies = ("Weaken the weight decay.",)
    >>> finding = Finding("GL303", name, "alarm", ("a/kernel",), 0, 40, 0.001, 0.01, message, remedies)
    >>> print(finding)
    GL303 alarm · weights collapsing to zero · a/kernel · steps 0 to 40
      The weights of a/kernel have shrunk to 0.1 % of what they were. (measured 0.001, threshold 0.01)
      Try: Weaken the weight decay.
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
    remedies: tuple[str, ...]

    @property
    def rank(self) -> tuple:
        """A sort key: worst first, then what is still so, then by code and by when it began."""
        return SEVERITIES.index(self.severity), self.last_step is not None, self.code, self.first_step

    @property
    def steps(self) -> str:
        """The steps in words: `"since step 200"`, or `"steps 0 to 1,400"`."""
        if self.last_step is None:
            return f"since step {self.first_step:,}"
        return f"steps {self.first_step:,} to {self.last_step:,}"

    @property
    def title(self) -> str:
        """One line that says what, where and since when."""
        parts = [f"{self.code} {self.severity}", self.name, *([some(self.where)] if self.where else []), self.steps]
        return " · ".join(parts)

    def __str__(self):
        numbers = f"(measured {self.measured:.3g}, threshold {self.threshold:.3g})"
        lines = [f"{self.message} {numbers}", *(f"Try: {remedy}" for remedy in self.remedies)]
        wrapped = [textwrap.fill(line, 100, initial_indent="  ", subsequent_indent="  ") for line in lines]
        return "\n".join([self.title, *wrapped])

    def markdown(self) -> str:
        """Returns it for TensorBoard's Text tab."""
        remedies = "\n".join(f"{number}. {remedy}" for number, remedy in enumerate(self.remedies, 1))
        numbers = f"measured {self.measured:.3g}, threshold {self.threshold:.3g}"
        return f"**{escaped(self.title)}**\n\n{escaped(self.message)} ({numbers})\n\nWhat to try:\n\n{remedies}"

    def to_dict(self) -> dict:
        """Returns it as a dictionary that JSON can hold: a number that is not finite is `None`."""
        values = dataclasses.asdict(self)
        finite = {name: _finite(values[name]) for name in ("measured", "threshold")}
        return {**values, "where": list(self.where), "remedies": list(self.remedies), **finite}


def some(names: tuple[str, ...]) -> str:
    """Returns names for a sentence: all where they are few, else the first and the last.

    Example:
    >>> some(("a", "b"))
    'a, b'
    >>> some(tuple("abcdefg"))
    'a, b … g (7 in all)'
    """
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    return f"{names[0]}, {names[1]} … {names[-1]} ({len(names)} in all)"


def escaped(text: str) -> str:
    """Returns a text in which nothing is Markdown or HTML: names of layers are anything."""
    return "".join(f"&#{ord(character)};" if character in "*_`[]<>&|\\" else character for character in text)


def _finite(number):
    return float(number) if abs(number) < float("inf") else None
