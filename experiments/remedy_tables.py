"""The table of the remedies: for the screen, and for `experiments/README.md`."""

import collections
import statistics

from experiments import runs

HEADERS = [
    "remedy",
    "test accuracy",
    "last / first, start",
    "last / first, run",
    "update of the first",
    "norm at the start",
    "steps to {target:.0%}",
    "findings",
]


def headers(results):
    """Returns the names of the columns."""
    return [header.format(**results["config"]) for header in HEADERS]


def rows(results):
    """Returns a row of strings for every scenario: medians of the seeds, and the accuracy's least and largest."""
    return [[row["scenario"], *_numbers(row["seeds"])] for row in results["scenarios"]]


def _numbers(seeds):
    accuracies = [seed["test_accuracy"] for seed in seeds]
    spread = f" ({min(accuracies):.2f} to {max(accuracies):.2f})" if len(seeds) > 1 else ""
    return [
        f"{statistics.median(accuracies):.2f}{spread}",
        _ratio(seeds, "ratio_at_start"),
        _ratio(seeds, "ratio_over_run"),
        _exponential(seeds, "first_update_ratio"),
        _exponential(seeds, "norm_at_start"),
        _steps(seeds),
        _findings(seeds),
    ]


def _known(seeds, name):
    return [seed[name] for seed in seeds if seed[name] is not None]


def _ratio(seeds, name):
    known = _known(seeds, name)
    if not known:
        return "-"
    spread = f" ({runs.plain(min(known))} to {runs.plain(max(known))})" if len(known) > 1 else ""
    return runs.plain(statistics.median(known)) + spread


def _exponential(seeds, name):
    known = _known(seeds, name)
    return f"{statistics.median(known):.1e}" if known else "-"


def _steps(seeds):
    """Returns the median of the steps of those that got there, and how many did where some did not."""
    known = _known(seeds, "steps_to_target")
    if not known:
        return "never"
    steps = f"{statistics.median(known):,.0f}"
    return steps if len(known) == len(seeds) else f"{steps}, {len(known)} of {len(seeds)}"


def _findings(seeds):
    """Returns the codes that were found, with the number of seeds where it was not all."""
    counts = collections.Counter(code for seed in seeds for code in runs.codes(seed).split() if code != "none")
    parts = [code if number == len(seeds) else f"{code} {number}x" for code, number in sorted(counts.items())]
    return ", ".join(parts) or "none"


def caption(results):
    """Returns what a reader of the table must know, in lines."""
    broken = sum(seed["steps_not_finite"] > 0 for row in results["scenarios"] for seed in row["seeds"])
    return [
        *([results["notice"]] if results["notice"] else []),
        f"Medians of {results['config']['seeds']} seeds, with the least and the largest. last / first: mean absolute "
        "gradient of the last kernel over that of the first; of the recurrent, the gradient of the hidden state at the "
        "last time step over that at the first, before and after the training. update: what a step changes of the "
        "first kernel, over its weights. norm: of all gradients together.",
        *([f"{broken} trainings came to gradients that are not finite; such steps are left out."] if broken else []),
    ]


def screen(results):
    """Returns the table for the screen."""
    title = f"Remedies · {results['data']}"
    return runs.table(title, headers(results), rows(results), "\n".join(caption(results)))


def listing(scenarios, remedy):
    """Returns a table of what there is.

    Args:
        scenarios: Names, `family/remedy`.
        remedy: Function of a name that returns a pair: what it is, and its network.
    """
    lines = [[scenario, remedy(scenario)[0]] for scenario in scenarios]
    table = runs.table(None, ["name", "what it is"], lines)
    table.columns[1].justify = "left"
    return table
