"""Logs of `tf.summary` or PyTorch, under any tags, brought to gradlog's names."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gradlog.history import names
from gradlog.history.history import History, Series

_PLACEHOLDER = "{variable}"
_HISTOGRAMS = (names.GRADIENT_HISTOGRAM, names.WEIGHT_HISTOGRAM, names.ACTIVATION_HISTOGRAM)


class Pattern(NamedTuple):
    """How the tags of one kind look in a log.

    Attributes:
        name: String, what gradlog calls it: a statistic, `gradient`, `weight`, or the tag of one scalar.
        text: String, the pattern as it was given.
        regex: Compiled regular expression of a whole tag; its group, if it has one, is the variable.
    """

    name: str
    text: str
    regex: re.Pattern

    @property
    def is_histogram(self) -> bool:
        """Whether it is one of histograms, not of scalars."""
        return self.name in _HISTOGRAMS


def patterns(tags: Mapping[str, str]) -> list[Pattern]:
    """Returns the patterns of a dictionary from gradlog's names to patterns of tags; those of one tag come first.

    Raises:
        TypeError: It is not a dictionary of strings.
        ValueError: a pattern lacks its placeholder, or has one that means nothing.
    """
    if not isinstance(tags, Mapping) or not all(isinstance(text, str) for item in tags.items() for text in item):
        raise TypeError(
            "`tags` says how the tags of the log look. Expected a dictionary from a statistic's name to a pattern, as "
            f"in {{'gradient_norm': 'grads/{_PLACEHOLDER}'}}. Received: tags={tags!r}"
        )
    return sorted((_pattern(name, text) for name, text in tags.items()), key=lambda pattern: pattern.regex.groups)


def _pattern(name, text):
    parts = text.split(_PLACEHOLDER)
    if re.search("[{}]", "".join(parts)) or len(parts) > 2:
        raise _error("says more than where the variable stands", f"{_PLACEHOLDER} once and no other braces", name, text)
    if not name or not text:
        raise _error("or its name is empty", "both, as in 'gradient_norm' and 'grads/{variable}'", name, text)
    if "/" in name and len(parts) == 2:
        expected = "the tag of one scalar, as the name has a slash; a statistic of every variable is named without one"
        raise _error("is one of many tags", expected, name, text)
    if "/" not in name and len(parts) == 1:
        expected = f"{_PLACEHOLDER} in it; a scalar of the whole run is named with a slash, as in 'train/loss'"
        raise _error("does not say where the variable stands", expected, name, text)
    return Pattern(name, text, re.compile("(.+)".join(map(re.escape, parts)), re.DOTALL))


def _error(what, expected, name, text):
    return ValueError(f"A pattern of `tags` {what}. Expected {expected}. Received: tags={{{name!r}: {text!r}}}")


def renamed(history: History, wanted: list[Pattern]) -> History:
    """Returns a run under gradlog's names.

    Scalars fill the columns of `statistics`. What no scalar says but a histogram does, is estimated as if all
    elements of a bucket lay in its middle, or evenly in one around zero; `notes` say so.

    Args:
        history: A `History` of any log.
        wanted: What `patterns` returned.
    """
    scalars, of_variables = _found(history.scalars, [pattern for pattern in wanted if not pattern.is_histogram])
    histograms, of_histograms = _found(history.histograms, [pattern for pattern in wanted if pattern.is_histogram])
    cells = {(variable, name): series for name, variable, series in of_variables if name not in names.LAYER_SCALARS}
    cells = _cells(history) | {key: series for key, series in cells.items() if key[0] != names.GLOBAL}
    given = set(cells)
    for name, variable, series in of_histograms:
        for statistic, numbers in _estimates(name, series):
            cells.setdefault((variable, statistic), Series(series.steps, numbers))
    estimated = dict.fromkeys(statistic for variable, statistic in cells if (variable, statistic) not in given)
    notes = [*history.notes, *_missing(history, wanted), *_note_on_estimates(estimated)]
    return replace(history, **_table(cells), scalars=scalars, histograms=histograms, notes=tuple(notes))


def _found(all_series, wanted):
    """Returns the series under gradlog's tags, and (name, variable, series) of those that belong to a variable."""
    tags, of_variables = {}, []
    for tag, series in all_series.items():
        match, pattern = _match(tag, wanted)
        if match and match.groups():
            of_variables.append((pattern.name, match[1], series))
            tag = names.tag(names.SCALAR_TAGS.get(pattern.name, pattern.name), match[1])
        elif match:
            tag = pattern.name
        tags[tag] = series
    return tags, of_variables


