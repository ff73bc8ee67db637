"""Metadata: the tab's constants, and everything that the page offers to choose from."""

from gradlog.history import names

PLUGIN_NAME = names.PLUGIN_NAME  # TensorBoard shows a plugin's tab if any run has summaries of this name
TAB_NAME = "Gradients"
SAMPLES = 1000  # tables that TensorBoard keeps per run, as many as of a scalar; its own default is 10 or 100


def _statistic(label, is_fraction=False):
    return {"label": label, "is_fraction": is_fraction, "is_of_layers": False}


def _of_layers(label, is_fraction=True):
    return {"label": label, "is_fraction": is_fraction, "is_of_layers": True}


# By column in `gradlog/statistics` or, for statistics of layers, by the prefix of their tags.
STATISTICS = {
    "gradient_mean_abs": _statistic("mean |gradient|"),
    "gradient_norm": _statistic("gradient norm"),
    "update_ratio": _statistic("update ratio"),
    "gradient_zero_fraction": _statistic("fraction of zero gradients", is_fraction=True),
    names.ACTIVATION_DEAD: _of_layers("fraction of dead units"),
    names.ACTIVATION_SATURATED: _of_layers("fraction of saturated activations"),
    "weight_norm": _statistic("weight norm"),
    names.SECOND_MOMENT_RATIO: _statistic("gradient over the optimizer's memory of it"),
    names.EPSILON_FRACTION: _statistic("fraction below the optimizer's epsilon", is_fraction=True),
    names.UNUSED_ROWS: _statistic("fraction of unused rows of embeddings", is_fraction=True),
    names.STREAM_RMS: _of_layers("size of the residual stream", is_fraction=False),
    names.STREAM_COSINE: _of_layers("how alike tokens are (cosine)"),
    names.STREAM_RANK: _of_layers("effective rank of the tokens"),
    names.ATTENTION_ENTROPY: _of_layers("entropy of attention"),
    names.ATTENTION_LOGIT: _of_layers("largest logit of attention", is_fraction=False),
}
HISTOGRAMS = {
    names.GRADIENT_HISTOGRAM: {"label": "gradients", "is_of_layers": False},
    names.WEIGHT_HISTOGRAM: {"label": "weights", "is_of_layers": False},
    names.ACTIVATION_HISTOGRAM: {"label": "activations", "is_of_layers": True},
}
# What `gradlog/attention` has of each head.
ATTENTION = {
    "entropy": {"label": "entropy, over its maximum", "is_fraction": True},
    "logit": {"label": "largest logit", "is_fraction": False},
    "sink": {"label": "share of the first token", "is_fraction": True},
}
PARTS = {"kernels": "kernels", "biases": "biases", "all": "all variables"}
# The statistic in which a finding shows, by the code of its rule.
STATISTIC_OF_FINDING = {
    "GL101": "gradient_mean_abs",
    "GL102": "gradient_mean_abs",
    "GL103": "gradient_mean_abs",
    "GL104": "gradient_zero_fraction",
    "GL201": names.ACTIVATION_DEAD,
    "GL202": names.ACTIVATION_SATURATED,
    "GL203": names.ATTENTION_ENTROPY,
    "GL204": names.ATTENTION_LOGIT,
    "GL205": names.STREAM_COSINE,
    "GL301": "update_ratio",
    "GL302": "update_ratio",
    "GL303": "weight_norm",
    "GL304": names.EPSILON_FRACTION,
}
