"""The picture of `experiments.repair_drawn`: for each fault, how many networks were healed."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from experiments import repair_drawn

_COLORS = {"healed": "tab:green", "better": "gold", "not healed": "tab:red", "not sick": "lightgrey"}


def draw(results, log_dir, path):
    """Draws a bar for each fault.

    Args:
        results: Dictionary that `experiments.repair_drawn.run` returned.
        log_dir: The directory of the reports; not needed.
        path: Path of the PNG.

    Returns:
        The path.
    """
    rows = repair_drawn.by_fault(results["scenarios"])
    figure, axis = plt.subplots(figsize=(8, 0.8 + 0.23 * len(rows)), layout="constrained")
    places, names, place, before = [], [], 0.0, None
    for group, fault, found in rows:
        place += 1 if group == before else 1.6
        left = 0
        for outcome, color in _COLORS.items():
            axis.barh(place, found.get(outcome, 0), left=left, color=color, height=0.75)
            left += found.get(outcome, 0)
        before = group
        places.append(place)
        names.append(fault)
    axis.set_yticks(places, names, fontsize=8)
    axis.set_ylim(place + 0.8, 0.8)
    axis.set_xlabel("networks", fontsize=9)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.tick_params(labelsize=8, length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.legend(
        [plt.Rectangle((0, 0), 1, 1, color=color) for color in _COLORS.values()], _COLORS,
        frameon=False, fontsize=8, loc="lower right",
    )  # fmt: skip
    one = results["healed"]
    most = results["config"]["trainings"]
    title = f"{one['networks']} of {one['of']} sick networks healed, with {most} trainings at most"
    axis.set_title(title, fontsize=10, loc="left")
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path
