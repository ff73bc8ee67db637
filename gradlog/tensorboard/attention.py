"""Attention: what each head of each layer attends to, as the page draws it."""

import numpy as np
from tensorboard import errors

from gradlog.events.decoding import attention_names
from gradlog.history.tree import tree_of
from gradlog.tensorboard import metadata
from gradlog.tensorboard.sampling import MAX_CELLS

_DIGITS = 6


def table(
    content: bytes, tensors: dict[int, np.ndarray], variables: tuple[str, ...], value: str, max_steps: int
) -> dict:
    """Returns one value of the heads of a run over the steps.

    Args:
        content: Bytes, the metadata of the tensor, JSON.
        tensors: Dictionary of steps to arrays [A, H, values]; NaN where a layer has fewer heads.
        variables: Names of the run's variables, which tell its blocks.
        value: String, a key of `metadata.ATTENTION`.
        max_steps: Integer, how many steps to return at most; fewer are returned for many heads.

    Returns:
        A dictionary of `value`, `layers` (A names), `labels` (the same in short), `steps` [T], `values` [T, A, H] with
        `None` for numbers that are missing or not finite, and `num_steps`.

    Raises:
        InvalidArgumentError: If the tensors are not what their metadata say.
    """
    try:
        layers, values = attention_names(content)
        column = values.index(value)
    except ValueError as error:
        raise errors.InvalidArgumentError(f"The attention cannot be read: {error}.") from error
    steps = [step for step in sorted(tensors) if _fits(tensors[step], len(layers), len(values))]
    size = max((tensors[step].shape[1] for step in steps), default=1) * max(len(layers), 1)
    number = min(max_steps, max(1, MAX_CELLS // max(size, 1)), len(steps))
    chosen = [steps[place] for place in np.unique(np.linspace(0, len(steps) - 1, number).round().astype(int))]
    tree = tree_of(tuple(variables))
    return {
        "value": value,
        "layers": list(layers),
        "labels": _labels(tree, layers),
        "steps": chosen,
        "values": [_numbers(tensors[step][:, :, column]) for step in chosen],
        "num_steps": len(steps),
    }


def _fits(tensor, num_layers, num_values):
    return tensor.ndim == 3 and tensor.dtype.kind == "f" and tensor.shape[::2] == (num_layers, num_values)


def _labels(tree, layers):
    """Returns the blocks of layers, where each is in one of its own; otherwise layers in short."""
    blocks = [tree.block(layer) for layer in layers]
    if None not in blocks and len(set(blocks)) == len(layers):
        return [block.title for block in blocks]
    return [tree.label(layer) for layer in layers]


def _numbers(values):
    return [[float(f"{one:.{_DIGITS}g}") if np.isfinite(one) else None for one in row] for row in values.tolist()]


def check(value: str) -> None:
    """Raises an `InvalidArgumentError` if there is no such value of attention."""
    if value not in metadata.ATTENTION:
        known = ", ".join(metadata.ATTENTION)
        raise errors.InvalidArgumentError(f"Unknown value of attention. Expected one of {known}. Received: {value!r}")
