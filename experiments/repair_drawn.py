"""How many networks does `gradlog.repair` heal that nobody chose? Networks and their faults are drawn at random.

    python -m experiments.repair_drawn

Each is a dense, convolutional or recurrent network for one of 13 tasks, with one or two of 45 faults: of depth,
activations, initial weights, optimizer, regularization, output, loss or data. The same network without its faults says
what can be reached. A network is healed if it comes nine tenths of the way from guessing to there, on rows held out, in
the mean of the seeds of the proof; one that comes there in spite of its faults is not sick, and does not count.

Expect: with 6 trainings each, nine in ten of the sick are healed.
"""

import argparse
import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

import gradlog
from experiments import command, drawn_figure, drawn_networks, parallel, runs
from gradlog.repair.repair import REPAIRED
from gradlog.repair.task import task_of

LOG_DIR = "logs/repair_drawn"
HEALED, BETTER, NOT_HEALED, NOT_SICK, NOT_LEARNED = "healed", "better", "not healed", "not sick", "cannot be learned"
_HEALED = 0.9  # of the way from guessing to what the network reaches without its faults


@dataclass(frozen=True)
class Config:
    """What defines the experiment."""

    number: int = 150
    first: int = 2000  # the networks before these were looked at while the search was written
    trainings: int = 6
    seeds: int = 2


QUICK = {"number": 2}


def run(config, log_dir, loaded=None, processes=1):
    """Draws networks, and repairs each; the reports go to `log_dir/<network>.txt`.

    Returns:
        A dictionary, as it is written to `log_dir/results.json`.
    """
    Path(log_dir).mkdir(parents=True, exist_ok=True)
    jobs = list(range(config.first, config.first + config.number))
    scenarios = parallel.carry_out(_repaired, jobs, (config, str(log_dir)), config.number, processes)
    results = {
        "experiment": "repair_drawn",
        "data": "networks drawn at random",
        "config": dataclasses.asdict(config),
        "scenarios": scenarios,
        "healed": summary(scenarios),
    }
    runs.write_results(log_dir, results)
    return results


def summary(scenarios):
    """Returns how many of the sick networks were healed, and with how many trainings: a dictionary."""
    sick = [row for row in scenarios if row["outcome"] in (HEALED, BETTER, NOT_HEALED)]
    healed = [row for row in sick if row["outcome"] == HEALED]
    return {
        "networks": len(healed),
        "of": len(sick),
        "better": sum(row["outcome"] == BETTER for row in sick),
        "mean_trainings": float(np.mean([row["trainings"] for row in healed])) if healed else None,
        "not_sick": sum(row["outcome"] == NOT_SICK for row in scenarios),
        "cannot_be_learned": sum(row["outcome"] == NOT_LEARNED for row in scenarios),
    }


def _repaired(shared, number):
    """Returns what came of one network, for JSON."""
    config, log_dir = shared
    keras.backend.clear_session()
    healthy, faults, sick = drawn_networks.draw(number)
    chance, best = _reached(healthy, number)
    keras.utils.set_random_seed(number)
    (x, y), held_out = drawn_networks.data_of(sick)
    found = gradlog.repair(
        drawn_networks.build(sick), x, y, validation_data=held_out, epochs=sick.epochs, batch_size=sick.batch_size,
        trainings=config.trainings, seeds=config.seeds, verbose=0,
    )  # fmt: skip
    (Path(log_dir) / f"{number}.txt").write_text(f"{healthy}, with {', '.join(faults)}\n\n{found}\n")
    parallel.count()
    before = found.tried[0].outcome.score
    scores = found.proof.after if found.verdict == REPAIRED else (before,)
    has_its_task = found.score_name == _task(healthy, drawn_networks.data_of(healthy)[0][1]).score_name
    return {
        "scenario": str(number),
        "network": str(healthy),
        "faults": faults,
        "verdict": found.verdict,
        "changes": [one.name for one in found.changes],
        "chance": chance,
        "healthy": best,
        "before": _finite(before),
        "after": _finite(float(np.mean(scores))),
        "trainings": found.spent,
        "outcome": outcome(chance, best, before, float(np.mean(scores)), found.verdict, has_its_task),
    }


