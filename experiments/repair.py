"""What is a diagnosis worth? Sick networks are repaired: led by what was found, at random, and by Hyperband.

    python -m experiments.repair

Seven networks that do not learn: the sigmoid network of MNIST, both credit-card networks, and the four that suffer in
`experiments.remedies`. `gradlog.repair` finds a change and proves it with three seeds. Beside it, a random search and
Keras Tuner's Hyperband choose from the same changes, with as many trainings.

Expect: `gradlog.repair` heals all seven, among them both credit-card networks, which no rival heals; where one good
change is enough, the rivals are as quick. Of SimpleRNN nothing is found, so it takes longest.
"""

import argparse
import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import gradlog
from experiments import (
    command,
    credit_data,
    data,
    parallel,
    repair_figure,
    repair_networks,
    repair_rivals,
    repair_tables,
    runs,
)
from gradlog.repair.case import case_of
from gradlog.repair.data import data_of

LOG_DIR = "logs/repair"
STRATEGIES = ("gradlog.repair", "random search", "Hyperband")
_HEALED = 0.9  # of the way from guessing to the best score that any of the three found


@dataclass(frozen=True)
class Config:
    """What defines the experiment."""

    networks: tuple[str, ...] = repair_networks.NAMES
    trainings: int = 12
    seeds: int = 3
    epochs: int = 10  # of the digits
    credit_epochs: int = 20
    rows: int = 6000  # digits to train with
    held_out: int = 2000
    rivals: bool = True
    seed: int = 1
    data: str = "auto"
    data_dir: str | None = None
    credit_data: str = "auto"
    csv_dir: str | None = None


QUICK = {"networks": ("mnist/sigmoid",), "trainings": 5, "seeds": 2, "epochs": 4, "rows": 1000, "held_out": 400}


def build_model(config, name, digits, applicants):
    """Returns the compiled network, one of `experiments.repair_networks.NAMES`."""
    return repair_networks.build(name, config, digits, applicants).model


def run(config, log_dir, loaded=None, processes=1):
    """Repairs each network, and logs its trainings to `log_dir/<network>/<number>_<change>`.

    Returns:
        A dictionary, as it is written to `log_dir/results.json`.
    """
    digits, applicants = loaded or repair_networks.load(config)
    shared = config, str(log_dir), digits, applicants
    parts = len(config.networks) * (len(STRATEGIES) if config.rivals else 1)
    scenarios = parallel.carry_out(_repaired, list(config.networks), shared, parts, processes)
    results = {
        "experiment": "repair",
        "data": f"{digits.source}; {applicants.source}",
        "notice": " ".join(filter(None, (digits.notice, applicants.notice))) or None,
        "config": _settings(config),
        "scenarios": scenarios,
        "healed": {one: _num_healed(scenarios, one) for one in STRATEGIES if one in scenarios[0]["spent"]},
    }
    runs.write_results(log_dir, results)
    return results


def _settings(config):
    return {name: value for name, value in dataclasses.asdict(config).items() if name not in ("data_dir", "csv_dir")}


def _repaired(shared, name):
    """Returns what came of one network, for JSON."""
    config, log_dir, digits, applicants = shared
    sick, log_dir = repair_networks.build(name, config, digits, applicants), Path(log_dir) / name
    parts = {"validation_data": sick.held_out, "epochs": sick.epochs, "batch_size": sick.batch_size}
    budget = {"trainings": config.trainings, "seeds": config.seeds}
    found = gradlog.repair(sick.model, sick.x, sick.y, **parts, **budget, log_dir=log_dir, verbose=0)
    (log_dir / "report.txt").write_text(f"{found}\n")
    parallel.count()
    spent = {STRATEGIES[0]: _searched(found)}
    if config.rivals:
        case = case_of(sick.model, data_of(sick.x, sick.y, sick.held_out, sick.batch_size))
        changes = repair_rivals.space(case, sick.epochs)
        rivals = zip(STRATEGIES[1:], (repair_rivals.random_search, repair_rivals.hyperband), strict=True)
        for strategy, search in rivals:
            spent[strategy] = search(case, changes, sick.epochs, config.trainings, config.seed)
            parallel.count()
    chance = found.chance
    best = max(score for each in spent.values() for _, score in each)
    target = chance + _HEALED * (best - chance)
    report = found.to_dict()
    return {
        "scenario": name,
        "verdict": found.verdict,
        "found": [f"{one['code']} {one['name']}" for one in report["findings"] if not one["cause"]][:2],
        "code": list(found.code),
        "changes": [one.name for one in found.changes],
        "before": report["proof"]["before"] if report["proof"] else [],
        "after": report["proof"]["after"] if report["proof"] else [],
        "p_value": report["proof"]["p_value"] if report["proof"] else None,
        "trainings": report["trainings"],
        "findings_after": sorted({one["code"] for one in report["findings_after"] if one["severity"] != "note"}),
        "tried": [
            {**one, "log_dir": os.path.relpath(one["log_dir"], Path(log_dir).parents[1])}
            for one in report["tried"]
            if one["seed"] == 0
        ],
        "chance": chance,
        "target": target,
        "spent": spent,
        "trainings_to_target": {one: _reached(each, target) for one, each in spent.items()},
    }


