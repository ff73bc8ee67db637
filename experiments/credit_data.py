"""The credit-card table: from files, else fetched once, else scikit-learn's breast-cancer table."""

import os
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer

from experiments.data import DataError, expect_answer

SOURCES = ("auto", "files", "embedded")
TABLE, LABELS = "Credit_card.csv", "Credit_card_label.csv"
KEY, LABEL = "Ind_ID", "label"
CATEGORICAL = (
    "GENDER",
    "Car_Owner",
    "Propert_Owner",
    "Type_Income",
    "EDUCATION",
    "Marital_status",
    "Housing_type",
    "Mobile_phone",
    "Work_Phone",
    "Phone",
    "EMAIL_ID",
    "Type_Occupation",
)
NUMBERS = ("CHILDREN", "Family_Members", "Annual_income")
DAYS = ("Birthday_count", "Employed_days")  # up to today: past days are negative
_ADDRESS = "https://media.geeksforgeeks.org/wp-content/uploads/20250402171822919100/credit-card-dataset.zip"
_ROWS, _COLUMNS, _REJECTED = 1548, 18, 175  # of the article's table
_REMEDY = "Name a directory that holds it with --csv-dir, or use the table that is installed with --data embedded"


@dataclass(frozen=True)
class Applicants:
    """People, each a row of numbers, and whether each was rejected.

    Attributes:
        x: DataFrame [n, d] of numbers.
        y: Integer array [n] of labels 0 and 1.
        source: String that says which table this is.
        notice: String, `None` for the credit-card table; else what a reader of results must know.
    """

    x: pd.DataFrame
    y: np.ndarray
    source: str
    notice: str | None = None


def add_options(parser):
    """Adds `--data` and `--csv-dir` to a parser."""
    sources = "files: the credit-card table; embedded: scikit-learn's breast-cancer table; auto: the first there is"
    parser.add_argument("--data", choices=SOURCES, default="auto", help=f"{sources} (default: %(default)s)")
    parser.add_argument(
        "--csv-dir",
        metavar="DIR",
        help=f"directory of {TABLE} and {LABELS} (default: fetched once)",
    )


def load(source="auto", csv_dir=None):
    """Loads the credit-card table.

    Args:
        source: `"files"` for the two CSV files, of `csv_dir` or fetched once from the article's address, `"embedded"`
            for scikit-learn's breast-cancer table, `"auto"` for the first that can be had. Defaults to `"auto"`.
        csv_dir: Directory of the two files. If it is given, no other source is tried. Defaults to none.

    Raises:
        DataError: the files cannot be had, or are not what they should be.
    """
    if source == "embedded":
        return _embedded("it was asked for")
    if csv_dir is not None:
        return _applicants(Path(csv_dir))
    try:
        return _fetched()
    except DataError as error:
        if source == "files":
            raise DataError(f"{error}. {_REMEDY}.") from error
        return _embedded(str(error))


def _fetched():
    folder = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "datasets" / "credit_card"
    if not all(any(folder.rglob(name)) for name in (TABLE, LABELS)):
        expect_answer(_ADDRESS, "the credit-card table is not here")
        try:
            keras.utils.get_file("table.zip", _ADDRESS, extract=True, cache_dir=folder.parent, cache_subdir=folder.name)
        except Exception as error:  # whatever a download raises, the remedy is the same
            raise DataError(
                f"the download of the credit-card table failed ({type(error).__name__}: {error})"
            ) from error
    found = next(folder.rglob(TABLE), None)
    if found is None:
        raise DataError(f"what was downloaded from {_ADDRESS} holds no {TABLE}")
    applicants = _applicants(found.parent)
    facts = len(applicants.y), int(applicants.y.sum())
    if facts != (_ROWS, _REJECTED):
        raise DataError(
            f"what was downloaded from {_ADDRESS} is another table: expected {_ROWS:,} rows, {_REJECTED} of them with "
            f"label 1, found {facts[0]:,} and {facts[1]}"
        )
    return applicants


