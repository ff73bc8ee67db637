"""How do vanishing and exploding gradients look on an ordinary table, and what do their fixes change?

    python -m experiments.credit_card

Four networks decide whether an application for a credit card was rejected: `vanishing`, nine sigmoid layers;
`vanishing_fixed`, four wide ReLU layers with dropout on scaled data; `exploding`, eight tanh layers with large initial
weights and a learning rate of 1; `exploding_fixed`, the same with Glorot's weights, max-norm and clipping, on scaled
data. Each is trained with `model.fit` and a `GradientLogger`.

The fixed networks stop early, by the loss on rows that equal no fitted row.

Expect: `vanishing` and `exploding` stay at an accuracy of one half on what they fit; their fixes come to 0.8 and 0.7.
With `--split-first`, no network tells the people who are held out apart much better than chance.
"""

import argparse
import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from sklearn.metrics import classification_report

import gradlog
from experiments import command, credit_data, credit_split, credit_tables, hyperparameters, runs

LOG_DIR = "logs/credit_card"
SCENARIOS = ("vanishing", "vanishing_fixed", "exploding", "exploding_fixed")


@dataclass(frozen=True)
class Config:
    """What defines the experiment; the defaults are the reference article's."""

    scenarios: tuple[str, ...] = SCENARIOS
    epochs: int = 100
    batch_size: int = 32
    every: int = 50
    patience: int = 10  # epochs without a better loss on the watched rows, for the networks that stop early
    split_first: bool = False
    seed: int = 1
    data: str = "auto"
    csv_dir: str | None = None


def build_model(config, scenario, num_columns):
    """Returns the compiled network of a scenario; its dense layers are `layer1`, `layer2`, …, the last is sigmoid."""
    hidden, optimizer = {
        "vanishing": (_dense(9, activation="sigmoid"), keras.optimizers.Adam()),
        "vanishing_fixed": (_wide((128, 256, 128, 64)), keras.optimizers.Adam(1e-3)),
        "exploding": (
            _dense(8, activation="tanh", kernel_initializer=keras.initializers.RandomNormal(0.0, 1.0)),
            keras.optimizers.SGD(1.0),
        ),
        "exploding_fixed": (
            _dense(8, activation="tanh", kernel_constraint=keras.constraints.MaxNorm(2)),
            keras.optimizers.Adam(1e-3, clipnorm=1.0),
        ),
    }[scenario]
    number = sum(isinstance(layer, keras.layers.Dense) for layer in hidden) + 1
    output = keras.layers.Dense(1, "sigmoid", name=f"layer{number}")
    model = keras.Sequential([keras.Input((num_columns,)), *hidden, output], name=scenario)
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
    return model


def _dense(number, **arguments):
    return [keras.layers.Dense(10, name=f"layer{index}", **arguments) for index in range(1, number + 1)]


def _wide(units):
    layers = []
    for index, size in enumerate(units, 1):
        layers += [keras.layers.Dense(size, "relu", name=f"layer{index}"), keras.layers.Dropout(0.5)]
    return layers


