"""Pages: what there is to know of a rule or a check, made from its own docstrings, thresholds and remedies."""

import dataclasses
import inspect
import re
import sys
from dataclasses import dataclass

from gradlog.diagnosis.checks.table import CHECKS
from gradlog.diagnosis.rules.table import RULES

_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*?)(?=^ {4}\w+: |\Z)", re.S | re.M)


@dataclass(frozen=True)
class Threshold:
    """A number that decides whether something is reported.

    Attributes:
        name: String, the argument's name.
        default: Its default.
        meaning: String, a sentence.
    """

    name: str
    default: object
    meaning: str


@dataclass(frozen=True)
class Page:
    """What there is to know of a code.

    Attributes:
        code: String, as in `"GL101"`.
        name: String, as in `"vanishing gradient"`.
        class_name: String, the class with the thresholds.
        is_check: Boolean, whether it is found before the first step.
        summary: String, a sentence that says what is wrong.
        why: Paragraphs, with the sources.
        finds: Paragraphs that say what is looked for.
        thresholds: `Threshold`s.
        remedies: Strings, what to try, likeliest first.
    """

    code: str
    name: str
    class_name: str
    is_check: bool
    summary: str
    why: tuple[str, ...]
    finds: tuple[str, ...]
    thresholds: tuple[Threshold, ...]
    remedies: tuple[str, ...]

    def markdown(self) -> str:
        """Returns the page as Markdown."""
        remedies = [f"{number}. {remedy}" for number, remedy in enumerate(self.remedies, 1)]
        parts = [
            f"# {self.code} {self.name}",
            self.summary,
            *("## Why", *self.why),
            *("## What is looked for", *self.finds, *self._table()),
            *("## What to try", "\n".join(remedies)),
        ]
        return "\n\n".join(parts) + "\n"

    def _table(self):
        """Returns the thresholds as paragraphs: a table, and how to set one."""
        if not self.thresholds:
            return []
        rows = [f"| `{one.name}` | `{one.default!r}` | {one.meaning} |" for one in self.thresholds]
        first = self.thresholds[0]
        table = "\n".join(["| threshold | default | meaning |", "| --- | --- | --- |", *rows])
        if self.is_check:
            return [table]
        example = f"`gradlog.rules.{self.class_name}({first.name}={first.default!r})`"
        return [table, f"To set one, pass the rule: `GradientLogger(..., rules=[...])` with {example}."]


def codes() -> tuple[str, ...]:
    """Returns all codes, in order."""
    return tuple(one.code for one in (*RULES, *CHECKS))


def page(code: str) -> Page:
    """Returns the page of a rule or a check.

    Args:
        code: String, in any case.

    Raises:
        KeyError: The code is unknown.

    Example:
    >>> page("gl303").name
    'weights collapsing to zero'
    >>> page("GL303").thresholds[0].name, page("GL303").thresholds[0].default
    ('fraction', 0.01)
    """
    one = {one.code: one for one in (*RULES, *CHECKS)}[code.upper()]
    summary, *why = _paragraphs(inspect.getdoc(sys.modules[type(one).__module__]))
    finds, _, attributes = (inspect.getdoc(type(one)) or "").partition("\nAttributes:\n")
    meanings = {name: " ".join(text.split()) for name, text in _ATTRIBUTE.findall(attributes)}
    return Page(
        code=one.code,
        name=one.name,
        class_name=type(one).__name__,
        is_check=one in CHECKS,
        summary=_sentence(summary.removeprefix(f"{one.code}: ")),
        why=tuple(_sentence(part.removeprefix("Why: ")) for part in why),
        finds=tuple(_paragraphs(finds)),
        thresholds=tuple(
            Threshold(field.name, field.default, meanings[field.name]) for field in dataclasses.fields(one)
        ),
        remedies=one.remedies,
    )


def _paragraphs(text):
    """Returns the paragraphs of a docstring, each as one line; a list keeps its lines."""
    parts = re.split(r"\n\s*\n", text.strip())
    return [part if part.startswith("- ") else " ".join(part.split()) for part in parts]


def _sentence(text):
    """Returns a text that begins with a capital letter."""
    return text[:1].upper() + text[1:]