def _applicants(folder):
    table = _read(folder / TABLE, [KEY, *CATEGORICAL, *NUMBERS, *DAYS])
    labels = _read(folder / LABELS, [KEY, LABEL])
    _check_labels(folder, table, labels)
    y = labels.set_index(KEY)[LABEL].loc[table[KEY]].to_numpy(np.int64)
    return Applicants(_numbers(folder / TABLE, table), y, f"credit-card applications, {len(y):,} people")


def _read(path, columns):
    try:
        frame = pd.read_csv(path)
    except FileNotFoundError as error:
        raise DataError(f"{path} is not there. Expected the files {TABLE} and {LABELS}") from error
    except (OSError, UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise DataError(f"{path} cannot be read as CSV: {str(error).strip()}") from error
    _check_end(path)
    missing = [column for column in columns if column not in frame]
    if missing:
        found = ", ".join(map(str, frame.columns))
        raise DataError(f"{path} lacks the column {', '.join(missing)}. It has: {found}")
    if frame.empty:
        raise DataError(f"{path} has a header and no rows")
    if frame[KEY].isna().any() or frame[KEY].duplicated().any():
        raise DataError(f"{path}: the column {KEY} must name every person once")
    return frame


def _check_end(path):
    """Raises if the last row has fewer fields than the header: pandas would read the missing ones as gaps."""
    lines = path.read_text().splitlines()
    first, last = lines[0], lines[-1]
    if last.count(",") < first.count(","):
        raise DataError(f"{path} ends in the middle of a row. Found: {last!r}")


def _check_labels(folder, table, labels):
    path = folder / LABELS
    for one, other, what in (
        (table, labels, f"no label in {path.name}"),
        (labels, table, f"a label but no row in {TABLE}"),
    ):
        alone = set(one[KEY]) - set(other[KEY])
        if alone:
            some = ", ".join(map(str, sorted(alone)[:3]))
            raise DataError(f"{path}: the files do not match: {len(alone):,} people have {what}, such as {KEY} {some}")
    unknown = sorted(set(labels[LABEL].dropna().unique()) - {0, 1})
    if unknown or labels[LABEL].isna().any():
        raise DataError(f"{path}: the column {LABEL} must hold 0 or 1. Found: {', '.join(map(str, unknown)) or 'gaps'}")
    if labels.set_index(KEY)[LABEL].loc[table[KEY]].nunique() < 2:
        raise DataError(f"{path}: the column {LABEL} holds a single value, so there is nothing to tell apart")


def _numbers(path, table):
    """Returns the article's 18 columns: codes for categories, years of age, days with and without work."""
    for column in (*NUMBERS, *DAYS):
        wrong = pd.to_numeric(table[column], errors="coerce").isna() & table[column].notna()
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise DataError(f"{path}, row {row + 2}: {column} must be a number. Found: {table[column].iloc[row]!r}")
    gaps = [column for column in (*CATEGORICAL, *NUMBERS, *DAYS) if table[column].isna().all()]
    if gaps:
        raise DataError(f"{path}: the column {', '.join(gaps)} is empty")
    filled = table.fillna(table.mode().iloc[0])
    days = filled[list(DAYS)].astype(float)
    codes = {column: filled[column].astype("category").cat.codes for column in CATEGORICAL}
    worked = days["Employed_days"].clip(upper=0).abs()
    return pd.DataFrame(
        {
            **codes,
            **{column: filled[column].astype(float) for column in NUMBERS},
            "Age": -days["Birthday_count"] // 365,
            "EmployedDaysOnly": worked,
            "UnemployedDaysOnly": days["Employed_days"].clip(lower=0),
        }
    )


def _embedded(reason):
    bunch = load_breast_cancer(as_frame=True)
    notice = f"This is scikit-learn's breast-cancer table, not the credit-card table: {reason}."
    source = f"breast-cancer table, {len(bunch.target):,} people"
    return Applicants(bunch.data, bunch.target.to_numpy(np.int64), source, notice)
