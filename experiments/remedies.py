"""What does each remedy do to gradients that vanish or explode, and what is it worth?

    python -m experiments.remedies

Deep networks that suffer are trained on MNIST, and then again with one remedy at a time, all else equal, from several
seeds: `vanishing`, twelve layers of sigmoid; `initialization`, the same depth of ReLU with small weights; `exploding`,
ReLU with large weights and a high learning rate; `recurrent`, a network that is to remember a digit while another
goes by.

Expect: the four that suffer stay between 0.1 and 0.7; most remedies come to 0.8 and more, and some do not help.
"""

import argparse
import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import keras

from experiments import (
    command,
    data,
    hyperparameters,
    parallel,
    remedy_figure,
    remedy_memory,
    remedy_networks,
    remedy_tables,
    remedy_training,
    runs,
)

LOG_DIR = "logs/remedies"
FAMILIES = {**remedy_networks.FAMILIES, "recurrent": remedy_memory.RECURRENT}
SCENARIOS = tuple(f"{family}/{name}" for family, remedies in FAMILIES.items() for name in remedies)


@dataclass(frozen=True)
class Config:
    """What defines the study."""

    scenarios: tuple[str, ...] = SCENARIOS
    layers: int = 12  # counts the input
    units: int = 32  # of a hidden layer, also of the recurrent ones
    steps: int = 1000
    batch_size: int = 64
    every: int = 50
    validate_every: int = 100  # steps from one look at the validation accuracy to the next
    target: float = 0.8  # validation accuracy, for the steps to it
    seeds: int = 3
    seed: int = 1  # the first
    data: str = "auto"
    data_dir: str | None = None


QUICK = {"layers": 5, "steps": 60, "every": 20, "validate_every": 30, "seeds": 1}


def build_model(config, scenario):
    """Returns the compiled network of a scenario, named as it stands in `SCENARIOS`."""
    family, name = scenario.split("/")
    build = remedy_memory.build_model if family == "recurrent" else remedy_networks.build_model
    return build(config, FAMILIES[family][name][1], name)


def run(config, log_dir, digits=None, processes=1):
    """Trains the networks of all scenarios and seeds, and logs each to `log_dir/<family>/<name>/seed<n>`.

    Returns:
        A dictionary, as it is written to `log_dir/results.json`; of each scenario it holds one row a seed.
    """
    digits = digits or data.load_mnist(config.data, config.data_dir)
    seeds = range(config.seed, config.seed + config.seeds)
    jobs = [(scenario, seed) for scenario in config.scenarios for seed in seeds]
    steps = sum(remedy_training.num_steps(config, _remedy(scenario)[1]) for scenario, _ in jobs)
    rows = parallel.carry_out(_train, jobs, (config, str(log_dir), digits), steps, processes)
    results = {
        "experiment": "remedies",
        "data": digits.source,
        "notice": digits.notice,
        "config": _settings(config),
        "scenarios": [
            {
                "scenario": scenario,
                "remedy": _remedy(scenario)[0],
                "seeds": [row for row, job in zip(rows, jobs, strict=True) if job[0] == scenario],
            }
            for scenario in config.scenarios
        ],
    }
    runs.write_results(log_dir, results)
    return results


def _remedy(scenario):
    family, name = scenario.split("/")
    return FAMILIES[family][name]


def _settings(config):
    """Returns the settings that define the numbers; the path of the data does not."""
    return {name: value for name, value in dataclasses.asdict(config).items() if name not in ("data_dir", "scenarios")}


def _train(shared, job):
    """Trains one network from one seed; returns its numbers."""
    (config, log_dir, digits), (scenario, seed) = shared, job
    log_dir = Path(log_dir) / scenario / f"seed{seed}"
    remedy, network = _remedy(scenario)
    keras.utils.set_random_seed(seed)
    model = build_model(config, scenario)
    settings = {**_settings(config), "seed": seed, "remedy": remedy}
    runs.write_description(log_dir, scenario, digits.source, digits.notice, settings)
    history, numbers = remedy_training.train(config, model, network, digits, seed, log_dir)
    of_run = _hyperparameters(config, model, scenario, digits)
    hyperparameters.write(log_dir, of_run, settings, history, remedy_training.kernels(history))
    return {"seed": seed, **numbers}


