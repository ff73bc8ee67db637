"""Console: what the commands print: tables that fit the terminal, colour, JSON, and a progress counter."""

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

_COLORS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_GAP = "  "
_PIPE_WIDTH = 100_000  # no line breaks if a program or a file reads the output
_PROGRESS_AFTER = 1.0  # seconds


def colored(text: str, color: str, stream: TextIO | None = None) -> str:
    """Returns a text in colour if the stream (standard output by default) shows colours.

    A terminal does, unless `NO_COLOR` (https://no-color.org) is set or the terminal is dumb.
    """
    stream = stream or sys.stdout
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_COLORS[color]}m{text}\x1b[0m"


def note(text: str) -> None:
    """Prints a note for a person on standard error."""
    print(f"{colored('note:', 'yellow', sys.stderr)} {text}", file=sys.stderr)


def width() -> int:
    """Returns the width of the terminal; without one, that of `COLUMNS`, or enough for any table."""
    is_known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return shutil.get_terminal_size().columns if is_known else _PIPE_WIDTH


def table(groups: Sequence[tuple[str, Sequence[str]]], rows: Sequence[Sequence[str]], columns: int) -> str:
    """Returns a table as text. Groups of columns that do not fit are placed below the others.

    Args:
        groups: Pairs of a title above a group of columns, which may be empty, and their headers. A header that starts
            with "<" aligns its column to the left. The first column names the rows and is repeated in each block.
        rows: Sequence of strings for all columns.
        columns: Integer, the maximum width of the text.

    Example:
    >>> print(table([("", ["<run"]), ("loss", ["first", "last"])], [["relu", "2.3", "0.3"]], 80))
          --- loss --
    run   first  last
    relu    2.3   0.3
    """
    cells = list(zip(*rows, strict=True))
    parts, index = [], 0
    for title, headers in groups:
        parts.append(_group(title, headers, cells[index : index + len(headers)]))
        index += len(headers)
    return "\n\n".join(_joined(block) for block in _blocks(parts, columns))


def _group(title, headers, cells):
    """Returns the lines of a group, all of the same width: title, headers, rows."""
    lines = [[] for _ in range(1 + len(cells[0]))]
    for header, column in zip(headers, cells, strict=True):
        texts = [header.removeprefix("<"), *column]
        width = max(map(len, texts))
        for line, text in zip(lines, texts, strict=True):
            line.append(text.ljust(width) if header.startswith("<") else text.rjust(width))
    lines = [_GAP.join(line).rjust(len(title)) for line in lines]
    width, rule = len(lines[0]), "-" if title else " "
    return [f" {title} ".center(width, rule)[:width] if len(title) < width else title, *lines]


def _blocks(parts, columns):
    """Returns lists of groups that fit side by side; each starts with the first group."""
    blocks = [parts[:1]]
    for part in parts[1:]:
        taken = sum(len(each[0]) + len(_GAP) for each in blocks[-1]) + len(part[0])
        if taken > columns and len(blocks[-1]) > 1:
            blocks.append(parts[:1])
        blocks[-1].append(part)
    return blocks


def _joined(parts):
    title, headers, *rows = (_GAP.join(line).rstrip() for line in zip(*parts, strict=True))
    return "\n".join([*([title] if title else []), colored(headers, "bold"), *rows])


def shortened(text: str, length: int | None) -> str:
    """Returns a text of at most `length` characters; a long one keeps its end, which says more."""
    return text if length is None or len(text) <= length else "..." + text[len(text) - length + 3 :]


def json_text(content: object) -> str:
    """Returns strict JSON. Non-finite numbers become "NaN", "Infinity" or "-Infinity", which `float` reads.

    Example:
    >>> print(json_text({"loss": float("nan"), "step": 3}))
    {
      "loss": "NaN",
      "step": 3
    }
    """
    return json.dumps(plain(content), indent=2, allow_nan=False)


def plain(content: Any) -> Any:
    """Returns lists, dictionaries and numbers in the form of `json_text`, for strict JSON."""
    if isinstance(content, dict):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [plain(value) for value in content]
    content = content.item() if hasattr(content, "item") else content  # a NumPy number
    if isinstance(content, float) and not math.isfinite(content):
        return "NaN" if math.isnan(content) else "Infinity" if content > 0 else "-Infinity"
    return content


def counted(items: Sequence, what: str) -> Iterator:
    """Yields the items; after a second, shows the progress on standard error if that is a terminal."""
    start, is_shown = time.perf_counter(), False
    try:
        for number, item in enumerate(items):
            if sys.stderr.isatty() and time.perf_counter() - start > _PROGRESS_AFTER:
                is_shown = True
                print(f"\r{what} {number + 1} of {len(items)}\x1b[K", end="", file=sys.stderr, flush=True)
            yield item
    finally:
        if is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def counted_noun(number: int, noun: str) -> str:
    """Returns "1 run", "3 runs"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: Iterable[str], max_names: int = 8) -> str:
    """Returns names separated by commas, and how many more there are.

    Example:
    >>> listed(["a", "b", "c"], max_names=2)
    'a, b and 1 more'
    """
    names = list(names)
    rest = len(names) - max_names
    return ", ".join(names) if rest <= 0 else f"{', '.join(names[:max_names])} and {rest} more"
