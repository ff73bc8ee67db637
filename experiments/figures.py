"""Pictures of experiments: curves over the steps, and the gradient by depth."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

_MOST_LABELS_SIDE_BY_SIDE = 8
_COLORS = plt.get_cmap("tab10").colors


def draw(results, histories, path):
    """Draws the scenarios of an experiment over each other.

    Args:
        results: Dictionary of results; `notice`, where there is one, stands below the picture.
        histories: Dictionary of `gradlog.History` by scenario.
        path: Path of the PNG.

    Returns:
        The path.
    """
    figure, axes = plt.subplots(2, 2, figsize=(11, 7.5), layout="constrained")
    for color, row in zip(_COLORS * len(histories), results["scenarios"], strict=False):
        history, name = histories[row["scenario"]], row["scenario"]
        for axis, tag in ((axes[0, 0], "train/loss"), (axes[0, 1], "train/accuracy")):
            axis.plot(history.scalars[tag].steps, history.scalars[tag].values, "o-", ms=3, color=color, label=name)
        _draw_profile(axes[1, 0], history, color, name)
        _draw_ratio(axes[1, 1], history, color, name)
    label(axes[0, 0], "Training loss of the logged batches", "step", "cross-entropy")
    label(axes[0, 1], "Training accuracy of the logged batches", "step", "accuracy")
    axes[0, 1].set_ylim(0, 1)
    label(axes[1, 0], "Gradient by depth: step 0 (solid), mean of the run (dashed)", "kernel", "mean |gradient|")
    label(axes[1, 1], "Gradient of the last kernel over that of the first", "step", "last / first")
    axes[0, 0].legend(frameon=False)
    figure.suptitle(f"{results['experiment']} · {results['data']}")
    if results["notice"]:
        figure.supxlabel(results["notice"], fontsize=8, wrap=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


def _draw_profile(axis, history, color, label):
    kernels = history.kernels()
    values = history.statistic("gradient_mean_abs")[:, [history.variables.index(name) for name in kernels]]
    names = [name.removesuffix("/kernel") for name in kernels]
    for numbers, style in ((values[0], {"ls": "-"}), (values.mean(axis=0), {"ls": "--", "ms": 3, "lw": 1})):
        # a gradient that is zero has no place on a logarithmic axis: the line is broken there
        axis.semilogy(names, np.where(numbers > 0, numbers, np.nan), marker="o", color=color, label=label, **style)
    axis.tick_params(axis="x", rotation=45 if len(axis.get_xticks()) > _MOST_LABELS_SIDE_BY_SIDE else 0)


def _draw_ratio(axis, history, color, label):
    first, last = history.kernels()[0], history.kernels()[-1]
    first, last = (history.statistic("gradient_mean_abs", kernel) for kernel in (first, last))
    ratio = np.divide(last, first, out=np.full_like(last, np.nan), where=first > 0)
    axis.semilogy(history.steps, ratio, "o-", ms=3, color=color, label=label)


def label(axis, title, x, y):
    """Gives axes a title, the names of both axes, and a grid."""
    axis.set_title(title, fontsize=10, loc="left")
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