def _hyperparameters(config, model, scenario, digits):
    _, network = _remedy(scenario)
    first = next(layer for layer in model.layers if hasattr(layer, "kernel_initializer"))
    is_recurrent = isinstance(network, remedy_memory.Memory)
    return hyperparameters.Hyperparameters(
        scenario=scenario,
        activation=first.activation.__name__ if is_recurrent else network.activation,
        depth=3 if is_recurrent else remedy_networks.num_hidden(config, network) + 2,
        initializer=hyperparameters.initializer_name(first.kernel_initializer),
        learning_rate=hyperparameters.learning_rate(model),
        data=hyperparameters.data_name(digits),
    )


def _parser():
    default = Config()
    parser = argparse.ArgumentParser(
        prog="python -m experiments.remedies",
        description=__doc__,
        epilog="examples:\n"
        "  python -m experiments.remedies --list\n"
        "  python -m experiments.remedies --quick\n"
        "  python -m experiments.remedies --only exploding --seeds 5\n"
        "  python -m experiments.remedies --only sigmoid relu exploding/glorot --layers 20\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--logdir", default=LOG_DIR, help="directory of the runs (default: %(default)s)")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="families, remedies or family/remedy; --list names them"
    )
    parser.add_argument("--list", action="store_true", help="list the remedies, and train nothing")
    quick = ", ".join(f"--{name.replace('_', '-')} {value}" for name, value in QUICK.items())
    parser.add_argument("--quick", action="store_true", help=f"everything in a minute, as with {quick}")
    numbers = {
        "layers": (runs.at_least(3), "number of layers, counting the input"),
        "units": (runs.at_least(1), "units of a hidden layer"),
        "steps": (runs.at_least(1), "training steps"),
        "batch-size": (runs.at_least(1), "digits, or sequences of digits, a step"),
        "every": (runs.at_least(1), "steps from one logged step to the next"),
        "validate-every": (runs.at_least(1), "steps from one look at the validation accuracy to the next"),
        "target": (float, "validation accuracy for the steps to it"),
        "seeds": (runs.at_least(1), "trainings of each network"),
        "seed": (int, "the first of the seeds, of the weights and of the order of the digits"),
    }
    runs.add_options(parser, default, numbers)
    parser.add_argument(
        "--processes",
        type=runs.at_least(1),
        default=os.cpu_count() or 1,
        metavar="N",
        help="trainings at a time (default: %(default)s, as many as this machine has processors)",
    )
    data.add_options(parser)
    return parser


def _chosen(parser, names):
    """Returns the scenarios that names stand for, in the order of the study."""
    if not names:
        return SCENARIOS
    for name in names:
        if not any(_stands_for(name, scenario) for scenario in SCENARIOS):
            known = [*FAMILIES, *dict.fromkeys(scenario.split("/")[1] for scenario in SCENARIOS)]
            parser.error(f"unknown remedy {name!r}; known are {', '.join(known)}")
    return tuple(scenario for scenario in SCENARIOS if any(_stands_for(name, scenario) for name in names))


def _stands_for(name, scenario):
    return name in (scenario, *scenario.split("/"))


def _config(parser, argv):
    options = vars(parser.parse_args(argv))
    log_dir, processes, is_list = (options.pop(name) for name in ("logdir", "processes", "list"))
    if options.pop("quick"):
        options |= {name: value for name, value in QUICK.items() if options[name] == parser.get_default(name)}
    config = Config(scenarios=_chosen(parser, options.pop("only")), **options)
    return config, log_dir, min(processes, len(config.scenarios) * config.seeds), is_list


def main(argv=None):
    """Runs the study from the command line; returns the exit code."""
    config, log_dir, processes, is_list = _config(_parser(), argv)
    if is_list:
        runs.console().print(remedy_tables.listing(config.scenarios, _remedy))
        return 0
    return command.carry_out(
        "remedies",
        log_dir,
        load=lambda: data.load_mnist(config.data, config.data_dir),
        run=lambda log_dir, digits: run(config, log_dir, digits, processes),
        tables=lambda results: [remedy_tables.screen(results)],
        draw=remedy_figure.draw,
    )


if __name__ == "__main__":
    sys.exit(main())
