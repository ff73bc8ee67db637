"""All numbers of a run as one long table, in NumPy or pandas."""

from typing import TYPE_CHECKING

import numpy as np

from gradlog.history import names

if TYPE_CHECKING:
    import pandas

COLUMNS = ("step", "variable", "statistic", "value")


def long_table(history) -> dict[str, np.ndarray]:
    """Returns all numbers of a `History`: equally long arrays `step`, `variable`, `statistic` and `value`.

    Statistics come first, by step; then the scalars, by tag, with no variable or, where they are of a layer, with the
    layer as the variable. What was not logged, as a variable's gradient while it is frozen, has no row.
    """
    times, rows, columns = np.nonzero(~np.isnan(history.statistics))
    variables, statistics = (np.array(texts, object) for texts in (history.variables, history.columns))
    values = history.statistics[times, rows, columns]
    parts = [(np.asarray(history.steps)[times], variables[rows], statistics[columns], values)]
    parts += [_of_scalar(tag, series) for tag, series in single_scalars(history).items()]
    return {name: np.concatenate(arrays) for name, arrays in zip(COLUMNS, zip(*parts, strict=True), strict=True)}


def dataframe(history) -> "pandas.DataFrame":
    """Returns what `History.to_dataframe` does."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "A table of a run is made with pandas, which is not installed. Install it with `pip install pandas`."
        ) from error
    return pandas.DataFrame(long_table(history))


def _of_scalar(tag, series):
    prefix, _, layer = tag.partition("/")
    variable, statistic = (layer, prefix) if prefix in names.LAYER_SCALARS and layer else ("", tag)
    texts = (np.full(len(series.steps), text, object) for text in (variable, statistic))
    return np.asarray(series.steps), *texts, np.asarray(series.values, np.float32)


def single_scalars(history) -> dict:
    """Returns the scalars of a `History` that do not also stand in its `statistics`, at all of their steps.

    An event file holds the statistics twice, so that TensorBoard's tab Scalars shows them.
    """
    columns = {names.SCALAR_TAGS.get(name): index for index, name in enumerate(history.columns)}
    rows = {name: index for index, name in enumerate(history.variables)}

    def is_double(tag, series):
        prefix, _, variable = tag.partition("/")
        if prefix not in columns or variable not in rows:
            return False
        is_known = ~np.isnan(history.statistics[:, rows[variable], columns[prefix]])
        return bool(np.isin(series.steps, history.steps[is_known]).all())

    return {tag: series for tag, series in history.scalars.items() if not is_double(tag, series)}
