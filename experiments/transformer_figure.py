"""The picture of `experiments.transformers`: the loss, and what gradients, attention and residual stream do."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import gradlog
from experiments.figures import label
from experiments.transformer_numbers import blocks

_TOP = 1.7  # of the loss that is shown, over that of counting
_COLORS = plt.get_cmap("tab10").colors


def draw(results, log_dir, path):
    """Draws the trainings over each other: three panels over the steps, three over the blocks.

    Args:
        results: Dictionary that `experiments.transformers.run` returned.
        log_dir: The directory of the runs.
        path: Path of the PNG.

    Returns:
        The path.
    """
    figure, axes = plt.subplots(2, 3, figsize=(13, 7.2), layout="constrained")
    histories = gradlog.read(log_dir)
    for color, row in zip(_COLORS, results["scenarios"], strict=False):
        history = histories[row["scenario"]]
        _draw_over_steps(axes[0], history, {"color": color, "label": row["scenario"], "lw": 1.6})
        _draw_over_blocks(axes[1], history, {"color": color, "marker": "o", "ms": 4, "lw": 1.6})
    axes[0, 0].axhline(results["loss_of_counting"], color="grey", ls=":", lw=1, label="counting characters")
    axes[0, 0].set_ylim(0, _TOP * results["loss_of_counting"])  # one that explodes leaves the picture
    axes[0, 0].legend(frameon=False, fontsize=8, loc="lower left")
    figure.suptitle(f"A language model of {results['config']['blocks']} blocks on {results['data']}", fontsize=11)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


def _draw_over_steps(axes, history, style):
    loss = history.scalars["train/loss"]
    axes[0].plot(loss.steps, loss.values, **style)
    kernels = [history.variables.index(name) for name in history.kernels()]
    axes[1].semilogy(history.steps, np.nanmax(history.statistic("update_ratio")[:, kernels], axis=1), **style)
    axes[2].plot(history.steps, blocks(history, "attention_entropy").min(axis=1), **style)
    label(axes[0], "Loss of the logged batches", "step", "cross-entropy")
    label(axes[1], "Largest step of a kernel, over its weights", "step", "update ratio")
    label(axes[2], "Lowest entropy of a layer's attention", "step", "entropy over its maximum")
    axes[2].set_ylim(0, 1.02)


def _draw_over_blocks(axes, history, style):
    gradients = history.statistic("gradient_mean_abs")
    names = [name for name in history.kernels() if name.endswith("contract/kernel")]
    usual = np.nanmedian(gradients[:, [history.variables.index(name) for name in names]], axis=0)
    axes[0].semilogy(np.where(usual > 0, usual, np.nan), **style)
    axes[1].semilogy(blocks(history, "stream_rms")[-1], **style)
    axes[2].plot(blocks(history, "stream_cosine")[-1], **style)
    label(axes[0], "Gradient of each block's last kernel, median", "block", "mean |gradient|")
    label(axes[1], "Size of the residual stream, last logged step", "block", "root mean square")
    label(axes[2], "How alike two tokens are, last logged step", "block", "mean cosine")
    axes[2].set_ylim(min(0, axes[2].get_ylim()[0]), 1.02)
    for axis in axes:
        axis.xaxis.get_major_locator().set_params(integer=True)  # blocks are numbered