def run(config, log_dir, applicants=None):
    """Trains one network per scenario and logs each to `log_dir/<scenario>`.

    Returns:
        A dictionary, as it is written to `log_dir/results.json`.
    """
    applicants = applicants or credit_data.load(config.data, config.csv_dir)
    split = credit_split.split(applicants, config.seed, config.split_first)
    scenarios = []
    with runs.progress_bar() as progress:
        for scenario in config.scenarios:
            part = split.scaled() if scenario.endswith("_fixed") else split
            steps = config.epochs * -(-len(_fitted(scenario, part)[0]) // config.batch_size)
            bar = runs.ProgressBar(progress, scenario, steps)
            scenarios.append(_run_scenario(config, scenario, Path(log_dir) / scenario, part, applicants, bar))
    results = {
        "experiment": "credit_card",
        "data": applicants.source,
        "notice": applicants.notice,
        "config": _settings(config),
        "scenarios": scenarios,
    }
    runs.write_results(log_dir, results)
    return results


def _settings(config):
    """Returns the settings that define the numbers; the path of the data does not."""
    return {name: value for name, value in dataclasses.asdict(config).items() if name != "csv_dir"}


def _fitted(scenario, split):
    """Returns x and y to fit, and what early stopping watches; the networks that are not fixed fit everything."""
    if not scenario.endswith("_fixed"):
        return split.x_train, split.y_train, None
    return *split.fitted, split.watched


def _run_scenario(config, scenario, log_dir, split, applicants, bar):
    keras.utils.set_random_seed(config.seed)
    model = build_model(config, scenario, split.x_train.shape[1])
    runs.write_description(log_dir, scenario, applicants.source, applicants.notice, _settings(config))
    logger = gradlog.GradientLogger(log_dir, every=config.every, on_finding="ignore")  # the table says it
    x, y, watched = _fitted(scenario, split)
    callbacks = [logger, bar]
    if watched is not None:
        callbacks.append(keras.callbacks.EarlyStopping(patience=config.patience, restore_best_weights=True))
    fitted = model.fit(
        x,
        y,
        batch_size=config.batch_size,
        epochs=config.epochs,
        validation_data=watched,
        callbacks=callbacks,
        verbose=0,
    )
    held_out = model.evaluate(split.x_test, split.y_test, verbose=0, callbacks=[logger], return_dict=True)
    trained = model.evaluate(x, y, verbose=0, return_dict=True)
    predicted = model.predict(split.x_test, verbose=0)[:, 0] > 0.5
    report = classification_report(split.y_test, predicted, output_dict=True, zero_division=0)
    losses, history = fitted.history["loss"], gradlog.read(log_dir)
    hyperparameters.write(log_dir, _hyperparameters(model, scenario, applicants), _settings(config), history)
    return {
        "scenario": scenario,
        "epochs": len(losses),
        "train_loss": trained["loss"],
        "train_accuracy": trained["accuracy"],
        "lowest_loss": min(losses),
        "highest_loss": max(losses),
        "test_loss": held_out["loss"],
        "test_accuracy": held_out["accuracy"],
        "report": {name: report[name] for name in ("0", "1")},
        **_summary(history),
    }


def _hyperparameters(model, scenario, applicants):
    """Returns the hyperparameters of a scenario's network; all its dense layers but the last are alike."""
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    return hyperparameters.Hyperparameters(
        scenario=scenario,
        activation=dense[0].activation.__name__,
        depth=len(dense) + 1,
        initializer=hyperparameters.initializer_name(dense[0].kernel_initializer),
        learning_rate=hyperparameters.learning_rate(model),
        data=hyperparameters.data_name(applicants),
    )


def _summary(history):
    """Returns a summary of the gradients and updates that were logged for one scenario."""
    first, last = history.kernels()[0], history.kernels()[-1]
    gradients = [history.statistic("gradient_mean_abs", kernel).astype(float) for kernel in (first, last)]
    updates = [history.statistic("update_ratio", kernel).astype(float) for kernel in (first, last)]
    return {
        "first_kernel_over_run": gradients[0].mean(),
        "last_kernel_over_run": gradients[1].mean(),
        "ratio_at_start": runs.ratio(gradients[1][0], gradients[0][0]),
        "ratio_over_run": runs.ratio(gradients[1].mean(), gradients[0].mean()),
        "first_update_ratio": float(np.median(updates[0])),
        "last_update_ratio": float(np.median(updates[1])),
        "largest_global_norm": float(history.scalars["gradient_norm/global"].values.max()),
        "last_step": int(history.steps[-1]),
        "findings": runs.findings(history),
    }


def _parser():
    default = Config()
    parser = argparse.ArgumentParser(
        prog="python -m experiments.credit_card",
        description=__doc__,
        epilog="examples:\n"
        "  python -m experiments.credit_card --csv-dir ~/data/credit_card\n"
        "  python -m experiments.credit_card --split-first\n"
        "  python -m experiments.credit_card --scenarios exploding exploding_fixed --epochs 20 --data embedded\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--logdir", default=LOG_DIR, help="directory of the runs (default: %(default)s)")
    parser.add_argument(
        "--scenarios",
        nargs="+",
        choices=SCENARIOS,
        default=default.scenarios,
        metavar="NAME",
        help=f"of {', '.join(SCENARIOS)} (default: all)",
    )
    numbers = {
        "epochs": (runs.at_least(1), "most epochs of a network"),
        "batch-size": (runs.at_least(1), "people a step"),
        "every": (runs.at_least(1), "steps from one logged step to the next"),
        "patience": (runs.at_least(1), "epochs without improvement after which the fixed networks stop"),
        "seed": (int, "seed of the weights, of the split and of the order"),
    }
    runs.add_options(parser, default, numbers)
    parser.add_argument(
        "--split-first",
        action="store_true",
        help="hold a quarter out before rows of the rare class are repeated, so that no test row equals a training row",
    )
    credit_data.add_options(parser)
    return parser


def main(argv=None):
    """Runs the experiment from the command line; returns the exit code."""
    options = vars(_parser().parse_args(argv))
    log_dir = options.pop("logdir")
    config = Config(**{**options, "scenarios": tuple(dict.fromkeys(options["scenarios"]))})
    return command.carry_out(
        "credit_card",
        log_dir,
        load=lambda: credit_data.load(config.data, config.csv_dir),
        run=lambda log_dir, applicants: run(config, log_dir, applicants),
        tables=lambda results: [
            credit_tables.networks(results),
            credit_tables.classes(results),
            runs.findings_table("What is wrong", results["scenarios"]),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
