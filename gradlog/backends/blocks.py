"""Blocks: the parts of a model that add to a residual stream, one after the other (He et al. 2016)."""

import dis
import inspect
import itertools
from collections import Counter
from collections.abc import Iterable

import keras

from gradlog.backends.layers import named_layers, parts

_PLUS = ("+", "+=")
_ADDS = {"add", "Add"}


def block_candidates(model: keras.Model) -> list[tuple[str, keras.layers.Layer]]:
    """Returns the layers that may be blocks, with their names: such as hold attention, or add to what they get.

    Outer ones come before those that they hold. Whether a layer returns what it gets in the same shape shows in a pass.
    """
    return [(name, layer) for name, layer in named_layers(model) if parts(layer) and _may_add(layer)]


def sums(model: keras.Model) -> list[tuple[str, keras.Operation]]:
    """Returns the additions in a graph of layers, and in those that it holds, with their names: `Add` and `+`."""
    tags = {id(layer): name for name, layer in named_layers(model)}
    graphs = [("", model), *((name, layer) for name, layer in named_layers(model) if isinstance(layer, keras.Model))]
    return [
        (tags.get(id(one), f"{name}/{one.name}".removeprefix("/")), one)
        for name, graph in graphs
        for one in getattr(graph, "operations", ())
        if type(one).__name__ == "Add"
    ]


def outermost_blocks(layers: Iterable[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """Returns the outermost of some layers that return what they get in the same shape, but not a stack of blocks.

    A stack holds two or more of a kind.

    Args:
        layers: Layers, outer ones before those that they hold.
    """
    layers, chosen, taken = list(layers), [], set()
    held = {id(layer): set(map(id, layer._flatten_layers(include_self=False))) for layer in layers}
    for layer in layers:
        if id(layer) not in taken and not _is_stack([one for one in layers if id(one) in held[id(layer)]], held):
            chosen.append(layer)
            taken |= held[id(layer)]
    return chosen


def _is_stack(inside, held):
    deeper = set(itertools.chain.from_iterable(held[id(one)] for one in inside))
    kinds = Counter(type(one) for one in inside if id(one) not in deeper)
    return max(kinds.values(), default=0) > 1


def _may_add(layer):
    if any(_is_attention(one) for one in layer._flatten_layers(include_self=False)):
        return True
    if isinstance(layer, keras.Model) and hasattr(layer, "operations"):
        return any(type(one).__name__ == "Add" for one in layer.operations)
    if _is_attention(layer) or type(layer).__module__.startswith("keras."):
        return False
    return any(type(one).__name__ == "Add" for one in parts(layer)) or _adds(type(layer).call)


def _is_attention(layer):
    """Whether a layer is attention of any kind, by its name."""
    return "attention" in type(layer).__name__.lower()


def _adds(function):
    """Whether a function has a `+`, or calls one that is called so, as the body of a residual block has."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return False
    operations = ((one.opname, one.argrepr) for one in dis.get_instructions(code))
    is_sum = any(name in ("BINARY_ADD", "INPLACE_ADD") or text in _PLUS for name, text in operations)
    return is_sum or not _ADDS.isdisjoint(code.co_names)
