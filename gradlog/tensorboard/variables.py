"""Variables: which of a run's variables are kernels and biases, and what the page calls them."""

from collections.abc import Sequence

from gradlog.history import names
from gradlog.history.tree import Block, tree_of
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


def tree(variables: Sequence[str], shown: Sequence[str]) -> dict:
    """Returns where names stand in the network's blocks.

    Args:
        variables: Strings, the run's variables, which tell what its blocks are.
        shown: Strings, those of the variables, or the layers, that the page shows.

    Returns:
        A dictionary of `blocks`, with `key`, `short` and `title` each; `places`, the index of each name's block or
        `None`; `inner`, each name in short, without its block; and `is_long`, whether to show it block by block. All
        lists are empty where the network has no blocks.

    Example:
    >>> names = [f"layer_{number}/{layer}/kernel" for number in (0, 1) for layer in ("attention", "mlp")]
    >>> found = tree(names, names)
    >>> found["blocks"][1]
    {'key': 'layer_1', 'short': '1', 'title': 'block 1'}
    >>> found["places"], found["inner"]
    ([0, 0, 1, 1], ['attention', 'mlp', 'attention', 'mlp'])
    """
    known = tree_of(tuple(variables))
    index: dict[Block | None, int] = {block: place for place, block in enumerate(known.blocks)}
    is_empty = not index
    return {
        "blocks": [{"key": block.key, "short": block.short, "title": block.title} for block in known.blocks],
        "places": [] if is_empty else [index.get(known.block(name)) for name in shown],
        "inner": [] if is_empty else [known.inner(name) for name in shown],
        "is_long": known.is_long,
    }


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
