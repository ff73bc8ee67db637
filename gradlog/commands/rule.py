"""`gradlog rule`: what there is to know of a code, as `GL101`."""

import difflib
import json
import re
import textwrap

from gradlog.commands import console
from gradlog.commands.selection import CommandError
from gradlog.diagnosis.pages import Page, codes, page

_WIDTH = 100
_LIKE = 0.6  # of two codes, from which on one may be meant for the other; that of `difflib`
_HEADING = re.compile(r"^#+ ")


def text(code: str | None, as_json: bool = False) -> str:
    """Returns the page of a code for the terminal, or, without one, the list of all codes.

    Raises:
        CommandError: The code is unknown.
    """
    if code is None:
        pages = [page(one) for one in codes()]
        return json.dumps([_values(one) for one in pages], indent=2) if as_json else _list(pages)
    found = _page(code)
    return json.dumps(_values(found), indent=2) if as_json else _plain(found)


def _page(code):
    try:
        return page(code)
    except KeyError:
        raise CommandError(
            f"unknown rule {code!r};{_suggestion(code.upper())} `gradlog rule` lists all rules"
        ) from None


def _suggestion(code):
    """Returns a question for the code that is meant, or nothing where none is like it."""
    likeness = {one: difflib.SequenceMatcher(None, code, one).ratio() for one in codes()}
    nearest = max(likeness, key=lambda one: likeness[one])  # of several, the first
    return f" did you mean {nearest}?" if likeness[nearest] > _LIKE else ""


def _list(pages):
    return "\n".join(f"{one.code}  {one.name}" for one in pages) + "\n\n`gradlog rule GL101` shows one."


def _plain(found: Page):
    """Returns a page in lines of a terminal: headings in bold, thresholds as a list."""
    parts = []
    for paragraph in found.markdown().strip().split("\n\n"):
        if _HEADING.match(paragraph):
            parts.append(console.colored(_HEADING.sub("", paragraph), "bold"))
        elif paragraph.startswith("|"):
            parts += [_wrapped(f"{one.name} = {one.default!r}: {one.meaning}", "    ") for one in found.thresholds]
        else:
            parts.append(
                "\n".join(_wrapped(line, "   " if line[:1].isdigit() else "") for line in paragraph.split("\n"))
            )
    return "\n\n".join(parts)


def _wrapped(line, indent):
    return textwrap.fill(line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _values(found):
    return {
        "code": found.code,
        "name": found.name,
        "summary": found.summary,
        "why": list(found.why),
        "finds": list(found.finds),
        "thresholds": [[one.name, one.default, one.meaning] for one in found.thresholds],
        "remedies": list(found.remedies),
    }
