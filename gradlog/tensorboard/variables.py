"""Variables: which of a run's variables are kernels and biases, and what the page calls them."""

from collections.abc import Sequence

from gradlog.history import names
from gradlog.tensorboard import metadata

_KERNEL, _BIAS = "/kernel", "/bias"


def parts(variables: Sequence[str]) -> dict[str, list[int]]:
    """Returns the places of the kernels and of the biases among the variables, by the keys of `metadata.PARTS`.

    Example:
    >>> parts(["layer1/kernel", "layer1/bias"])
    {'kernels': [0], 'biases': [1]}
    """
    kernels = set(names.kernels(variables))
    return {
        "kernels": [place for place, name in enumerate(variables) if name in kernels],
        "biases": [place for place, name in enumerate(variables) if name.rpartition("/")[2] == "bias"],
    }


def short_name(variable: str) -> str:
    """Returns the name of a layer for its kernel and its bias; any other name as it is.

    Example:
    >>> short_name("layer1/kernel"), short_name("lstm/lstm_cell/recurrent_kernel")
    ('layer1', 'lstm/lstm_cell/recurrent_kernel')
    """
    return variable.removesuffix(_KERNEL) if variable.endswith(_KERNEL) else variable.removesuffix(_BIAS)


def short_names(variables: Sequence[str]) -> dict[str, str]:
    """Returns the short names by variable, without those that are no shorter."""
    return {name: short_name(name) for name in variables if short_name(name) != name}


def with_histogram(variables: Sequence[str], kind: str, name: str) -> str:
    """Returns the variable or the layer that a histogram of one kind is logged under.

    Args:
        variables: Strings, the run's variables.
        kind: A key of `metadata.HISTOGRAMS`.
        name: String, a variable or a layer.

    Example:
    >>> with_histogram(["layer1/kernel"], "gradient", "layer1")
    'layer1/kernel'
    >>> with_histogram(["layer1/kernel"], "activation", "layer1/kernel")
    'layer1'
    """
    if metadata.HISTOGRAMS[kind]["is_of_layers"]:
        return short_name(name)
    if name in variables:
        return name
    return next((each for each in variables if short_name(each) == name), name)
