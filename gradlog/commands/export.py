"""Export: writes runs as long tables for other programs, in CSV, Parquet or JSON.

The table has one row per number: run, step, variable, statistic, value. For numbers without a variable, such as
`train/loss`, the variable is empty and the statistic is the tag. Histograms have one row per bucket: run, step, tag,
left, right, count. Values are float32, as logged, written with as few digits as identify them.
"""

import contextlib
import csv
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from gradlog.commands import console, selection
from gradlog.history import frames
from gradlog.history.history import History, Series

ENDINGS = (".csv", ".json", ".parquet")
TABLE = ("run", *frames.COLUMNS)
HISTOGRAMS = ("run", "step", "tag", "left", "right", "count")


def check(path: str | os.PathLike) -> None:
    """Checks, before anything is read, that a table can be written.

    Raises:
        CommandError: If the file's extension is unknown, its directory is missing, or PyArrow is needed but missing.
    """
    selection.check_output(path, ENDINGS)
    if Path(path).suffix.lower() == ".parquet":
        selection.check_installed("pyarrow", "export")


def histogram(series: Series, tag: str) -> dict[str, np.ndarray]:
    """Returns one tag's histograms as arrays of equal length: `step`, `tag`, `left`, `right` and `count`."""
    buckets = [np.asarray(rows, np.float64).reshape(-1, 3) for rows in series.values]
    steps = np.repeat(series.steps, [len(rows) for rows in buckets])
    left, right, count = np.concatenate(buckets).T
    columns = (steps, np.full(len(steps), tag, object), left, right, np.rint(count).astype(np.int64))
    return dict(zip(HISTOGRAMS[1:], columns, strict=True))


def save(runs: dict[str, History], path: str | os.PathLike) -> dict:
    """Writes runs, a dictionary by name, in the format of the file's extension: CSV, Parquet or JSON.

    JSON has both tables. Otherwise histograms, if any, go to a second file: `a-histograms.csv` next to `a.csv`. An
    existing file stays intact until the new one is complete.

    Returns:
        A dictionary for `--json`: `runs`, their names, and `files`, each a dictionary of `file`, `what` and `rows`.

    Raises:
        CommandError: If there are no numbers, or a file cannot be written.
    """
    path = Path(path)
    if not any(history.statistics.size or history.scalars or history.histograms for history in runs.values()):
        raise selection.CommandError(f"nothing to export, since no run has numbers: {console.listed(runs)}")
    saved = _save_json(runs, path) if path.suffix.lower() == ".json" else _save_files(runs, path)
    files = [{"file": os.fspath(file), "what": what, "rows": rows} for file, what, rows in saved]
    return {"runs": list(runs), "files": files}


def _tables(runs):
    for name, history in runs.items():
        yield name, frames.long_table(history)


def _histograms(runs):
    parts = [(name, *item) for name, history in runs.items() for item in history.histograms.items()]
    for name, tag, series in console.counted(parts, "writing histograms of tag"):
        yield name, histogram(series, tag)


def _save_files(runs, path):
    write = _write_csv if path.suffix.lower() == ".csv" else _write_parquet
    with _replacing(path) as part:
        num_rows = write(part, TABLE, _tables(runs))
    saved = [(path, "numbers", num_rows)]
    if any(history.histograms for history in runs.values()):
        beside = path.with_name(f"{path.stem}-histograms{path.suffix}")
        with _replacing(beside) as part:
            saved.append((beside, "histograms", write(part, HISTOGRAMS, _histograms(runs))))
    return saved


@contextlib.contextmanager
def _replacing(path):
    """Yields a path to write to; it replaces `path` once everything is written, and is deleted on failure."""
    with selection.writing(path):
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        try:
            yield part
            os.chmod(part, 0o666 & ~_umask())
            os.replace(part, path)
        except BaseException:
            os.unlink(part)
            raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write_csv(path, header, tables):
    number = 0
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for run, columns in tables:
            lists = [_written(column) for column in columns.values()]
            writer.writerows((run, *cells) for cells in zip(*lists, strict=True))
            number += len(lists[0])
    return number


def _written(column):
    """Returns a column as a list; float32 numbers become the shortest texts that identify them."""
    return column.astype(str).tolist() if column.dtype == np.float32 else column.tolist()


def _write_parquet(path, header, tables):
    import pyarrow
    from pyarrow import parquet

    kinds = dict.fromkeys(header, pyarrow.string()) | {"step": pyarrow.int64(), "value": pyarrow.float32()}
    kinds |= {"left": pyarrow.float64(), "right": pyarrow.float64(), "count": pyarrow.int64()}
    schema, number = pyarrow.schema([(name, kinds[name]) for name in header]), 0
    with parquet.ParquetWriter(path, schema) as writer:
        for run, columns in tables:
            size = len(columns["step"])
            writer.write_table(pyarrow.table({"run": pyarrow.repeat(run, size), **columns}, schema=schema))
            number += size
    return number


def _save_json(runs, path):
    with _replacing(path) as part, open(part, "w", encoding="utf-8") as file:
        file.write('{"numbers": ')
        numbers = _write_json(file, TABLE, _tables(runs))
        file.write(',\n"histograms": ')
        buckets = _write_json(file, HISTOGRAMS, _histograms(runs))
        file.write("}\n")
    return [(path, "numbers", numbers), (path, "histograms", buckets)]


def _write_json(file, header, tables):
    """Writes a table as `columns` and `data`, a list of rows, for `pandas.DataFrame(**content)`."""
    file.write(f'{{"columns": {json.dumps(header)}, "data": [')
    number = 0
    for run, columns in tables:
        lists = [_json_numbers(column) for column in columns.values()]
        rows = json.dumps([(run, *cells) for cells in zip(*lists, strict=True)], allow_nan=False)[1:-1]
        file.write(("," if number and lists[0] else "") + "\n" + rows)
        number += len(lists[0])
    file.write("]}")
    return number


def _json_numbers(column):
    """Returns a column as a list; non-finite numbers become texts, as in `console.json_text`."""
    if column.dtype != np.float32:
        return column.tolist()
    numbers = [float(text) for text in column.astype(str)]
    return numbers if np.isfinite(column).all() else console.plain(numbers)
