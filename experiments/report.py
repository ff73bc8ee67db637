"""Writes the tables of `experiments/README.md` anew, from the committed results.

    python -m experiments.report

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from experiments import overhead_report, remedy_tables, repair_tables, runs, transformer_numbers
from experiments import repair_drawn as drawn

HERE = Path(__file__).parent
README = HERE / "README.md"


def results(name):
    """Returns committed results, `experiments/results/<name>.json`."""
    return json.loads((HERE / "results" / f"{name}.json").read_text())


def mnist_activations(name="mnist_activations"):
    """Returns the table of the first experiment on one engine, which stands in its corner."""
    found = results(name)
    headers = [
        f"on {runs.engine_name(found['versions'])}",
        "test accuracy",
        "first kernel, step 0",
        "last kernel, step 0",
        "last / first",
        "over the run",
        "findings",
    ]
    rows = [
        [
            row["scenario"],
            f"{row['test_accuracy']:.3f}",
            f"{row['first_kernel_at_start']:.1e}",
            f"{row['last_kernel_at_start']:.1e}",
            runs.plain(row["ratio_at_start"]),
            runs.plain(row["ratio_over_run"]),
            "; ".join(row["findings"]) or "none",
        ]
        for row in found["scenarios"]
    ]
    return _markdown(headers, rows)


def credit_card(name="credit_card"):
    """Returns the table of the credit-card networks."""
    headers = [
        "scenario",
        "epochs",
        "loss",
        "accuracy",
        "held out",
        "recall of the rejected",
        "last / first",
        "update of the first kernel",
        "findings",
    ]
    rows = [
        [
            row["scenario"],
            str(row["epochs"]),
            f"{row['train_loss']:.3f}",
            f"{row['train_accuracy']:.3f}",
            f"{row['test_accuracy']:.3f}",
            f"{row['report']['1']['recall']:.2f}",
            runs.plain(row["ratio_over_run"]),
            f"{row['first_update_ratio']:.1e}",
            runs.codes(row),
        ]
        for row in results(name)["scenarios"]
    ]
    return _markdown(headers, rows)


def remedies(family):
    """Returns the table of a family of remedies."""
    study = results("remedies")
    chosen = [row for row in study["scenarios"] if row["scenario"].startswith(f"{family}/")]
    headers = ["remedy", "what it is", *remedy_tables.headers(study)[1:]]
    rows = [
        [row["scenario"].split("/")[1], row["remedy"], *numbers[1:]]
        for row, numbers in zip(chosen, remedy_tables.rows({"scenarios": chosen}), strict=True)
    ]
    return _markdown(headers, rows)


def repair():
    """Returns the tables of the repairs, and of the trainings that each strategy needed."""
    found = results("repair")
    headers = ["network", "found", "change", "before", "after", "p", "trainings, with the proof", "findings after"]
    rows = [
        [
            row["scenario"],
            "; ".join(row["found"]) or "-",
            " + ".join(row["changes"]) or row["verdict"],
            *(f"{sum(row[when]) / len(row[when]):.3f}" if row[when] else "-" for when in ("before", "after")),
            "-" if row["p_value"] is None else f"{row['p_value']:.3g}",
            f"{row['trainings']:.1f}",
            " ".join(row["findings_after"]) or "none",
        ]
        for row in found["scenarios"]
    ]
    names = list(found["healed"])
    needed = [
        [row["scenario"], *(runs.plain(row["trainings_to_target"][name]) for name in names)]
        for row in found["scenarios"]
    ]
    needed += repair_tables.healed_rows(found, runs.plain)
    return f"{_markdown(headers, rows)}\n\n{_markdown(['trainings until healed', *names], needed)}"


def repair_drawn():
    """Returns the table of the networks that were drawn, a row for each group of faults."""
    found = results("repair_drawn")
    names = [getattr(drawn, name) for name in ("HEALED", "BETTER", "NOT_HEALED", "NOT_SICK")]
    rows = []
    for group in dict.fromkeys(group for group, _, _ in drawn.by_fault(found["scenarios"])):
        faults = {fault for one, fault, _ in drawn.by_fault(found["scenarios"]) if one == group}
        of_it = [row["outcome"] for row in found["scenarios"] if faults & set(row["faults"])]
        rows.append([group, *(str(of_it.count(name)) for name in names)])
    outcomes = [row["outcome"] for row in found["scenarios"]]
    rows.append(["all networks", *(str(outcomes.count(name)) for name in names)])
    return _markdown(["a fault of", *names], rows)


def transformers():
    """Returns the table of the language models."""
    return _markdown(transformer_numbers.HEADERS, transformer_numbers.rows(results("transformers")))


TABLES = {
    "transformers": transformers,
    "repair": repair,
    "repair_drawn": repair_drawn,
    "mnist_activations": mnist_activations,
    "mnist_activations_jax": lambda: mnist_activations("mnist_activations_jax"),
    "mnist_activations_torch": lambda: mnist_activations("mnist_activations_torch"),
    "credit_card": credit_card,
    "credit_card_split_first": lambda: credit_card("credit_card_split_first"),
    "remedies_vanishing": lambda: remedies("vanishing"),
    "remedies_initialization": lambda: remedies("initialization"),
    "remedies_exploding": lambda: remedies("exploding"),
    "remedies_recurrent": lambda: remedies("recurrent"),
    "overhead_engines": lambda: overhead_report.engines(
        {"JAX": results("overhead_jax"), "PyTorch": results("overhead_torch")}
    ),
    "overhead": lambda: overhead_report.markdown(results("overhead")),
}


def rendered(text):
    """Returns a text with every table in it made anew."""
    for name, table in TABLES.items():
        pattern = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = pattern.sub(lambda match, table=table: f"{match[1]}{table()}\n{match[2]}", text)
    return text


def _markdown(headers, rows):
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main(argv=None):
    """Runs the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.report",
        description=__doc__,
        epilog="example:\n  python -m experiments.report\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(argv)
    README.write_text(rendered(README.read_text()))
    print(f"Wrote {README}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
