"""The numbers of `experiments.transformers`, read back from what was logged."""

import numpy as np

from experiments import runs

HEADERS = [
    "scenario",
    "held-out loss",
    "accuracy",
    "largest step",
    "last / first block",
    "tokens alike",
    "entropy",
    "largest logit",
    "findings",
]
CAPTION = (
    "Largest step is the most that a step changed a kernel, over its weights; last / first block the root mean square "
    "of the last block's output over the first's, tokens alike the mean cosine of two tokens in the last block, "
    "entropy the lowest of a layer's attention, each at the last logged step."
)


def summary(history, test):
    """Returns the numbers of one scenario.

    Args:
        history: The `gradlog.History` of its run.
        test: Dictionary, what `evaluate` returned.
    """
    stream, alike = blocks(history, "stream_rms"), blocks(history, "stream_cosine")
    steps = history.statistic("update_ratio")[:, [history.variables.index(name) for name in history.kernels()]]
    return {
        "test_loss": test["loss"],
        "test_accuracy": test["accuracy"],
        "largest_step": float(np.nanmax(steps)),
        "stream_growth": runs.ratio(stream[-1, -1], stream[-1, 0]),
        "cosine": float(alike[-1, -1]),
        "entropy": float(blocks(history, "attention_entropy")[-1].min()),
        "largest_logit": float(blocks(history, "attention_logit").max()),
        "last_step": int(history.steps[-1]),
        "findings": runs.findings(history),
    }


def blocks(history, prefix):
    """Returns the scalars of all blocks, or layers, under a tag: array [T, n], in the model's order."""
    tags = [tag for tag in history.scalars if tag.startswith(f"{prefix}/")]
    return np.stack([history.scalars[tag].values.astype(float) for tag in tags], axis=1)


def rows(results):
    """Returns the rows of the table."""
    return [
        [
            row["scenario"],
            f"{row['test_loss']:.2f}",
            f"{row['test_accuracy']:.3f}",
            f"{row['largest_step']:.2g}",
            runs.plain(row["stream_growth"]),
            f"{row['cosine']:.2f}",
            f"{row['entropy']:.2f}",
            f"{row['largest_logit']:.2g}",
            runs.codes(row),
        ]
        for row in results["scenarios"]
    ]
