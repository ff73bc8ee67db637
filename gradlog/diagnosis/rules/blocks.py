"""Blocks: which kernels belong together when layers are compared.

The kernels of attention, and the two of a recurrent cell, are one layer. A transformer's block is one as well: the
gradient reaches a block along the residual stream, and what of it reaches query and key depends on the attention, not
on the depth (Vaswani et al. 2017, section 3.1; He et al. 2016, "Identity mappings", section 2).
"""

import re
from collections.abc import Sequence

from gradlog.history.tree import tree_of

_ATTENTION = re.compile(r"[/._](query|key|value|attention_output)[/._][^/._]*$")
_WITHIN_A_LAYER = re.compile(r"(/(query|key|value|attention_output))?/[^/]*$|[._][^/._]*$")


def layer_of(kernel: str) -> str:
    """Returns the layer of a kernel: its name without what tells the kernels of one layer apart.

    Example:
    >>> layer_of("block/attention/query/kernel"), layer_of("lstm/recurrent_kernel"), layer_of("fc1.weight")
    ('block/attention', 'lstm', 'fc1')
    """
    return _WITHIN_A_LAYER.sub("", kernel) or kernel


def layers_of(kernels: Sequence[str]) -> list[str]:
    """Returns the layer of each kernel, or its block where that has attention in it.

    Example:
    >>> blocks = [f"block_{number}/{inside}/kernel" for number in (0, 1) for inside in ("mha/query", "dense")]
    >>> layers_of([*blocks, "head/kernel"])
    ['block_0', 'block_0', 'block_1', 'block_1', 'head']
    """
    tree = tree_of(tuple(kernels))
    known = [(name, tree.block(name)) for name in kernels]
    attending = {block for name, block in known if _ATTENTION.search(name)}
    return [layer_of(name) if block is None or block not in attending else block.key for name, block in known]
