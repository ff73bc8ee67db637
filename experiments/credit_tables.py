"""The tables that the credit-card experiment prints."""

from experiments import runs

HEADERS = [
    "scenario",
    "epochs",
    "train loss",
    "train accuracy",
    "held out",
    "loss of epochs",
    "|g| first",
    "|g| last",
    "last / first",
    "update first",
    "update last",
    "findings",
]


def networks(results):
    """Returns the table of the networks: accuracy, gradients, updates and findings of each."""
    rows = [_row(row) for row in results["scenarios"]]
    return runs.table(f"Credit card · {results['data']}", HEADERS, rows, _caption(results))


def classes(results):
    """Returns a table of precision and recall by class, of scikit-learn's classification report."""
    rows = [
        [
            row["scenario"],
            label,
            *(f"{numbers[name]:.2f}" for name in ("precision", "recall", "f1-score")),
            f"{numbers['support']:.0f}",
        ]
        for row in results["scenarios"]
        for label, numbers in row["report"].items()
    ]
    return runs.table("Held out, by class", ["scenario", "class", "precision", "recall", "f1-score", "people"], rows)


def _row(row):
    return [
        row["scenario"],
        str(row["epochs"]),
        f"{row['train_loss']:.4f}",
        f"{row['train_accuracy']:.3f}",
        f"{row['test_accuracy']:.3f}",
        f"{row['lowest_loss']:.3f} to {row['highest_loss']:.3f}",
        f"{row['first_kernel_over_run']:.1e}",
        f"{row['last_kernel_over_run']:.1e}",
        runs.plain(row["ratio_over_run"]),
        f"{row['first_update_ratio']:.1e}",
        f"{row['last_update_ratio']:.1e}",
        runs.codes(row),
    ]


def _caption(results):
    order = (
        "held out before rows are repeated"
        if results["config"]["split_first"]
        else "rows repeated before a quarter is held out, as in the article: copies of one person stand on both sides"
    )
    lines = [
        *([results["notice"]] if results["notice"] else []),
        f"Split: {order}. No row that is watched for early stopping equals a fitted one.",
        "|g| is the mean absolute gradient of the first or last kernel, over the logged steps; update is the median of "
        "what a step changes, over the weights.",
    ]
    return "\n".join(lines)
