"""Panels: the parts of a figure of runs, each drawn into given Matplotlib axes.

The size and the layout of the figure are decided in `plot`.
"""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import TABLEAU_COLORS, ListedColormap, LogNorm
from matplotlib.ticker import MaxNLocator

from gradlog.commands.console import shortened
from gradlog.commands.layers import label
from gradlog.commands.selection import kernels
from gradlog.history.history import History

COLORS = tuple(TABLEAU_COLORS.values())
ZERO, NONFINITE = "#b5b5b5", "#d62728"
GOOD_UPDATE_RATIO = 1e-3  # Karpathy, "makemore" part 3, and the notes of Stanford's cs231n
_MAP, _DEPTH = colormaps["viridis"], colormaps["plasma"]
_MAX_NAMES = 12  # of layers beside a heat map
_MAX_NAMES_BELOW, _MAX_LETTERS_BELOW = 16, 100  # of layers below the gradient by depth
_MAX_NAME_LENGTH = 30  # characters of a run's name in a legend, or of a layer's
_MAX_STEPS = 7  # that are labelled below the axis
_MAX_MARKS = 60  # a line with more points has no markers
_BOTTOM, _TOP = 0.03, 0.97  # of an axis, where markers of values off the axis stand


def mean_abs(history: History) -> np.ndarray:
    """Returns the mean absolute gradients [T, L] of the L variables that represent the layers."""
    return _columns(history, "gradient_mean_abs", kernels(history))


def is_nonfinite(history: History) -> np.ndarray:
    """Returns where the layers' gradients had NaN or infinite elements, boolean [T, L]."""
    names = kernels(history)
    if "gradient_nonfinite" not in history.columns:
        return np.isinf(mean_abs(history))
    return (_columns(history, "gradient_nonfinite", names) > 0) | np.isinf(mean_abs(history))


def _columns(history, statistic, names):
    if statistic not in history.columns:
        return np.full((len(history.steps), len(names)), np.nan)
    places = [history.variables.index(name) for name in names]
    return history.statistic(statistic)[:, places].astype(np.float64)


def mean_over_steps(values: np.ndarray) -> np.ndarray:
    """Returns the means [L] over the finite values of [T, L]; NaN if there are none."""
    is_finite = np.isfinite(values)
    number = is_finite.sum(0)
    total = np.where(is_finite, values, 0).sum(0)
    return np.divide(total, number, out=np.full(values.shape[1], np.nan), where=number > 0)


def norm_of(histories: list[History]) -> LogNorm | None:
    """Returns a logarithmic scale for the gradients of all runs; `None` if none is above zero."""
    values = np.concatenate([mean_abs(history).ravel() for history in histories])
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return None
    low, high = values.min(), values.max()
    return LogNorm(low, high if high > low else low * 10)


def gradient_by_depth(axes: Axes, runs: dict[str, History]) -> None:
    """Draws two lines per run: the gradient of each layer at the first logged step, and, dashed, its mean over the run.

    Layers are placed by number; if the runs differ in depth, each run spans from its first to its last layer.
    """
    numbers, is_zero, is_bad = {len(kernels(history)) for history in runs.values()}, False, False
    for color, (name, history) in zip(COLORS, runs.items(), strict=False):
        values, bad = mean_abs(history), is_nonfinite(history)
        places = np.arange(values.shape[1]) if len(numbers) == 1 else np.linspace(0, 1, values.shape[1])
        first, mean = {"label": shortened(name, _MAX_NAME_LENGTH), "lw": 1.8, "ms": 5}, {"ls": "--", "lw": 1.2, "ms": 3}
        _profile(axes, places, values[0], bad[0], first | {"color": color})
        _profile(axes, places, mean_over_steps(values), bad.any(0), mean | {"color": color})
        is_zero, is_bad = is_zero or bool((values[0] == 0).any()), is_bad or bool(bad.any())
    title = "Gradient by depth: first logged step (solid), mean of the run (dashed)"
    title += ", zero (triangle)" * is_zero + ", non-finite (cross)" * is_bad
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_ylabel("mean |gradient|")
    axes.set_yscale("log")
    _name_layers(axes, list(runs.values()), len(numbers) == 1)
    _tidy(axes)


def _profile(axes, places, values, is_bad, style):
    """Draws one line; zeros are triangles at the bottom of the log axis, non-finite values crosses at the top."""
    mark = "o" if len(values) <= _MAX_MARKS else ""
    axes.plot(places, np.where(np.isfinite(values) & (values > 0), values, np.nan), marker=mark, **style)
    edge = axes.get_xaxis_transform()
    for marker, height, chosen in (("v", _BOTTOM, values == 0), ("X", _TOP, is_bad)):
        if chosen.any():
            color, heights = style["color"], np.full(chosen.sum(), height)
            axes.plot(places[chosen], heights, marker, color=color, ms=7, transform=edge, zorder=4)


