"""Finding: a problem that a rule found in a run, in words and numbers."""

import dataclasses
import textwrap
from dataclasses import dataclass

from gradlog.history import html
from gradlog.history.markdown import escaped
from gradlog.history.tree import some

WARNING, NOTE = "warning", "note"
SEVERITIES = ("alarm", WARNING, NOTE)  # worst first


@dataclass(frozen=True)
class Finding:
    """What is wrong, where, since when, how badly, and what to try.

    Attributes:
        code: String, the rule's stable code: `"GL101"`.
        name: String, the rule's name: `"vanishing gradient"`.
        severity: `"alarm"` if the training cannot succeed like this, `"warning"` if it may not, `"note"` for what is
            worth knowing and needs no action.
        where: Names of variables or layers, in the model's order; empty if the finding is about the whole run.
        first_step: Integer, the first logged step with the problem.
        last_step: Integer, the last logged step with the problem; `None` if it persists at the end of the log.
        measured: The worst value measured.
        threshold: The threshold it crossed.
        message: String, one sentence with the numbers.
        remedies: Strings, what to try, most promising first.
        change: String, what to change in this very run, in a line of code where that can be said; empty if the run does
            not say enough.
        explains: Codes of the findings that follow from this one, worst first.
        cause: String, the code of the finding that explains this one; empty if none does.
        place: String, `where` in words, as `"blocks 0 to 5 · attention"`; empty for the names as they are.

    Example:
    >>> name, message = "weights collapsing to zero", "The weights of a/kernel collapse to zero: 0.1 % is left."
    >>> remedies = ("Reduce the weight decay.",)
    >>> finding = Finding("GL303", name, "alarm", ("a/kernel",), 0, 40, 0.001, 0.01, message, remedies)
    >>> print(finding)
    GL303 alarm · weights collapsing to zero · a/kernel · steps 0 to 40
      The weights of a/kernel collapse to zero: 0.1 % is left. (measured 0.001, threshold 0.01)
      Try: Reduce the weight decay.
      More: gradlog rule GL303
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
    change: str = ""
    explains: tuple[str, ...] = ()
    cause: str = ""
    place: str = ""

    @property
    def rank(self) -> tuple:
        """A sort key: worst first, then ongoing ones, then by code and first step."""
        return SEVERITIES.index(self.severity), self.last_step is not None, self.code, self.first_step

    @property
    def is_note(self) -> bool:
        """Whether it needs no action: it is not warned of, and does not change the exit code."""
        return self.severity == NOTE

    @property
    def is_of_setup(self) -> bool:
        """Whether it is a mistake in how the training is set up, which no step shows."""
        return self.code.startswith("GL5")

    @property
    def steps(self) -> str:
        """The steps in words: `"since step 200"`, `"steps 0 to 1,400"`, or `"from the start"`."""
        if self.is_of_setup:
            return "from the start"
        if self.last_step is None:
            return f"since step {self.first_step:,}"
        return f"steps {self.first_step:,} to {self.last_step:,}"

    @property
    def title(self) -> str:
        """One line: what, where and since when."""
        place = self.place or some(self.where)
        parts = [f"{self.code} {self.severity}", self.name, *([place] if place else []), self.steps]
        return " · ".join(parts)

    def __str__(self):
        change = [f"Change: {self.change}"] if self.change else []
        explains = [f"Explains: {', '.join(self.explains)}"] if self.explains else []
        tries = [f"Try: {remedy}" for remedy in self.remedies]
        lines = [f"{self.message}{self._numbers()}", *change, *explains, *tries, *self._more()]
        wrapped = [textwrap.fill(line, 100, initial_indent="  ", subsequent_indent="  ") for line in lines]
        return "\n".join([self.title, *wrapped])

    def markdown(self) -> str:
        """Returns the finding as Markdown, for TensorBoard's Text tab."""
        remedies = "\n".join(f"{number}. {remedy}" for number, remedy in enumerate(self.remedies, 1))
        message = f"{escaped(self.message)}{self._numbers()}"
        if self.cause:
            return f"Follows from {self.cause}: {escaped(self.title)}. {message}"
        change = f"\n\nChange: `{self.change.replace('`', '')}`" if self.change else ""
        return f"**{escaped(self.title)}**\n\n{message}{change}\n\nWhat to try:\n\n{remedies}"

    def _more(self):
        """Returns how to read more; of a custom rule, nothing."""
        return [f"More: gradlog rule {self.code}"] if self.code.startswith("GL") else []

    def _repr_html_(self):
        """Returns what a notebook shows."""
        change = [f"Change: {self.change}"] if self.change else []
        explains = [f"Explains: {', '.join(self.explains)}"] if self.explains else []
        lines = [f"{self.message}{self._numbers()}", *change, *explains, *self._more()]
        return html.finding(self.title, self.severity, lines, self.remedies)

    def _numbers(self):
        """Returns what was measured, for the end of the message; that of a set-up has its numbers in the sentence."""
        return "" if self.is_of_setup else f" (measured {self.measured:.3g}, threshold {self.threshold:.3g})"

    @classmethod
    def from_dict(cls, values: dict) -> "Finding":
        """Returns the finding of a dictionary that `to_dict` returned.

        Raises:
            TypeError: The dictionary does not describe a finding.
        """
        lists = {name: tuple(map(str, values.get(name, ()))) for name in ("where", "remedies", "explains")}
        numbers = {name: float("nan" if values[name] is None else values[name]) for name in ("measured", "threshold")}
        found = cls(**values | lists | numbers)
        texts = (found.code, found.name, found.message, found.change, found.cause, found.place)
        steps = (found.first_step, 0 if found.last_step is None else found.last_step)
        are_right = all(isinstance(text, str) for text in texts) and all(isinstance(step, int) for step in steps)
        if found.severity not in SEVERITIES or not are_right:
            raise TypeError(f"Expected a finding. Received: {values!r}")
        return found

    def to_dict(self) -> dict:
        """Returns the finding as a dictionary for JSON; a number that is not finite becomes `None`."""
        values = dataclasses.asdict(self)
        finite = {name: _finite(values[name]) for name in ("measured", "threshold")}
        lists = {name: list(values[name]) for name in ("where", "remedies", "explains")}
        return {**values, **lists, **finite}


def _finite(number):
    return float(number) if abs(number) < float("inf") else None


def written(number: float) -> str:
    """Returns a number as a person writes it in a sentence.

    Example:
    >>> written(1834.2), written(0.00084)
    ('1,834', '0.00084')
    """
    return f"{number:,.0f}" if 10 <= abs(number) < 1e6 else f"{number:.2g}"