def outcome(chance, healthy, before, after, verdict, has_its_task=True):
    """Returns what a repair came to.

    Args:
        chance: Number, the score of guessing.
        healthy: Number, that of the network without its faults.
        before: Number, that of the sick network.
        after: Number, that of the network that was handed over.
        verdict: String, of the `Repair`.
        has_its_task: Boolean, whether scores before and after are of the same kind as that of the healthy network; they
            are not where a class number was to be predicted as a number. Then it is not healed.
    """
    if healthy < chance + (1 - chance) / 2:
        return NOT_LEARNED
    target = chance + _HEALED * (healthy - chance)
    if has_its_task and before >= target and after >= target:
        return NOT_SICK
    if has_its_task and after >= target:
        return HEALED
    return BETTER if verdict == REPAIRED else NOT_HEALED


def _reached(healthy, number):
    """Returns the score of guessing, and of a network without faults after a training."""
    keras.utils.set_random_seed(number)
    model = drawn_networks.build(healthy)
    (x, y), (held_out, targets) = drawn_networks.data_of(healthy)
    model.fit(x, y, batch_size=healthy.batch_size, epochs=healthy.epochs, verbose=0)
    task = _task(healthy, y)
    return float(task.chance), task.score(model.predict(held_out, verbose=0), targets)


def _task(recipe, y):
    return task_of(recipe.loss, recipe.units_out, y)


def _finite(number):
    return number if np.isfinite(number) else None


def by_fault(scenarios):
    """Returns rows of a group of faults, one of its faults, and how many networks with it came to each outcome."""
    from experiments.drawn_faults import FAULTS

    rows = []
    for group, faults in FAULTS.items():
        for fault in faults:
            of_it = [row["outcome"] for row in scenarios if fault in row["faults"]]
            if of_it:
                rows.append((group, fault, {name: of_it.count(name) for name in dict.fromkeys(of_it)}))
    return rows


def table(results):
    """Returns the table of the faults."""
    rows = [
        [fault, group, *(str(found.get(name, 0) or "-") for name in (HEALED, BETTER, NOT_HEALED, NOT_SICK))]
        for group, fault, found in by_fault(results["scenarios"])
    ]
    one = results["healed"]
    trainings = f", with {one['mean_trainings']:.1f} trainings on average" if one["mean_trainings"] else ""
    caption = (
        f"{one['networks']} of {one['of']} sick networks are healed{trainings}. Better than before, but not "
        f"healed: {one['better']}. Not sick, because they learn in spite of their faults: {one['not_sick']}. "
        "A network with two faults stands in two rows."
    )
    headers = ["fault", "of", HEALED, BETTER, NOT_HEALED, NOT_SICK]
    return runs.table(f"Repair of networks drawn at random{runs.on_engine()}", headers, rows, caption)


class _Loaded:
    notice = ""


def _parser():
    default = Config()
    parser = argparse.ArgumentParser(
        prog="python -m experiments.repair_drawn",
        description=__doc__,
        epilog="examples:\n  python -m experiments.repair_drawn --quick\n"
        "  python -m experiments.repair_drawn --number 10 --trainings 12\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--logdir", default=LOG_DIR, help="directory of the reports (default: %(default)s)")
    numbers = {
        "number": (runs.at_least(1), "networks to draw"),
        "first": (runs.at_least(0), "number of the first network; the same number is the same network"),
        "trainings": (runs.at_least(4), "trainings that each repair may spend"),
        "seeds": (runs.at_least(2), "seeds of the proof"),
    }
    runs.add_options(parser, default, numbers)
    processes = min(2, os.cpu_count() or 1)
    text = "networks at a time, each in its own process (default: %(default)s)"
    parser.add_argument("--processes", type=runs.at_least(1), metavar="N", default=processes, help=text)
    parser.add_argument("--quick", action="store_true", help="two networks: a minute")
    return parser


def main(argv=None):
    """Runs the experiment from the command line; returns the exit code."""
    options = vars(_parser().parse_args(argv))
    log_dir, is_quick, processes = (options.pop(name) for name in ("logdir", "quick", "processes"))
    config = Config(**{**options, **(QUICK if is_quick else {})})
    return command.carry_out(
        "repair_drawn",
        log_dir,
        load=_Loaded,
        run=lambda log_dir, loaded: run(config, log_dir, loaded, processes),
        tables=lambda results: [table(results)],
        draw=drawn_figure.draw,
    )


if __name__ == "__main__":
    sys.exit(main())
