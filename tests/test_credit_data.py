"""The credit-card table: what is made of it, and what is said of files that are not what they should be."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import credit_data, data

REAL = Path(__file__).parents[2] / "shared" / "data" / "credit_card"


def table(number=40):
    """A table of the article's form, of people who do not exist."""
    index = np.arange(number)
    columns = {name: np.where(index % 3 == 0, "A", "B") for name in credit_data.CATEGORICAL}
    columns |= dict.fromkeys(credit_data.NUMBERS, index % 5)
    days = {"Birthday_count": -(20 + index) * 365 - 100, "Employed_days": np.where(index % 4 == 0, 365243, -index)}
    return pd.DataFrame({"Ind_ID": 100 + index, **columns, **days})


def labels(number=40):
    return pd.DataFrame({"Ind_ID": 100 + np.arange(number), "label": (np.arange(number) % 8 == 0).astype(int)})


def write(folder, people=None, answers=None):
    (table() if people is None else people).to_csv(folder / credit_data.TABLE, index=False)
    (labels() if answers is None else answers).to_csv(folder / credit_data.LABELS, index=False)
    return folder


def test_the_columns_are_the_articles(tmp_path):
    people = table()
    people.loc[3, "GENDER"] = np.nan
    people.loc[5, "Annual_income"] = np.nan

    applicants = credit_data.load("files", write(tmp_path, people))

    assert applicants.notice is None
    assert list(applicants.x) == [
        *credit_data.CATEGORICAL,
        *credit_data.NUMBERS,
        "Age",
        "EmployedDaysOnly",
        "UnemployedDaysOnly",
    ]
    assert applicants.x["GENDER"].tolist()[:6] == [0, 1, 1, 1, 1, 1]  # A is 0; the gap holds the mode, B
    assert applicants.x["Annual_income"][5] == 1  # of 1 to 4, as frequent as each other, the least
    assert applicants.x["Age"].tolist()[:3] == [20, 21, 22]
    assert applicants.x["EmployedDaysOnly"].tolist()[:5] == [0, 1, 2, 3, 0]
    assert applicants.x["UnemployedDaysOnly"].tolist()[:5] == [365243, 0, 0, 0, 365243]
    assert applicants.y.tolist() == labels()["label"].tolist()


def test_labels_are_found_by_person_and_not_by_row(tmp_path):
    shuffled = labels().sample(frac=1, random_state=0)

    assert credit_data.load("files", write(tmp_path, answers=shuffled)).y.tolist() == labels()["label"].tolist()


@pytest.mark.parametrize(
    ("people", "answers", "message"),
    [
        (table().drop(columns="EDUCATION"), None, r"Credit_card\.csv lacks the column EDUCATION\. It has: Ind_ID"),
        (None, labels().rename(columns={"label": "target"}), r"Credit_card_label\.csv lacks the column label"),
        (None, labels().iloc[:-2], r"label\.csv: the files do not match: 2 people have no label .* Ind_ID 138, 139"),
        (table().iloc[:-1], None, r"do not match: 1 people have a label but no row in Credit_card\.csv.* 139"),
        (None, labels().assign(label=3), r"the column label must hold 0 or 1\. Found: 3"),
        (None, labels().assign(label=1), r"the column label holds a single value"),
        (table().astype({"Annual_income": object}).replace({"Annual_income": {3: "much"}}), None, r"row 5: Annual_inc"),
        (pd.concat([table(), table().iloc[:1]]), None, r"the column Ind_ID must name every person once"),
        (table().iloc[:0], None, r"Credit_card\.csv has a header and no rows"),
        (table().assign(CHILDREN=np.nan), None, r"the column CHILDREN is empty"),
    ],
)
def test_wrong_tables_are_told_by_file_and_column(tmp_path, people, answers, message):
    with pytest.raises(data.DataError, match=message):
        credit_data.load("auto", write(tmp_path, people, answers))


def test_missing_empty_and_truncated_files(tmp_path):
    with pytest.raises(data.DataError, match=r"Credit_card\.csv is not there"):
        credit_data.load("auto", tmp_path)
    write(tmp_path)
    path = tmp_path / credit_data.TABLE
    path.write_text(path.read_text()[:-40])
    with pytest.raises(data.DataError, match=r"Credit_card\.csv ends in the middle of a row"):
        credit_data.load("auto", tmp_path)
    path.write_text("")
    with pytest.raises(data.DataError, match=r"Credit_card\.csv cannot be read as CSV"):
        credit_data.load("auto", tmp_path)


def test_the_embedded_table_says_what_it_is(monkeypatch, tmp_path):
    def no_answer(*args, **kwargs):
        raise data.DataError("the credit-card table is not here, and the host does not answer")

    monkeypatch.setattr(credit_data, "expect_answer", no_answer)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    applicants = credit_data.load("auto")

    assert applicants.source == "breast-cancer table, 569 people"
    assert "not the credit-card table: the credit-card table is not here" in applicants.notice
    with pytest.raises(data.DataError, match=r"does not answer.*--csv-dir.*--data embedded"):
        credit_data.load("files")


@pytest.mark.skipif(not REAL.exists(), reason="the real credit-card table is not here")
def test_the_real_table():
    applicants = credit_data.load("files", REAL)

    assert applicants.x.shape == (1548, 18)
    assert applicants.y.sum() == 175
    assert not applicants.x.isna().any().any()
