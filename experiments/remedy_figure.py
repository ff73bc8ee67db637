"""The picture of the remedies: gradients by depth and accuracy of every network, gradients by time of the recurrent."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm

_CHAINS = ("vanishing", "initialization", "exploding")
_DECADES = 10  # of the colour scale, downwards from the largest gradient
_BASE, _REMEDY = "#b2182b", "#2166ac"
_TITLES = {
    "vanishing": "Vanishing: a deep sigmoid network",
    "initialization": "Vanishing: a deep ReLU network with small weights",
    "exploding": "Exploding: a deep ReLU network with large weights",
}


def draw(results, log_dir, path):
    """Draws the study.

    Args:
        results: Dictionary of results; `notice`, where there is one, stands below the picture.
        log_dir: Directory of the runs; not looked at, everything is in the results.
        path: Path of the PNG.

    Returns:
        The path.
    """
    families = {}
    for row in results["scenarios"]:
        family, name = row["scenario"].split("/")
        families.setdefault(family, {})[name] = row["seeds"]
    chains = [family for family in _CHAINS if family in families]
    heights = [len(families[family]) * 0.3 + 0.9 for family in chains]
    heights += [4.2] if "recurrent" in families else []
    figure = plt.figure(figsize=(12, sum(heights) + 1), layout="constrained")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, family in zip(parts, chains, strict=False):
        _draw_chain(part, _TITLES[family], families[family], results["config"]["target"])
    if "recurrent" in families:
        _draw_recurrent(parts[-1], families["recurrent"])
    seeds = results["config"]["seeds"]
    figure.suptitle(f"Remedies · {results['data']} · {seeds} seed{'s' * (seeds > 1)}")
    if results["notice"]:
        figure.supxlabel(results["notice"], fontsize=8, wrap=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


def _draw_chain(part, title, remedies, target):
    heat, dots = part.subplots(1, 2, width_ratios=(3, 2), sharey=True)
    part.suptitle(title, fontsize=11, x=0.01, ha="left", fontweight="bold")
    kernels = max((seeds[0]["kernels"] for seeds in remedies.values()), key=len)
    table = np.full((len(remedies), len(kernels)), np.nan)
    for row, seeds in enumerate(remedies.values()):
        # a network of fewer layers: its first at the left, its last at the right
        values = np.median(np.array([seed["gradient_at_start"] for seed in seeds], float), axis=0)
        table[row, : len(values) - 1], table[row, -1] = values[:-1], values[-1]
    _draw_heat_map(part, heat, table, kernels, list(remedies))
    _draw_accuracies(dots, remedies, target)


def _draw_heat_map(part, axis, table, kernels, names):
    seen = table[np.isfinite(table) & (table > 0)]
    top = seen.max() if seen.size else 1.0
    scale = LogNorm(max(seen.min(), top / 10**_DECADES) if seen.size else 0.1, top)
    axis.set_facecolor("#dddddd")  # no layer, or no gradient
    image = axis.imshow(np.where(table > 0, table, np.nan), norm=scale, cmap="viridis", aspect="auto")
    axis.set_xticks(range(len(kernels)), kernels, rotation=45 if len(kernels) > 8 else 0, fontsize=8)
    axis.set_yticks(range(len(names)), names)
    axis.set_title("mean |gradient| of the kernels at step 0", fontsize=10, loc="left")
    part.colorbar(image, ax=axis, pad=0.01, extend="min")


def _draw_accuracies(axis, remedies, target):
    for row, seeds in enumerate(remedies.values()):
        values = [seed["test_accuracy"] for seed in seeds]
        color = _BASE if row == 0 else _REMEDY
        axis.plot([min(values), max(values)], [row, row], color=color, lw=2, alpha=0.4)
        axis.plot(values, [row] * len(values), ".", color=color, ms=7, alpha=0.6)
        axis.text(1.04, row, f"{np.median(values):.2f}", va="center", fontsize=9, color=color)
    axis.axvline(target, color="0.6", lw=0.8, ls=":")
    axis.axhline(0, color="0.9", lw=0.8, zorder=0)
    axis.set_xlim(0, 1.02)
    axis.set_title("test accuracy, a dot a seed; median", fontsize=10, loc="left")
    axis.tick_params(labelleft=False)
    axis.grid(axis="x", alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_recurrent(part, remedies):
    part.suptitle("A long memory: which digit came first?", fontsize=11, x=0.01, ha="left", fontweight="bold")
    axes = part.subplots(1, 2, sharey=True)
    colors = plt.get_cmap("tab10").colors
    for index, (name, seeds) in enumerate(remedies.items()):
        accuracy = np.median([seed["test_accuracy"] for seed in seeds])
        for axis, when in zip(axes, ("start", "end"), strict=True):
            for state, style in (("hidden", "--" if "clipnorm" in name else "-"), ("cell", ":")):
                profiles = [seed["state_gradients"][when].get(state) for seed in seeds]
                if profiles[0] is not None:
                    values = np.median(np.array(profiles, float), axis=0)
                    label = f"{name}, accuracy {accuracy:.2f}" if state == "hidden" else f"{name}, its cell state"
                    shown = np.where(values > 0, values, np.nan)
                    axis.semilogy(range(1, len(values) + 1), shown, style, color=colors[index], label=label)
    for axis, when in zip(axes, ("before the training", "after it"), strict=True):
        axis.axvspan(0.5, 14.5, color="0.95", zorder=0)
        axis.set_title(f"‖gradient of the loss by the hidden state‖, {when}", fontsize=10, loc="left")
        axis.set_xlabel("time step; the digit that counts is read in the shaded part")
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
