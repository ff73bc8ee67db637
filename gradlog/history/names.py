"""Names of variables, statistics and tags, in one place, so that writer and reader agree."""

import re
from collections import Counter
from collections.abc import Iterable

FORMAT_VERSION = 1
PLUGIN_NAME = "gradlog"
STATISTICS_TAG = "gradlog/statistics"
ATTENTION_TAG = "gradlog/attention"
FINDINGS_TAG = "gradlog/findings"
RUN_TAG = "gradlog/run"  # JSON
RUN_TABLE_TAG = "gradlog/run_table"  # the same as a Markdown table

# The columns of `gradlog/statistics`.
MEAN_ABS = "gradient_mean_abs"
NORM = "gradient_norm"
ZERO_FRACTION = "gradient_zero_fraction"
NONFINITE = "gradient_nonfinite"
WEIGHT_NORM = "weight_norm"
UPDATE_RATIO = "update_ratio"
LOSS_MEAN_ABS = "loss_gradient_mean_abs"  # of the gradient without that of the variable's penalty
LOSS_NORM = "loss_gradient_norm"
SECOND_MOMENT_RATIO = "second_moment_ratio"  # of the gradient to what the optimizer remembers of those before
EPSILON_FRACTION = "epsilon_fraction"
UNUSED_ROWS = "unused_rows"
# Those that are also written as scalars, and their tags' prefixes.
SCALAR_TAGS = {
    MEAN_ABS: MEAN_ABS,
    NORM: NORM,
    WEIGHT_NORM: WEIGHT_NORM,
    UPDATE_RATIO: UPDATE_RATIO,
    NONFINITE: "nonfinite",
    LOSS_MEAN_ABS: LOSS_MEAN_ABS,
    LOSS_NORM: LOSS_NORM,
    SECOND_MOMENT_RATIO: SECOND_MOMENT_RATIO,
    EPSILON_FRACTION: EPSILON_FRACTION,
    UNUSED_ROWS: UNUSED_ROWS,
}
GRADIENT_HISTOGRAM = "gradient"
WEIGHT_HISTOGRAM = "weight"
ACTIVATION_HISTOGRAM = "activation"
ACTIVATION_DEAD = "activation_dead"
ACTIVATION_SATURATED = "activation_saturated"
ATTENTION_ENTROPY = "attention_entropy"
ATTENTION_LOGIT = "attention_logit"
ATTENTION_SINK = "attention_sink"
ATTENTION_VALUES = ("entropy", "logit", "sink")  # the last axis of `gradlog/attention`
STREAM_RMS = "stream_rms"
STREAM_PEAK = "stream_peak"
STREAM_RANK = "stream_rank"
STREAM_COSINE = "stream_cosine"
MOVING_MEAN_ERROR = "moving_mean_error"
MOVING_VARIANCE_ERROR = "moving_variance_error"
EXPERT_LOAD = "expert_load"
LAYER_SCALARS = (  # prefixes of tags of layers
    ACTIVATION_DEAD,
    ACTIVATION_SATURATED,
    ATTENTION_ENTROPY,
    ATTENTION_LOGIT,
    ATTENTION_SINK,
    STREAM_RMS,
    STREAM_PEAK,
    STREAM_RANK,
    STREAM_COSINE,
    MOVING_MEAN_ERROR,
    MOVING_VARIANCE_ERROR,
    EXPERT_LOAD,
)
GLOBAL = "global"
GLOBAL_NORM = f"{NORM}/{GLOBAL}"
PENALTY_TAG = "train/penalty"
LEARNING_RATE_TAG = "train/learning_rate"
NO_METRICS = ("loss", "penalty", "learning_rate")  # what stands beside the metrics in `train/`
CLIPPED_NORM = f"{NORM}/{GLOBAL}_clipped"
# Variables of other libraries that are not kernels.
_NO_KERNEL = re.compile(r"(^|[/._])(bias|gamma|beta|moving_\w+|running_\w+|alpha|embeddings?|scale)$")


def tag(prefix: str, variable: str) -> str:
    """Returns the tag of one summary: `tag("gradient", "layer1/kernel")` is `"gradient/layer1/kernel"`."""
    return f"{prefix}/{variable}"


def variable_names(paths: list[str], model_name: str) -> list[str]:
    """Turns the paths of a model's variables into the names that tags use.

    A name is Keras' path without the model's own name, which `Sequential` and subclassed models put in front
    and functional models do not: so the same architecture has the same tags, however it was built. Of several
    variables with one path, as two layers of one name have in a subclassed model, the second gets `_2` at its
    layer's name, and so on.

    Args:
        paths: Strings, the `path` of each variable, in the model's order.
        model_name: String, the model's name.

    Returns:
        A list of unique strings in the same order.

    Example:
    >>> variable_names(["net/layer1/kernel", "net/layer1/bias"], "net")
    ['layer1/kernel', 'layer1/bias']
    >>> variable_names(["dense/kernel", "dense/kernel"], "net")
    ['dense/kernel', 'dense_2/kernel']
    """
    prefix = f"{model_name}/"
    is_everywhere = all(path.startswith(prefix) for path in paths)
    # A nested model that was built before has its own name alone; and a layer may be called what the model is.
    paths = [path.removeprefix(prefix) if is_everywhere or path.count("/") > 1 else path for path in paths]
    taken, seen, names = set(paths), Counter[str](), []
    for path in paths:
        seen[path] += 1
        names.append(path if seen[path] == 1 else _numbered(path, seen[path], taken))
        taken.add(names[-1])
    return names


def layer_names(paths: list[str], model_name: str) -> list[str]:
    """Turns the paths of a model's layers into the names that tags use: those of their variables, without the variable.

    Args:
        paths: Strings, the `path` of each layer, in the model's order.
        model_name: String, the model's name.

    Returns:
        A list of unique strings in the same order.

    Example:
    >>> layer_names(["net/layer1", "net/layer2"], "net")
    ['layer1', 'layer2']
    """
    return [name.rpartition("/")[0] for name in variable_names([f"{path}/output" for path in paths], model_name)]


def kernels(names: Iterable[str]) -> list[str]:
    """Returns those of the names of variables that are kernels, in the order in which they came.

    Keras names them `kernel`, `recurrent_kernel`, `depthwise_kernel` or `pointwise_kernel`. If none has such a name, as
    in a log of another library, all variables count but biases, embeddings and those of normalization.

    Example:
    >>> kernels(["lstm/kernel", "lstm/recurrent_kernel", "lstm/bias"])
    ['lstm/kernel', 'lstm/recurrent_kernel']
    >>> kernels(["fc1.weight", "fc1.bias"])
    ['fc1.weight']
    """
    names = list(names)
    found = [name for name in names if name.endswith("kernel")]
    return found or [name for name in names if not _NO_KERNEL.search(name)]


def _numbered(path, number, taken):
    layer, slash, variable = path.rpartition("/")
    name = f"{layer}_{number}{slash}{variable}" if layer else f"{path}_{number}"
    return name if name not in taken else _numbered(path, number + 1, taken)
