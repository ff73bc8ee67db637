"""Frames: a `History` as one long table for pandas."""

import numpy as np

from gradlog import names

_COLUMNS = ("step", "variable", "statistic", "value")
_EMPTY = (np.zeros(0, np.int64), np.zeros(0, object), np.zeros(0, object), np.zeros(0, np.float32))


def dataframe(history):
    """Returns what `History.to_dataframe` does."""
    pandas = _pandas()
    parts = [_EMPTY, *_statistics(history), *_scalars(history)]
    return pandas.DataFrame(
        {name: np.concatenate(arrays) for name, arrays in zip(_COLUMNS, zip(*parts, strict=True), strict=True)}
    )


def _pandas():
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "A table of a run is made with pandas, which is not installed. Install it with `pip install pandas`."
        ) from error
    return pandas


def _statistics(history):
    num_steps, num_variables, num_columns = history.statistics.shape
    if history.statistics.size:
        yield (
            np.repeat(np.asarray(history.steps), num_variables * num_columns),
            np.tile(np.repeat(np.array(history.variables, object), num_columns), num_steps),
            np.tile(np.array(history.columns, object), num_steps * num_variables),
            history.statistics.ravel(),
        )


def _scalars(history):
    known = _tags_in_the_table(history)
    for tag, series in history.scalars.items():
        if tag in known:
            continue
        prefix, _, layer = tag.partition("/")
        variable, statistic = (layer, prefix) if prefix in names.LAYER_SCALARS and layer else ("", tag)
        yield (
            np.asarray(series.steps),
            np.full(len(series.steps), variable, object),
            np.full(len(series.steps), statistic, object),
            np.asarray(series.values, np.float32),
        )


def _tags_in_the_table(history):
    """Returns the tags of the scalars that are columns of `statistics`, too."""
    prefixes = [names.SCALAR_TAGS[column] for column in history.columns if column in names.SCALAR_TAGS]
    return {names.tag(prefix, variable) for prefix in prefixes for variable in history.variables}
