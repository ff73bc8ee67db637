"""What a person looks at to see whether a training goes well; each draws one panel and returns the horizontal label."""

import tempfile
import warnings

import keras
import numpy as np

import gradlog


def logged(half):
    """Returns the run of a training of which every step is logged."""
    model = half.build()
    with tempfile.TemporaryDirectory() as log_dir, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger = gradlog.GradientLogger(log_dir, 1, histograms=False, on_finding="ignore", rules=[], check=False)
        model.fit(half.x, half.y, verbose=0, callbacks=[logger], **{"batch_size": 32, "shuffle": False} | half.fit)
        return gradlog.read(log_dir)


def curves(tags=("train/loss",), names=("",), over=None):
    """Returns a function that draws what was logged over the steps.

    Args:
        tags: Tags of one curve or two; the second is of epochs, and dashed.
        names: How they are called.
        over: Function of a `Half` that returns the number by which all is divided.
    """

    def draw(axis, half, color):
        run, unit = logged(half), over(half) if over else 1
        for tag, name, line in zip(tags, names, ("-", "o--"), strict=False):
            series = run.scalars[tag]
            axis.plot(series.steps, series.values / unit, line, color=color, label=name or None, markersize=4)
        _mark_nan(axis, run.scalars[tags[0]])
        return "step"

    return draw


loss = curves()


def _mark_nan(axis, series):
    """Shades the steps without a finite value."""
    missing = series.steps[~np.isfinite(series.values)]
    if len(missing):
        axis.axvspan(missing[0] - 0.5, series.steps[-1] + 0.5, color="#e4e4e4", linewidth=0)
        place = axis.get_xaxis_transform()
        text = f"NaN from step {missing[0]} on"
        axis.text((missing[0] + series.steps[-1]) / 2, 0.45, text, fontsize=8, ha="center", transform=place)


def metric_and_loss(axis, half, color):
    """Draws the metric of a network, whatever it is, and the loss as a fraction of the first."""
    run = logged(half)
    others = ("train/loss", "train/learning_rate", "train/penalty")
    (tag,) = [tag for tag in run.scalars if tag.startswith("train/") and tag not in others]
    axis.plot(run.scalars[tag].steps, run.scalars[tag].values, color=color, label=tag.removeprefix("train/"))
    losses = run.scalars["train/loss"]
    axis.plot(losses.steps, losses.values / losses.values[0], "--", color=color, linewidth=1, label="loss / first loss")
    return "step"


def by_epoch(axis, half, color):
    """Draws the loss after each epoch, and one before the first."""
    model = half.build()
    before = model.evaluate(half.x, half.y, verbose=0, return_dict=True)["loss"]
    options = {"shuffle": False} | half.fit
    losses = model.fit(half.x, half.y, verbose=0, validation_data=(half.x, half.y), **options).history["val_loss"]
    axis.plot([before, *losses], "o-", markersize=3, color=color)
    return "epoch"


def predictions(axis, half, color):
    """Draws what is predicted against what is right, when the training has ended."""
    model = half.build()
    model.fit(half.x, half.y, verbose=0, shuffle=False, **half.fit)
    axis.plot(half.y, model.predict(half.x, verbose=0)[:, 0], ".", markersize=3, color=color)
    ends = [half.y.min(), half.y.max()]
    axis.plot(ends, ends, ":", color="#666666", linewidth=1, label="prediction = target")
    return "target"


def sizes_by_layer(axis, half, color):
    """Draws the root mean square of each hidden layer's outputs before the first step."""
    model = half.build()
    hidden = [layer.output for layer in model.layers[:-1]]
    outputs = keras.Model(model.inputs, hidden).predict(half.x, verbose=0)
    sizes = [np.sqrt(np.square(one, dtype=np.float64).mean()) for one in outputs]
    axis.plot(range(1, len(sizes) + 1), sizes, "o-", markersize=4, color=color)
    axis.set_xticks(range(1, len(sizes) + 1))
    return "hidden layer"
