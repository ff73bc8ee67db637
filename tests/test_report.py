"""The tables of `experiments/README.md` are those that its command makes of the committed results."""

from experiments import report


def test_the_tables_are_made_from_the_committed_results():
    text = report.README.read_text()

    assert report.rendered(text) == text
    for name in report.TABLES:
        assert f"<!-- table: {name} -->\n|" in text


def test_every_experiment_is_in_the_table():
    text = report.README.read_text()
    experiments = {path.stem for path in report.HERE.glob("*.py") if '__name__ == "__main__"' in path.read_text()}

    for name in experiments - {"overhead_reading", "overhead_tensor"}:
        assert f"`python -m experiments.{name}`" in text