def _searched(found):
    """Returns pairs of trainings spent and the score, of the search of a repair, without its proof."""
    ended = sorted((one for one in found.tried if one.seed == 0), key=lambda one: one.spent)
    return [(one.spent, max(one.outcome.score, 0.0)) for one in ended]


def _reached(pairs, target):
    """Returns the trainings after which a score was reached, or `None`."""
    return next((spent for spent, score in pairs if score >= target), None)


def _num_healed(scenarios, strategy):
    """Returns how many networks were healed, the mean of the trainings that these took, and those of all for each.

    Those of a network that was not healed are all that were spent on it.
    """
    reached = [row["trainings_to_target"][strategy] for row in scenarios]
    healed = [one for one in reached if one is not None]
    at_the_end = [row["spent"][strategy][-1][0] for row in scenarios]
    spent = [end if one is None else one for one, end in zip(reached, at_the_end, strict=True)]
    return {
        "networks": len(healed),
        "of": len(reached),
        "mean_trainings": sum(healed) / len(healed) if healed else None,
        "trainings_for_each": sum(spent) / len(healed) if healed else None,
    }


def table(results):
    """Returns the table of the repairs."""
    headers = ["network", "found", "change", "before", "after", "trainings"]
    rows = [
        [
            row["scenario"],
            "; ".join(one.split()[0] for one in row["found"]) or "-",
            " + ".join(row["changes"]) or row["verdict"],
            _mean(row["before"]),
            _mean(row["after"]),
            f"{row['trainings']:.1f}",
        ]
        for row in results["scenarios"]
    ]
    caption = "Accuracy on rows held out, the mean of the seeds. Trainings count those of the proof."
    return runs.table(f"Repair · {results['data']}{runs.on_engine()}", headers, rows, caption)


def rivals_table(results):
    """Returns the table of the trainings that each strategy needed, or `None` where there was one."""
    names = list(results["healed"])
    if len(names) < 2:
        return None
    rows = [
        [row["scenario"], *(_number(row["trainings_to_target"][name]) for name in names)]
        for row in results["scenarios"]
    ]
    rows += repair_tables.healed_rows(results, _number)
    caption = "Trainings to nine tenths of the way from guessing to the best accuracy that any found; - if never."
    return runs.table("Search · trainings until it is healed", ["network", *names], rows, caption)


def _mean(numbers):
    numbers = [one for one in numbers if one is not None]
    return f"{sum(numbers) / len(numbers):.3f}" if numbers else "-"


def _number(one):
    return "-" if one is None else f"{one:.1f}"


class _Loaded(tuple):
    """Digits and applicants, with what a reader of the results must know."""

    @property
    def notice(self):
        return " ".join(one.notice for one in self if one.notice)


def _parser():
    default = Config()
    parser = argparse.ArgumentParser(
        prog="python -m experiments.repair",
        description=__doc__,
        epilog="examples:\n  python -m experiments.repair --quick\n"
        "  python -m experiments.repair --networks mnist/sigmoid exploding/large_weights --no-rivals\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--logdir", default=LOG_DIR, help="directory of the runs (default: %(default)s)")
    parser.add_argument(
        "--networks", nargs="+", choices=repair_networks.NAMES, metavar="NAME", default=default.networks,
        help=f"of {', '.join(repair_networks.NAMES)} (default: all)",
    )  # fmt: skip
    numbers = {
        "trainings": (runs.at_least(4), "trainings that each strategy may spend"),
        "seeds": (runs.at_least(2), "seeds of the proof"),
        "epochs": (runs.at_least(1), "passes through the digits"),
        "credit-epochs": (runs.at_least(1), "passes through the applicants"),
        "rows": (runs.at_least(100), "digits to train with"),
        "seed": (int, "seed of the weights, and of what is drawn at random"),
    }
    runs.add_options(parser, default, numbers)
    parser.add_argument("--no-rivals", dest="rivals", action="store_false", help="without random search and Hyperband")
    text = "networks at a time, each in its own process (default: %(default)s)"
    processes = min(2, os.cpu_count() or 1)
    parser.add_argument("--processes", type=runs.at_least(1), metavar="N", default=processes, help=text)
    parser.add_argument("--quick", action="store_true", help="one network, few digits: a minute")
    data.add_options(parser)
    parser.add_argument("--credit-data", choices=credit_data.SOURCES, default="auto", help="as `--data` of credit_card")
    parser.add_argument("--csv-dir", metavar="DIR", help="directory of the credit-card table")
    return parser


def main(argv=None):
    """Runs the experiment from the command line; returns the exit code."""
    options = vars(_parser().parse_args(argv))
    log_dir, is_quick, processes = (options.pop(name) for name in ("logdir", "quick", "processes"))
    config = Config(**{**options, "networks": tuple(dict.fromkeys(options["networks"])), **(QUICK if is_quick else {})})
    if config.rivals:
        try:
            import keras_tuner  # noqa: F401
        except ImportError:
            print("error: Hyperband needs Keras Tuner: pip install keras-tuner, or --no-rivals", file=sys.stderr)
            return 2
    return command.carry_out(
        "repair",
        log_dir,
        load=lambda: _Loaded(repair_networks.load(config)),
        run=lambda log_dir, loaded: run(config, log_dir, loaded, processes),
        tables=lambda results: [table(results), rivals_table(results)],
        draw=repair_figure.draw,
    )


if __name__ == "__main__":
    sys.exit(main())
