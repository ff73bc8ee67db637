"""What does the activation do to the gradients of a deep network? Sigmoid, ReLU and leaky ReLU on MNIST.

    python -m experiments.mnist_activations

The same seven-layer network (784, five hidden layers of 10, 10) is trained once per activation, from the same seed,
and its gradients, weights, loss and accuracy are logged every 200 steps.

Expect: with sigmoid the gradient of the first layer starts some thousands of times smaller than that of the last,
and 2,500 steps bring an accuracy of 0.3 to 0.4; with ReLU and leaky ReLU both are of one size, and the accuracy is
0.86 to 0.91.
"""

import argparse
import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

import gradlog
from experiments import command, data, hyperparameters, runs

LOG_DIR = "logs/mnist_activations"


@dataclass(frozen=True)
class Config:
    """What defines the experiment; the defaults are the reference article's."""

    scenarios: tuple[str, ...] = ("sigmoid", "relu", "leaky_relu")  # Keras activations; leaky ReLU's slope is 0.2
    layers: int = 7  # counts the input
    units: int = 10  # of a hidden layer
    steps: int = 2500
    batch_size: int = 30
    every: int = 200
    learning_rate: float = 0.001
    initializer: str = "glorot_uniform"
    seed: int = 1
    data: str = "auto"
    data_dir: str | None = None


def build_model(config, activation):
    """Returns the compiled network; its dense layers are `layer1` to `layer6`, the last is linear."""
    hidden = [
        keras.layers.Dense(config.units, activation, kernel_initializer=config.initializer, name=f"layer{number}")
        for number in range(1, config.layers - 1)
    ]
    output = keras.layers.Dense(10, kernel_initializer=config.initializer, name=f"layer{config.layers - 1}")
    model = keras.Sequential([keras.Input((784,)), *hidden, output], name=activation)
    model.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def run(config, log_dir, digits=None):
    """Trains one network per scenario and logs each to `log_dir/<scenario>`.

    Returns:
        A dictionary, as it is written to `log_dir/results.json`.
    """
    digits = digits or data.load_mnist(config.data, config.data_dir)
    scenarios = []
    with runs.progress_bar() as progress:
        for activation in config.scenarios:
            bar = runs.ProgressBar(progress, activation, config.steps)
            scenarios.append(_run_scenario(config, activation, Path(log_dir) / activation, digits, bar))
    results = {
        "experiment": "mnist_activations",
        "engine": keras.backend.backend(),
        "data": digits.source,
        "notice": digits.notice,
        "config": _settings(config),
        "scenarios": scenarios,
    }
    runs.write_results(log_dir, results)
    return results


def _settings(config):
    """Returns the settings that define the numbers; the path of the data does not."""
    return {name: value for name, value in dataclasses.asdict(config).items() if name != "data_dir"}


def _run_scenario(config, activation, log_dir, digits, bar):
    keras.utils.set_random_seed(config.seed)
    model = build_model(config, activation)
    runs.write_description(log_dir, activation, digits.source, digits.notice, _settings(config))
    logger = gradlog.GradientLogger(log_dir, every=config.every, on_finding="ignore")  # the table says it
    dataset = data.batches(digits, config.batch_size, config.seed)
    runs.train(model, dataset, config.steps, [logger, bar])
    x_test = digits.x_test.astype(np.float32) / 255
    test = model.evaluate(x_test, digits.y_test, batch_size=1000, verbose=0, callbacks=[logger], return_dict=True)
    history = gradlog.read(log_dir)
    hyperparameters.write(log_dir, _hyperparameters(config, activation, digits), _settings(config), history)
    return {"scenario": activation, **_summary(history, test)}


def _hyperparameters(config, activation, digits):
    return hyperparameters.Hyperparameters(
        scenario=activation,
        activation=activation,
        depth=config.layers,
        initializer=config.initializer,
        learning_rate=config.learning_rate,
        data=hyperparameters.data_name(digits),
    )


