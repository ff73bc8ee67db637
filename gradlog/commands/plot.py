"""Plot: draws runs as one figure. `panels` and `picture` import Matplotlib, and only when drawing."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gradlog.commands import console, layers, selection
from gradlog.history.history import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".pdf", ".png", ".svg")
MAX_RUNS = 8
_WIDTH, _HEIGHT_ABOVE, _HEIGHT_OF_A_RUN, _HEIGHT_BELOW = 12.0, 3.8, 2.1, 0.9  # inches
_DOTS_PER_INCH = 130
_MAX_NAME_LENGTH = 70  # characters of a run's name above its heat map


def plot(runs: History | Mapping[str, History], *, fold: bool = True) -> "Figure":
    """Returns a figure of runs, the one that `gradlog plot` draws; a notebook shows it.

    At the top is the gradient by depth of all runs. Below, each run has a row: the gradient of each layer at each step,
    the update ratios and, if any run has them, the fractions of dead and saturated activations.

    Args:
        runs: A `gradlog.History`, or a dictionary of them by name, as `gradlog.read` returns; at most 8 are drawn
            over each other.
        fold: Boolean, whether a network of many blocks is drawn block by block. Defaults to `True`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: Matplotlib is not installed.
        TypeError: `runs` is something else.
        ValueError: One of the runs holds no gradients, or `runs` is empty or has more than 8 entries.

    Example:
    ```python
    figure = gradlog.plot(gradlog.read("logs"))
    figure.savefig("gradients.png")
    ```
    """
    named = _named(runs)
    if not 1 <= len(named) <= MAX_RUNS or not all(run.statistics.size for run in named.values()):
        without = [name for name, run in named.items() if not run.statistics.size]
        raise ValueError(
            f"`runs` cannot be drawn. Expected 1 to {MAX_RUNS} runs that have gradients. Received: {len(named)} runs"
            f"{', of which these have none: ' * bool(without)}{console.listed(without) if without else ''}"
        )
    return figure(layers.by_block(named) if fold else named)


def _named(runs):
    """Returns runs as a dictionary by name."""
    named = {"run": runs} if isinstance(runs, History) else runs
    if not isinstance(named, Mapping) or not all(isinstance(run, History) for run in named.values()):
        raise TypeError(
            "`runs` is not a run. Expected a `gradlog.History`, such as `gradlog.read(log_dir)` returns, or a "
            f"dictionary of them. Received: {runs!r}"
        )
    return dict(named)


def check(path: str | os.PathLike) -> None:
    """Checks, before anything is read, that a figure can be drawn and written.

    Raises:
        CommandError: If Matplotlib is missing, the file's extension is unknown, or its directory is missing.
    """
    selection.check_output(path, ENDINGS)
    selection.check_installed("matplotlib", "plot")


def save(runs: dict[str, History], path: str | os.PathLike) -> dict:
    """Draws runs, a dictionary by name, and writes the figure in the format of the file's extension: PNG, SVG or PDF.

    Notes on standard error name the runs that are left out.

    Returns:
        A dictionary for `--json`: `file`, and the names of the `runs` in it and of those `left_out`.

    Raises:
        CommandError: If there is nothing to draw, or the file cannot be written.
    """
    drawn = _drawn(runs)
    picture, canvas = figure(drawn), io.BytesIO()
    picture.savefig(canvas, format=Path(path).suffix[1:].lower(), dpi=_DOTS_PER_INCH)
    with selection.writing(path):
        Path(path).write_bytes(canvas.getvalue())  # in one go: if drawing fails, an older picture stays intact
    return {"file": os.fspath(path), "runs": list(drawn), "left_out": [name for name in runs if name not in drawn]}


def _drawn(runs):
    """Returns the runs that can be drawn, at most as many as there are distinct colours."""
    able = {name: history for name, history in runs.items() if history.statistics.size}
    if not able:
        raise selection.CommandError(f"nothing to draw, since no run has gradients: {console.listed(runs)}")
    if without := [name for name in runs if name not in able]:
        console.note(f"not drawn, since they have no gradients: {console.listed(without)}")
    if len(able) > MAX_RUNS:
        console.note(f"drawing only the first {MAX_RUNS} of {len(able)} runs; choose others with --runs REGEX")
    return dict(list(able.items())[:MAX_RUNS])


def figure(runs: dict[str, History]) -> "Figure":
    """Returns a `matplotlib.figure.Figure` of runs.

    At the top is the gradient by depth of all runs. Below, each run has a row: the gradient of each layer at each step,
    the update ratios and, if any run has them, the fractions of dead and saturated activations.

    Args:
        runs: Dictionary of `History` by name, at most `MAX_RUNS`, each with statistics.
    """
    from gradlog.commands import panels
    from gradlog.commands.picture import Picture

    number, has_activations = len(runs), any(map(panels.has_activations, runs.values()))
    heights = [_HEIGHT_ABOVE, number * _HEIGHT_OF_A_RUN + _HEIGHT_BELOW]
    picture = Picture(figsize=(_WIDTH, sum(heights)), layout="constrained")
    upper, lower = picture.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
    above = upper.subplots()
    panels.gradient_by_depth(above, runs)
    above.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    widths = [2, 1.4, 1.2] if has_activations else [2, 1.4]
    rows = lower.subplots(number, len(widths), squeeze=False, sharex="row", gridspec_kw={"width_ratios": widths})
    _draw_runs(lower, rows, runs, panels)
    return picture


def _draw_runs(picture, rows, runs, panels):
    norm, mesh = panels.norm_of(list(runs.values())), None
    for axes, (name, history) in zip(rows, runs.items(), strict=True):
        mesh = panels.heat_map(axes[0], history, norm) or mesh
        axes[0].set_title(console.shortened(name, _MAX_NAME_LENGTH), fontsize=10, loc="left", fontweight="bold")
        panels.update_ratios(axes[1], history)
        for axis in axes[2:]:
            panels.activations(axis, history)
            axis.set_visible(panels.has_activations(history) or axis is rows[0][2])
    _share_y([axes[1] for axes in rows])
    for axis, text in zip(rows[0][1:], _TITLES, strict=False):
        axis.set_title(text, fontsize=10, loc="left")
    for axis in rows[-1]:
        axis.set_xlabel("step")
    if mesh is not None:
        thin = {"fraction": 0.15 / len(runs), "pad": 0.05 / len(runs), "aspect": 40}
        bar = picture.colorbar(mesh, ax=list(rows[:, 0]), location="bottom", **thin)
        bar.set_label("mean |gradient|")
    _add_legends(picture, rows, runs, panels)


_TITLES = ("Update / weight; dotted: 1e-3", "Dead (solid), saturated (dashed)")


def _share_y(axes):
    """Gives all axes the same limits, wide enough for each."""
    low, high = zip(*(axis.get_ylim() for axis in axes), strict=True)
    for axis in axes:
        axis.set_ylim(min(low), max(high))


def _add_legends(picture, rows, runs, panels):
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks = [Line2D([], [], color=color, label=f"{end} layer") for end, color in _ends(panels)]
    histories = list(runs.values())
    if any((panels.mean_abs(history) == 0).any() for history in histories):
        marks.append(Patch(color=panels.ZERO, label="zero gradient"))
    if any(panels.is_nonfinite(history).any() for history in histories):
        marks.append(Patch(color=panels.NONFINITE, label="non-finite gradient"))
    picture.legend(handles=marks, loc="lower right", ncols=2, frameon=False, fontsize=9)


def _ends(panels):
    return zip(("first", "last"), panels.depth_colors(), strict=True)