def _name_layers(axes, histories, is_by_number):
    """Names the layers if all runs have the same; otherwise numbers them, or labels only the first and the last."""
    names = [tuple(label(history, name, _MAX_NAME_LENGTH) for name in kernels(history)) for history in histories]
    number = len(names[0]) if is_by_number else 2
    is_named = len(set(names)) == 1
    places = _some(number, _MAX_NAMES_BELOW)
    labels = [names[0][place] if is_named else str(place + 1) for place in places]
    axes.set_xticks(places, labels if is_by_number else ["first layer", "last layer"])
    if len(places) * max(map(len, labels)) > _MAX_LETTERS_BELOW:
        axes.tick_params(axis="x", rotation=30)
        for text in axes.get_xticklabels():
            text.set_horizontalalignment("right")
    margin = 0.05 * max(number - 1, 1)
    axes.set_xlim(-margin, number - 1 + margin)
    if is_by_number and not is_named:
        axes.set_xlabel("layer number, from the input")


def heat_map(axes: Axes, history: History, norm: LogNorm | None) -> QuadMesh | None:
    """Draws the gradient of each layer at each logged step; zero is grey, non-finite red, missing white.

    Returns:
        The coloured mesh, or `None` if no gradient is above zero.
    """
    values, bad = mean_abs(history).T, is_nonfinite(history).T
    is_zero = (values == 0) & ~bad
    grid = edges(history.steps), np.arange(len(values) + 1) - 0.5
    mesh = None
    if norm is not None:
        shown = np.ma.masked_where(~np.isfinite(values) | (values <= 0) | bad, values)
        mesh = axes.pcolormesh(*grid, shown, norm=norm, cmap=_MAP, rasterized=True)
    for chosen, color in ((is_zero, ZERO), (bad, NONFINITE)):
        if chosen.any():
            marked = np.ma.masked_where(~chosen, np.ones(values.shape))
            axes.pcolormesh(*grid, marked, cmap=ListedColormap([color]), rasterized=True)
    names = kernels(history)
    places = _some(len(names), _MAX_NAMES)
    axes.set_yticks(places, [label(history, names[place], _MAX_NAME_LENGTH) for place in places], fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)  # the first layer on top
    _number_steps(axes, history.steps)
    axes.set_xlim(grid[0][0], grid[0][-1])
    return mesh


def edges(steps: np.ndarray) -> np.ndarray:
    """Returns the borders [T + 1] between steps [T], halfway from one to the next.

    Example:
    >>> edges(np.array([0, 10, 30])).tolist()
    [-5.0, 5.0, 20.0, 40.0]
    """
    steps = np.asarray(steps, np.float64)
    if len(steps) == 1:
        return steps[0] + np.array([-0.5, 0.5])
    middle = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([[2 * steps[0] - middle[0]], middle, [2 * steps[-1] - middle[-1]]])


def _number_steps(axes, steps):
    """Labels the axis with round numbers within the logged steps."""
    ticks = MaxNLocator(_MAX_STEPS, integer=True).tick_values(steps[0], steps[-1])
    ticks = [tick for tick in ticks if steps[0] <= tick <= steps[-1]]
    axes.set_xticks(ticks if len(ticks) > 1 else np.unique([steps[0], steps[-1]]))


def update_ratios(axes: Axes, history: History) -> None:
    """Draws a line per layer, from dark for the first to bright for the last, and the usual good ratio."""
    names = kernels(history)
    values = _columns(history, "update_ratio", names)
    mark = "o" if len(values) <= _MAX_MARKS else ""
    for column, color in zip(values.T, _depth_colors(len(names)), strict=True):
        column = np.where(np.isfinite(column) & (column > 0), column, np.nan)
        axes.plot(history.steps, column, color=color, lw=1.2, marker=mark, ms=2.5)
    axes.axhline(GOOD_UPDATE_RATIO, color="0.25", ls=":", lw=1.4, zorder=3)
    axes.set_yscale("log")
    _tidy(axes)


def activations(axes: Axes, history: History) -> None:
    """Draws two lines per layer: the fraction of dead units and, dashed, of saturated activations."""
    for kind, style in (("activation_dead", "-"), ("activation_saturated", "--")):
        tags = [tag for tag in history.scalars if tag.startswith(f"{kind}/")]
        for tag, color in zip(tags, _depth_colors(len(tags)), strict=True):
            series = history.scalars[tag]
            marker = "o" if len(series.steps) == 1 else ""
            axes.plot(series.steps, series.values, style, color=color, lw=1.4, marker=marker, ms=3)
    axes.set_ylim(-0.03, 1.03)
    _tidy(axes)


def has_activations(history: History) -> bool:
    """Returns whether dead or saturated fractions were logged."""
    return any(tag.startswith(("activation_dead/", "activation_saturated/")) for tag in history.scalars)


def depth_colors() -> tuple:
    """Returns the colours of the first and of the last layer."""
    return tuple(_depth_colors(2))


def _depth_colors(number):
    return [_DEPTH(place) for place in np.linspace(0.05, 0.85, number)]


def _some(number, max_places):
    """Returns at most `max_places` evenly spread places, including the first and the last."""
    stride = -(-(number - 1) // (max_places - 1)) or 1
    places = [*range(0, number, stride)]
    if places[-1] != number - 1:
        places = [place for place in places if 2 * (number - 1 - place) > stride] + [number - 1]
    return np.array(places)


def _tidy(axes):
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
