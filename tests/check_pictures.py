"""The pictures of the checks' pages: a training with the mistake beside the mended one.

`python tests/rule_pictures.py` makes them with those of the rules. `gradlog.check` has to find each mistake, and not to
find it once it is mended.
"""

import contextlib
import io
import warnings

import check_pairs
from picture_style import RIGHT, WRONG, finish, panels, save

import gradlog


def main(codes=tuple(check_pairs.PAIRS)):
    """Draws the pictures of checks."""
    for code in codes:
        pair = check_pairs.PAIRS[code]
        prove(code, pair)
        draw(code, pair)
        print(f"{code}: {pair.wrong.name} beside {pair.right.name}")


def prove(code, pair):
    """Raises unless a mistake is found where it is, and there alone."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # a progress bar
        warnings.simplefilter("ignore")
        found = [_codes(half, pair.asked) for half in (pair.wrong, pair.right)]
    if code not in found[0] or code in found[1]:
        raise AssertionError(f"{code} is to be found in the first alone, but found are: {found}")


def _codes(half, asked):
    asked = asked | {name: half.fit[name] for name in ("batch_size",) if name in half.fit}
    return sorted({one.code for one in gradlog.check(half.build(), half.x, half.y, **asked)})


def draw(code, pair):
    """Draws the two trainings of a pair."""
    figure, axes = panels(sharey=True)
    halves = ((pair.wrong, "mistake", WRONG), (pair.right, "mended", RIGHT))
    for axis, (half, kind, color) in zip(axes, halves, strict=True):
        if pair.line:
            axis.axhline(pair.line[0], color="#666666", linestyle=":", linewidth=1, label=pair.line[1])
        finish(axis, f"{kind}: {half.name}", color, pair.draw(axis, half, color))
    for axis in axes:  # when both are drawn, as they share one axis
        axis.set(**pair.axis)
        axis.set_ylabel(pair.label, fontsize=8)
        axis.yaxis.set_tick_params(labelleft=True)
        if axis.get_legend_handles_labels()[1]:
            axis.legend(fontsize=7, frameon=False)
    save(figure, code, num_colors=64)
