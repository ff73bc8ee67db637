"""Metadata: the constants of the tab."""

from gradlog.history import names

PLUGIN_NAME = names.PLUGIN_NAME  # TensorBoard shows a plugin where summaries of its name are
TAB_NAME = "Gradients"
SAMPLES = 1000  # tables that TensorBoard keeps of a run, as many as of a scalar; by itself it keeps 10, or 100

# What can be shown, by its column in `gradlog/statistics` or, of layers, by the prefix of its tags.
STATISTICS = {
    "gradient_mean_abs": "mean |gradient|",
    "gradient_norm": "gradient norm",
    "update_ratio": "update ratio",
    "gradient_zero_fraction": "fraction of zero gradients",
    names.ACTIVATION_DEAD: "fraction of dead units",
    names.ACTIVATION_SATURATED: "fraction of saturated activations",
    "weight_norm": "weight norm",
}
HISTOGRAMS = (names.GRADIENT_HISTOGRAM, names.WEIGHT_HISTOGRAM, names.ACTIVATION_HISTOGRAM)
