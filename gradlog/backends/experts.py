"""Experts: how evenly a router spreads the tokens over the experts of a layer.

A router that sends most tokens to one expert leaves the others without a gradient (Shazeer et al., "Outrageously Large
Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer", 2017, section 4).
"""

import functools
import re
from collections.abc import Sequence
from typing import Any

from keras import ops

from gradlog.backends.layers import named_layers, parts
from gradlog.backends.measures import Measure, Reading
from gradlog.backends.watching import Watch, first_floats
from gradlog.history import names

_ROUTER = re.compile("router|gate", re.IGNORECASE)
_CHOSEN = ("top_k", "num_experts_per_token", "num_experts_per_tok")  # attributes that say to how many a token goes


def expert_load(calls: Sequence, num_chosen: int) -> Any:
    """Returns the busiest expert's share of the tokens, times the number of experts.

    Args:
        calls: What a router returned, a tensor [..., E] for each time that it was called: of each token, the logits or
            the probabilities of E experts.
        num_chosen: Integer, to how many experts a token goes; it counts once for each.

    Returns:
        Float32 scalar: 1 where all experts get alike, E where one gets all.

    Example:
    >>> float(expert_load([ops.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]])], 1))
    1.5
    """
    number = calls[0].shape[-1]
    tokens = ops.concatenate([ops.reshape(ops.cast(one, "float32"), (-1, number)) for one in calls])
    _, chosen = ops.top_k(tokens, num_chosen)
    counts = sum(ops.sum(ops.one_hot(chosen[:, rank], number, dtype="float32"), 0) for rank in range(num_chosen))
    return ops.max(counts) / ops.sum(counts) * number


def _watches(model):
    """Returns watches of all that may be a router: what is called so in a layer that says how many experts it has."""
    return [
        Watch(name, part, "call", functools.partial(_kept, layer))
        for name, layer in named_layers(model)
        if _number(layer, ("num_experts",)) > 1
        for part in parts(layer)
        if _ROUTER.search(part.name)
    ]


def _number(layer, attributes):
    """Returns the first of some attributes of a layer that is an integer; 1 where none is."""
    numbers = [getattr(layer, name, None) for name in attributes]
    return next((number for number in numbers if isinstance(number, int) and not isinstance(number, bool)), 1)


def _kept(layer, router, result, *args, **kwargs):
    """Keeps what a router returns, and the layer whose router it is, if there is one number for each expert."""
    output = first_floats(result)
    return (layer, output) if output is not None and output.shape[-1] == layer.num_experts else None


def _reading(watches, calls, results):
    """Reads [M] of the layers with a router; of one in another, as a router that has a layer of its own, the outer."""
    loads, inside = {}, set()
    for watch, of_watch in zip(watches, calls, strict=True):
        if not of_watch or id(of_watch[0][0]) in inside or watch.name in loads:
            continue
        layer = of_watch[0][0]
        inside.update(map(id, layer._flatten_layers(include_self=False)))
        loads[watch.name] = expert_load([output for _, output in of_watch], _number(layer, _CHOSEN))
    tags = [names.tag(names.EXPERT_LOAD, name) for name in loads]
    return Reading((ops.stack(list(loads.values())),), functools.partial(_finish, tags)) if loads else None


def _finish(tags, arrays):
    return {"scalars": dict(zip(tags, arrays[0].tolist(), strict=True))}


EXPERTS = Measure(_watches, _reading)
