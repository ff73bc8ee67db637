"""The page of each rule: what it says is what the rule's file says, in the terminal, in Markdown and in the tab."""

import dataclasses
import inspect
import json
from pathlib import Path

import labelled_tables
import pytest

import gradlog
from gradlog.commands import cli
from gradlog.diagnosis.checks.table import CHECKS
from gradlog.diagnosis.pages import codes, page
from gradlog.diagnosis.rules.table import RULES

ALL = (*RULES, *CHECKS)


@pytest.mark.parametrize("one", ALL, ids=[one.code for one in ALL])
def test_a_page_is_whole(one):
    found = page(one.code)
    source = " ".join(inspect.getsource(inspect.getmodule(one)).split())

    assert (found.code, found.name) == (one.code, one.name)
    assert all(text[0].isupper() and text.endswith(".") for text in (found.summary, *found.why, *found.finds))
    assert all(text[1:] in source for text in (found.summary, *found.why))
    thresholds = {each.name: each.default for each in found.thresholds}
    assert thresholds == {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
    assert all(each.meaning.endswith(".") for each in found.thresholds)
    assert found.remedies
    assert len(set(found.remedies)) == len(found.remedies)
    for text in (found.summary, *found.why, *found.finds, *found.remedies):
        assert text in found.markdown()


def test_codes_are_those_of_all_rules_and_checks_in_order():
    assert list(codes()) == [one.code for one in ALL] == sorted(one.code for one in ALL)


def test_every_page_has_a_small_picture_and_no_picture_is_left_over():
    pictures = {path.stem: path.stat().st_size for path in (Path(__file__).parents[1] / "docs" / "rules").iterdir()}

    assert sorted(pictures) == sorted(codes())
    assert max(pictures.values()) < 80_000


def test_every_remedy_that_is_told_is_on_the_page_of_its_rule():
    """Of all labelled networks; those of GL505 have the loss's own name in them."""
    runs, _ = labelled_tables.read()
    told = {
        (one.code, remedy) for each in runs.values() for one in gradlog.diagnose(each[0]) for remedy in one.remedies
    }

    assert len({code for code, _ in told}) > 8
    assert {(code, text) for code, text in told if code != "GL505" and text not in page(code).remedies} == set()


def test_the_terminal_shows_the_page(capsys):
    assert cli.main(["rule", "gl303"]) == 0

    printed = capsys.readouterr().out
    assert printed.startswith("GL303 weights collapsing to zero\n\nThe weights of a layer collapse to zero.\n\nWhy\n")
    assert "fraction = 0.01: Fraction of the largest norm so far" in printed
    assert "1. Reduce the weight decay or the regularization, by a factor of ten to start with.\n2. " in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_without_a_code_all_are_listed(capsys):
    assert cli.main(["rule"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[: len(ALL)] == [f"{one.code}  {one.name}" for one in ALL]


def test_json_has_what_the_page_has(capsys):
    assert cli.main(["rule", "GL303", "--json"]) == 0

    written = json.loads(capsys.readouterr().out)
    assert written["thresholds"][0][:2] == ["fraction", 0.01]
    assert tuple(written["remedies"]) == page("GL303").remedies


def test_an_unknown_code_is_one_clear_line(capsys):
    assert cli.main(["rule", "GL33"]) == 2

    error = capsys.readouterr().err
    assert error == "error: unknown rule 'GL33'; did you mean GL303? `gradlog rule` lists all rules\n"


def test_every_finding_ends_with_the_command():
    finding = gradlog.Finding("GL303", "a", "alarm", (), 0, None, 1, 1, "It is so.", ("Do this.",))

    assert str(finding).splitlines()[-1] == "  More: gradlog rule GL303"
    assert "gradlog rule" not in str(dataclasses.replace(finding, code="MY01"))
