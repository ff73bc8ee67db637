"""The picture of `experiments.repair`: the best accuracy so far against the trainings spent, of each strategy."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

_COLORS = {"gradlog.repair": "tab:blue", "random search": "tab:orange", "Hyperband": "tab:green"}


def draw(results, log_dir, path):
    """Draws a panel for each network, and one of how many are healed.

    Args:
        results: Dictionary that `experiments.repair.run` returned.
        log_dir: The directory of the runs; not needed.
        path: Path of the PNG.

    Returns:
        The path.
    """
    rows = results["scenarios"]
    columns = min(4, len(rows) + 1)
    lines = -(-(len(rows) + 1) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(3.1 * columns, 2.6 * lines), layout="constrained", squeeze=False
    )
    most = results["config"]["trainings"]
    for axis, row in zip(axes.flat, rows, strict=False):
        for strategy, pairs in row["spent"].items():
            x, y = _best_so_far(pairs, most)
            axis.step(x, y, where="post", color=_COLORS[strategy], label=strategy, lw=1.8)
        axis.axhline(row["target"], color="grey", ls=":", lw=1)
        axis.set_title(row["scenario"], fontsize=9, loc="left")
        axis.set_ylim(0, 1)
        _style(axis, most)
    _draw_healed(axes.flat[len(rows)], results, most)
    for axis in list(axes.flat)[len(rows) + 1 :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("best accuracy so far")
    axes[0, 0].legend(frameon=False, fontsize=8, loc="lower right")
    figure.supxlabel("trainings spent", fontsize=9)
    figure.suptitle(f"Repairs with and without a diagnosis · {results['data']}", fontsize=10)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


def _draw_healed(axis, results, most):
    for strategy in results["healed"]:
        reached = sorted(
            row["trainings_to_target"][strategy]
            for row in results["scenarios"]
            if row["trainings_to_target"][strategy] is not None
        )
        axis.step([0, *reached, most], [0, *range(1, len(reached) + 1), len(reached)], where="post",
                  color=_COLORS[strategy], lw=1.8)  # fmt: skip
    axis.set_title("networks healed", fontsize=9, loc="left")
    axis.set_ylim(0, len(results["scenarios"]) + 0.2)
    _style(axis, most)


def _best_so_far(pairs, most):
    """Returns x and y of a line, from the first training on."""
    x, y = np.array(pairs, float).T
    y = np.maximum.accumulate(y)
    return np.append(x, max(most, x[-1])), np.append(y, y[-1])


def _style(axis, most):
    axis.set_xlim(0, most)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
