"""HTML, as a notebook shows it below a cell."""

import html
from collections.abc import Iterable, Sequence

_CELL = "padding: 2px 12px 2px 0; text-align: left; vertical-align: top"
_COLORS = {"alarm": "#d62728", "warning": "#b8860b", "note": "#777777"}


def table(rows: Iterable[Sequence[str]]) -> str:
    """Returns a table without a head, whose first column names what stands in the others.

    Args:
        rows: Rows of plain texts, which are escaped.

    Example:
    >>> table([("loss", "2.3 < 3")]).count("<td")
    1
    >>> "2.3 &lt; 3" in table([("loss", "2.3 < 3")])
    True
    """
    lines = [_row(*row) for row in rows]
    return f"<table>{''.join(lines)}</table>"


def finding(title: str, severity: str, lines: Sequence[str], remedies: Sequence[str]) -> str:
    """Returns a finding: its title in the colour of its severity, sentences, and a list of what to try."""
    sentences = "".join(f"<div>{html.escape(line)}</div>" for line in lines)
    tries = "".join(f"<li>{html.escape(remedy)}</li>" for remedy in remedies)
    head = f'<b style="color: {_COLORS.get(severity, "inherit")}">{html.escape(title)}</b>'
    return f"<div>{head}{sentences}<ol>{tries}</ol></div>"


def _row(name, *texts):
    cells = "".join(f'<td style="{_CELL}">{html.escape(text)}</td>' for text in texts)
    return f'<tr><th style="{_CELL}">{html.escape(name)}</th>{cells}</tr>'
