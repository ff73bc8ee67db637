"""How do the gradients of a transformer look when it learns, and when it does not? A small language model.

    python -m experiments.transformers

A model of six blocks learns to predict the next character of Python's own help texts, which come with Python. Five
trainings start from the same seed: `healthy`, pre-norm with a warm-up; `large_rate`, the learning rate a hundred times
as large; `no_warmup`, the same as `healthy` without a warm-up; `post_norm`, the normalization behind the addition;
`post_norm_no_warmup`, both.

Expect: the pre-norm networks learn; with the large learning rate and with post-norm, the answer stays that of counting
characters, and the logs say why at the first steps.
"""

import argparse
import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

import gradlog
from experiments import command, runs, transformer_figure, transformer_model, transformer_numbers, transformer_text

LOG_DIR = "logs/transformers"
CHANGES = {
    "healthy": {},
    "large_rate": {"learning_rate": 100.0},  # times that of the others
    "no_warmup": {"warmup": 0},
    "post_norm": {"is_post_norm": True},
    "post_norm_no_warmup": {"is_post_norm": True, "warmup": 0},
}


@dataclass(frozen=True)
class Config:
    """What defines the experiment."""

    scenarios: tuple[str, ...] = tuple(CHANGES)
    blocks: int = 6
    width: int = 64
    heads: int = 4
    length: int = 64  # characters that are seen at once
    steps: int = 600
    batch_size: int = 16
    warmup: int = 60  # steps
    every: int = 10
    learning_rate: float = 0.005
    seed: int = 1


def build_model(config, scenario):
    """Returns the compiled language model of a scenario; its blocks are `block_0` and on."""
    changes = {"warmup": config.warmup, "is_post_norm": False, "learning_rate": 1.0, **CHANGES[scenario]}
    model = transformer_model.language_model(
        transformer_text.CHARACTERS,
        config.length,
        config.blocks,
        config.width,
        config.heads,
        changes["is_post_norm"],
    )
    rate = _schedule(config.learning_rate * changes["learning_rate"], changes["warmup"], config.steps)
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def _schedule(rate, warmup, steps):
    """Returns a learning rate that rises in a line, and falls to zero along a cosine."""
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(rate, steps)
    return keras.optimizers.schedules.CosineDecay(0.0, max(1, steps - warmup), warmup_target=rate, warmup_steps=warmup)


def run(config, log_dir, text=None):
    """Trains one model per scenario and logs each to `log_dir/<scenario>`.

    Returns:
        A dictionary, as it is written to `log_dir/results.json`.
    """
    text = text or transformer_text.load()
    scenarios = []
    with runs.progress_bar() as progress:
        for scenario in config.scenarios:
            bar = runs.ProgressBar(progress, scenario, config.steps)
            scenarios.append(_run_scenario(config, scenario, Path(log_dir) / scenario, text, bar))
    results = {
        "experiment": "transformers",
        "engine": keras.backend.backend(),
        "data": text.source,
        "notice": text.notice,
        "loss_of_counting": transformer_text.loss_of_counting(text),
        "config": dataclasses.asdict(config),
        "scenarios": scenarios,
    }
    runs.write_results(log_dir, results)
    return results


def _run_scenario(config, scenario, log_dir, text, bar):
    keras.utils.set_random_seed(config.seed)
    model = build_model(config, scenario)
    runs.write_description(log_dir, scenario, text.source, text.notice, dataclasses.asdict(config))
    generator = np.random.default_rng(config.seed)
    starts = generator.integers(0, len(text.train) - config.length, config.steps * config.batch_size)
    x, y = transformer_text.windows(text.train, starts, config.length)
    x_test, y_test = transformer_text.held_out(text, config.length)
    logger = gradlog.GradientLogger(
        log_dir,
        every=config.every,
        activations=x_test[: config.batch_size],
        optimizer_state=True,
        on_finding="ignore",  # the table says it
    )
    model.fit(x, y, batch_size=config.batch_size, shuffle=False, verbose=0, callbacks=[logger, bar])
    test = model.evaluate(x_test, y_test, batch_size=64, verbose=0, callbacks=[logger], return_dict=True)
    return {"scenario": scenario, **transformer_numbers.summary(gradlog.read(log_dir), test)}


def _table(results):
    caption = (
        f"Counting characters, and nothing else, has a loss of {results['loss_of_counting']:.2f}. "
        f"{transformer_numbers.CAPTION}"
    )
    rows = transformer_numbers.rows(results)
    title = f"A language model on {results['data']}{runs.on_engine()}"
    return runs.table(title, transformer_numbers.HEADERS, rows, caption)


def _parser():
    default = Config()
    parser = argparse.ArgumentParser(
        prog="python -m experiments.transformers",
        description=__doc__,
        epilog="examples:\n"
        "  python -m experiments.transformers --scenarios healthy post_norm --blocks 12\n"
        "  python -m experiments.transformers --steps 100 --every 5\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--logdir", default=LOG_DIR, help="directory of the runs (default: %(default)s)")
    parser.add_argument(
        "--scenarios",
        nargs="+",
        metavar="NAME",
        choices=CHANGES,
        default=default.scenarios,
        help=f"which trainings (default: {' '.join(default.scenarios)})",
    )
    numbers = {
        "blocks": (runs.at_least(1), "blocks of the model"),
        "width": (runs.at_least(1), "numbers for each character in the residual stream; a multiple of the heads"),
        "heads": (runs.at_least(1), "heads of an attention"),
        "length": (runs.at_least(2), "characters that are seen at once"),
        "steps": (runs.at_least(1), "training steps"),
        "batch-size": (runs.at_least(1), "pieces of text a step"),
        "warmup": (runs.at_least(0), "steps in which the learning rate rises"),
        "every": (runs.at_least(1), "steps from one logged step to the next"),
        "learning-rate": (float, "largest learning rate of AdamW"),
        "seed": (int, "seed of the weights and of the pieces of text"),
    }
    runs.add_options(parser, default, numbers)
    return parser


def _config(parser, argv):
    options = vars(parser.parse_args(argv))
    log_dir, scenarios = options.pop("logdir"), tuple(dict.fromkeys(options.pop("scenarios")))
    if options["width"] % options["heads"]:
        parser.error(f"--width must be a multiple of --heads; received {options['width']} and {options['heads']}")
    return Config(scenarios=scenarios, **options), log_dir


def main(argv=None):
    """Runs the experiment from the command line; returns the exit code."""
    config, log_dir = _config(_parser(), argv)
    return command.carry_out(
        "transformers",
        log_dir,
        load=transformer_text.load,
        run=lambda log_dir, text: run(config, log_dir, text),
        tables=lambda results: [_table(results), runs.findings_table("What is wrong", results["scenarios"])],
        draw=transformer_figure.draw,
    )


if __name__ == "__main__":
    sys.exit(main())
