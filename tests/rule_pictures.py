"""The pictures of all pages of rules and checks: `python tests/rule_pictures.py`.

Of a rule, a run that has the fault stands beside a healthy one; of a check, a training with the mistake beside the
mended one (`check_pictures.py`). The runs of rules are those of the labelled networks, which are kept as tables
(`labelled_tables.py`). A loss spike takes longer than these were logged, so one is made here: among 400 batches, one
has inputs 4 times too large.
"""

import tempfile

import check_pictures
import keras
import labelled
import labelled_tables
import numpy as np
from matplotlib.colors import LogNorm, Normalize
from picture_style import DIRECTORY, RIGHT, WRONG, finish, panels, save

import gradlog
from gradlog.history.tree import tree_of
from gradlog.tensorboard.metadata import STATISTIC_OF_FINDING, STATISTICS

_MAX_ROWS = 14
_CURVES = {"GL404": ("train/accuracy", "accuracy")}  # of the others the loss


def main():
    """Draws a picture for each check, and for each rule that one of the labelled networks shows."""
    DIRECTORY.mkdir(exist_ok=True)
    check_pictures.main()
    runs, _ = labelled_tables.read()
    runs |= {"one bad batch": [trained(is_bad=True)], "no bad batch": [trained(is_bad=False)]}
    healthy = ["no bad batch", *(case.name for case in labelled.HEALTHY if case.name in runs)]
    for rule in gradlog.rules.RULES:
        found = _sick(rule.code, runs)
        if found is None:
            print(f"{rule.code}: none of the labelled networks shows it first")
            continue
        beside = _beside(rule.code, runs[found][0], healthy, runs)
        draw(rule.code, {found: runs[found][0], beside: runs[beside][0]})
        print(f"{rule.code}: {found} beside {beside}")


def _sick(code, runs):
    """Returns the network whose first finding has a code, the worst of them; `None` where there is none."""
    names = [*(case.name for case in labelled.SICK), "one bad batch"]
    names = [name for name in names if name in runs and _rows(code, runs[name][0])[0]]
    first = {name: gradlog.diagnose(runs[name][0]) for name in names}
    shown = [name for name in names if first[name] and first[name][0].code == code]
    shown += [name for name in names if any(one.code == code for one in first[name])]
    return shown[0] if shown else None


def _beside(code, sick, healthy, runs):
    """Returns the healthy network whose layers are most like those of another."""
    able = [name for name in healthy if _rows(code, runs[name][0])[0] and not gradlog.diagnose(runs[name][0])]
    kernels = set(sick.kernels())
    return max(able, key=lambda name: (len(kernels & set(runs[name][0].kernels())), -len(runs[name][0].variables)))


def trained(is_bad):
    """Returns the run of a small network, with or without one batch that makes its loss spike."""
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(1).normal(size=(400 * 32, 10)).astype("float32")
    y = x @ np.linspace(-1, 1, 10)[:, None] + np.random.default_rng(2).normal(size=(len(x), 1))
    if is_bad:
        x[250 * 32 : 251 * 32] *= 4
    hidden = [keras.layers.Dense(32, "relu", name=f"layer{number}") for number in (1, 2)]
    model = keras.Sequential([keras.Input((10,)), *hidden, keras.layers.Dense(1, name="layer3")])
    model.compile("adam", "mse")
    with tempfile.TemporaryDirectory() as log_dir:
        logger = gradlog.GradientLogger(log_dir, every=2, histograms=False, on_finding="ignore", check=False)
        model.fit(x, y, batch_size=32, shuffle=False, verbose=0, callbacks=[logger])
        return gradlog.read(log_dir)


def draw(code, runs):
    """Draws two runs beside each other: a heat map of the statistic in which a rule shows, or the loss."""
    figure, axes = panels(sharey=code not in STATISTIC_OF_FINDING)
    parts = [_rows(code, run) for run in runs.values()]
    norm, mesh = _norm(code, parts), None
    kinds = (("sick", WRONG), ("healthy", RIGHT))
    for axis, (name, run), (rows, values), (kind, color) in zip(axes, runs.items(), parts, kinds, strict=True):
        grey = f"; grey: {'NaN' if code == 'GL103' else 'zero'}" if _has_grey(code, values, norm) else ""
        if code in STATISTIC_OF_FINDING:
            mesh = _heat_map(axis, run, rows, values, norm)
        else:
            axis.plot(run.steps, values, color=color)
            axis.set_ylabel(_curve(code)[1], fontsize=8)
        finish(axis, f"{kind}: {name}{grey}", color, "step")
    if mesh is not None:
        bar = figure.colorbar(mesh, ax=axes, pad=0.01)
        bar.set_label(STATISTICS[_statistic(code)]["label"], fontsize=8)
        bar.ax.tick_params(labelsize=7)
    save(figure, code)


def _has_grey(code, values, norm):
    """Whether some values have no place on a logarithmic scale."""
    is_logarithmic = code in STATISTIC_OF_FINDING and isinstance(norm, LogNorm)
    return is_logarithmic and bool((~np.isfinite(values) | (values == 0)).any())


def _rows(code, run):
    """Returns the names of what is drawn of a run, and its values, [T, n]; of the loss [T]."""
    if code not in STATISTIC_OF_FINDING:
        tag, name = _curve(code)
        series = run.scalars.get(tag)
        return ((name,), series.values) if series is not None and len(series.steps) == len(run.steps) else ((), None)
    statistic = _statistic(code)
    if statistic in run.columns:
        names = run.kernels()
        places = [run.variables.index(name) for name in names]
        return tuple(names), run.statistic(statistic)[:, places].astype(float)
    tags = [tag for tag in run.scalars if tag.startswith(f"{statistic}/")]
    tags = [tag for tag in tags if len(run.scalars[tag].values) == len(run.steps)]
    names = tuple(tag.partition("/")[2] for tag in tags)
    return names, np.stack([run.scalars[tag].values for tag in tags], axis=1).astype(float) if tags else None


def _statistic(code):
    """Returns the statistic in which a rule shows; without activations, dead units show in gradients of zero."""
    return "gradient_mean_abs" if code == "GL201" else STATISTIC_OF_FINDING[code]


def _curve(code):
    return _CURVES.get(code, ("train/loss", "loss"))


def _norm(code, parts):
    if code not in STATISTIC_OF_FINDING:
        return None
    if STATISTICS[_statistic(code)]["is_fraction"]:
        return Normalize(0, 1)
    values = np.concatenate([values.ravel() for _, values in parts])
    values = values[np.isfinite(values) & (values > 0)]
    return LogNorm(max(values.min(), values.max() * 1e-8), values.max())


def _heat_map(axis, run, rows, values, norm):
    steps = run.steps
    edges = np.append(steps, steps[-1] + (steps[-1] - steps[-2] if len(steps) > 1 else 1))
    axis.set_facecolor("#c8c8c8")  # a zero has no place on a logarithmic scale
    shown = np.where(np.isfinite(values), values, np.nan)
    mesh = axis.pcolormesh(edges, np.arange(len(rows) + 1), shown.T, norm=norm, cmap="viridis")
    tree = tree_of(run.variables)
    places = np.arange(0, len(rows), max(1, -(-len(rows) // _MAX_ROWS)))
    axis.set_yticks(places + 0.5, [tree.label(rows[place]) for place in places])
    axis.invert_yaxis()
    return mesh


if __name__ == "__main__":
    main()