def _summary(history, test):
    """Returns the numbers of one scenario, read back from what was logged."""
    first, last = history.kernels()[0], history.kernels()[-1]
    first, last = (history.statistic("gradient_mean_abs", kernel).astype(float) for kernel in (first, last))
    return {
        "test_accuracy": test["accuracy"],
        "test_loss": test["loss"],
        "train_loss": float(history.scalars["train/loss"].values[-1]),
        "first_kernel_at_start": first[0],
        "last_kernel_at_start": last[0],
        "ratio_at_start": runs.ratio(last[0], first[0]),
        "first_kernel_over_run": first.mean(),
        "last_kernel_over_run": last.mean(),
        "ratio_over_run": runs.ratio(last.mean(), first.mean()),
        "last_step": int(history.steps[-1]),
        "findings": runs.findings(history),
    }


def _table(results):
    headers = [
        "scenario",
        "test accuracy",
        "train loss",
        "|g| first, step 0",
        "|g| last, step 0",
        "last / first",
        "|g| first, run",
        "|g| last, run",
        "last / first",
        "findings",
    ]
    rows = [
        [
            row["scenario"],
            f"{row['test_accuracy']:.3f}",
            f"{row['train_loss']:.3f}",
            f"{row['first_kernel_at_start']:.2g}",
            f"{row['last_kernel_at_start']:.2g}",
            runs.plain(row["ratio_at_start"]),
            f"{row['first_kernel_over_run']:.2g}",
            f"{row['last_kernel_over_run']:.2g}",
            runs.plain(row["ratio_over_run"]),
            runs.codes(row),
        ]
        for row in results["scenarios"]
    ]
    caption = "|g| is the mean absolute gradient of the first or last kernel, run its mean over the logged steps."
    caption = "\n".join([*([results["notice"]] if results["notice"] else []), caption])
    return runs.table(f"MNIST activations · {results['data']}{runs.on_engine()}", headers, rows, caption)


def _parser():
    default = Config()
    parser = argparse.ArgumentParser(
        prog="python -m experiments.mnist_activations",
        description=__doc__,
        epilog="examples:\n"
        "  python -m experiments.mnist_activations --scenarios tanh gelu --layers 12\n"
        "  python -m experiments.mnist_activations --steps 500 --every 50 --data embedded\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    parser.add_argument("--logdir", default=LOG_DIR, help="directory of the runs (default: %(default)s)")
    parser.add_argument(
        "--scenarios",
        nargs="+",
        metavar="NAME",
        default=default.scenarios,
        help=f"activations that Keras knows by name (default: {' '.join(default.scenarios)})",
    )
    numbers = {
        "layers": (runs.at_least(2), "number of layers, counting the input"),
        "units": (runs.at_least(1), "units of a hidden layer"),
        "steps": (runs.at_least(1), "training steps"),
        "batch-size": (runs.at_least(1), "digits a step"),
        "every": (runs.at_least(1), "steps from one logged step to the next"),
        "learning-rate": (float, "learning rate of Adam"),
        "initializer": (str, "Keras initializer of the kernels"),
        "seed": (int, "seed of the weights and of the order of the digits"),
    }
    runs.add_options(parser, default, numbers)
    data.add_options(parser)
    return parser


def _config(parser, argv):
    options = vars(parser.parse_args(argv))
    log_dir, scenarios = options.pop("logdir"), tuple(dict.fromkeys(options.pop("scenarios")))
    for kind, names in ((keras.activations, scenarios), (keras.initializers, [options["initializer"]])):
        for name in names:
            try:
                kind.get(name)
            except (ValueError, TypeError):
                parser.error(f"Keras knows no {kind.__name__.split('.')[-1][:-1]} named {name!r}")
    return Config(scenarios=scenarios, **options), log_dir


def main(argv=None):
    """Runs the experiment from the command line; returns the exit code."""
    config, log_dir = _config(_parser(), argv)
    return command.carry_out(
        "mnist_activations",
        log_dir,
        load=lambda: data.load_mnist(config.data, config.data_dir),
        run=lambda log_dir, digits: run(config, log_dir, digits),
        tables=lambda results: [_table(results), runs.findings_table("What is wrong", results["scenarios"])],
    )


if __name__ == "__main__":
    sys.exit(main())