def _match(tag, wanted):
    for pattern in wanted:
        if match := pattern.regex.fullmatch(tag):
            return match, pattern
    return None, None


def _cells(history):
    """Returns what the table of a run holds already, as series by (variable, statistic)."""
    return {
        (variable, column): Series(history.steps, history.statistic(column, variable))
        for variable in history.variables
        for column in history.columns
    }


def _table(cells):
    """Returns the fields of a `History` that are made of series by (variable, statistic)."""
    variables, columns = (tuple(dict.fromkeys(key[place] for key in cells)) for place in (0, 1))
    steps = np.unique(np.concatenate([np.zeros(0, np.int64), *(series.steps for series in cells.values())]))
    statistics = np.full((len(steps), len(variables), len(columns)), np.nan, np.float32)
    rows, places = ({name: index for index, name in enumerate(known)} for known in (variables, columns))
    for (variable, column), series in cells.items():
        statistics[np.searchsorted(steps, series.steps), rows[variable], places[column]] = series.values
    return {"variables": variables, "columns": columns, "steps": steps, "statistics": statistics}


def _estimates(name, series):
    """Yields what histograms say of a statistic: its name and a float32 array [T]."""
    moments = np.array([_moments(rows) for rows in series.values]).reshape(-1, 3)
    with np.errstate(over="ignore"):
        moments = moments.astype(np.float32)
    if name == names.WEIGHT_HISTOGRAM:
        yield names.WEIGHT_NORM, moments[:, 1]
    if name == names.GRADIENT_HISTOGRAM:
        yield names.MEAN_ABS, moments[:, 0]
        yield names.NORM, moments[:, 1]
        if not np.all(np.isnan(moments[:, 2])):
            yield names.ZERO_FRACTION, moments[:, 2]


def _moments(rows):
    """Returns the mean absolute value, the L2 norm and the fraction of zeros that rows [k, 3] speak for, or NaN."""
    left, right, counts = np.asarray(rows, np.float64).T
    num = counts.sum()
    if not num > 0:
        return np.nan, np.nan, np.nan
    middle, is_around_zero = (left + right) / 2, (left < 0) & (right > 0)
    width = np.where(is_around_zero, right - left, 1)
    with np.errstate(all="ignore"):
        sizes = np.where(is_around_zero, (left**2 + right**2) / (2 * width), np.abs(middle))
        squares = np.where(is_around_zero, (left**2 + left * right + right**2) / 3, middle**2)
        is_zero = (left == 0) & (right == 0)
        zeros = (counts[is_zero].sum() / num) if is_zero.any() else np.nan
        return sizes @ counts / num, np.sqrt(squares @ counts), zeros


def _missing(history, wanted):
    for pattern in wanted:
        kind, tags = ("histogram", history.histograms) if pattern.is_histogram else ("scalar", history.scalars)
        if not any(pattern.regex.fullmatch(tag) for tag in tags):
            yield f"No {kind} is named like {pattern.text!r} ({pattern.name}). There are: {_some(list(tags))}."


def _some(tags):
    more = f" and {len(tags) - 3} more" if len(tags) > 3 else ""
    return (", ".join(map(repr, tags[:3])) or "none") + more


def _note_on_estimates(statistics):
    if statistics:
        yield f"Estimated from the buckets of histograms, where no scalar says them: {', '.join(statistics)}."
