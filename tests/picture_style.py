"""How the pictures of rules and checks look: two panels, red for what is wrong and green for what is right."""

from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

DIRECTORY = Path(__file__).parents[1] / "docs" / "rules"
WRONG, RIGHT = "#b22222", "#2e7d32"


def panels(**arguments):
    """Returns a figure with two panels beside each other."""
    return plt.subplots(1, 2, figsize=(9.5, 2.9), layout="constrained", **arguments)


def finish(axis, title, color, label_of_x):
    """Puts title, label and ticks of a panel in the style of all."""
    axis.set_title(title, fontsize=9, loc="left", color=color)
    axis.set_xlabel(label_of_x, fontsize=8)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)


def save(figure, code, num_colors=None):
    """Writes the picture of a code; one of lines needs few colours, and a third of the bytes."""
    path = DIRECTORY / f"{code}.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    if num_colors:
        with Image.open(path) as picture:
            picture.convert("RGB").quantize(num_colors).save(path, optimize=True)
