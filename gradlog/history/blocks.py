"""Blocks: which parts of a network repeat, told by the names of its variables alone."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, takewhile

from gradlog.history import names

BETWEEN = re.compile(r"[/.]")  # what stands between layers in a name: Keras', PyTorch's
_NUMBER = re.compile(r"(\d+[a-z]?)(?=[/._])")
_ANY_NUMBER = re.compile(r"_?\d+[a-z]?(?=[/._]|$)")
_DIMENSIONS = re.compile(r"(conv|lstm)\d+d$", re.IGNORECASE)  # of a kind of layer: conv2d
_ATTENTION = {"query", "key", "value"}  # an attention layer has several kernels and is a layer nonetheless
_BOTH_WAYS = {"forward", "backward"}  # and so is a recurrent layer that reads both ways
_MIN_KERNELS, _MIN_BLOCKS = 2, 2
_ALIKE, _WITHIN = 0.5, 0.8  # shares of layers
_MAX_DEPTH = 8  # numbers in a name that are looked at


@dataclass(frozen=True)
class Block:
    """A part of a network that repeats, such as a transformer's layer or a residual block.

    Attributes:
        key: String, what the names of its variables start with: `"transformer_layer_0"`.
        number: String, what tells it from those of its kind: `"0"`, or `"2.1"` for `conv2_block1`.
        kind: String, what tells its kind from other kinds: `"encoder"`; empty where there is one kind alone.
    """

    key: str
    number: str
    kind: str = ""

    @property
    def short(self) -> str:
        """The block as labels start: `"0"`, `"encoder 0"`."""
        return f"{self.kind} {self.number}".strip()

    @property
    def title(self) -> str:
        """The block in words: `"block 0"`, `"encoder block 0"`."""
        return f"{self.kind} block {self.number}".strip()


@dataclass(frozen=True)
class _Prefix:
    """The start of a name that ends with a number; `stem` is what stands before the number."""

    key: str
    stem: str
    number: str

    @property
    def family(self):
        """The stem without numbers, which is the same for `conv2_block1` and `conv3_block1`."""
        return _ANY_NUMBER.sub("", self.stem)


def find(variables: tuple[str, ...]) -> dict[str, Block]:
    """Finds the blocks of a network.

    A block is a start of names that ends with a number, has at least two kernels in different layers, and is like at
    least one of its neighbours. Where blocks are in others of which they fill nearly everything, as those of a stage
    of a ResNet, the inner ones count, and their number is that of both.

    Args:
        variables: Names of all of a network's variables, in its order.

    Returns:
        A dictionary of `Block` by key, in the network's order; empty if there are none.

    Example:
    >>> layers = ("query", "mlp")
    >>> list(find(tuple(f"layer_{number}/{layer}/kernel" for number in (0, 1) for layer in layers)))
    ['layer_0', 'layer_1']
    >>> find(("layer1/kernel", "layer2/kernel"))
    {}
    """
    kernels, inside = names.kernels(variables), defaultdict(set)
    prefixes = {name: _prefixes(name) for name in variables}
    for name in kernels:
        for prefix in prefixes[name]:
            inside[prefix].add(_layer(name)[len(prefix.key) :])
    able = _able({prefix: layers for prefix, layers in inside.items() if _is_block(layers)})
    chains = {name: chain for name in variables if (chain := [one for one in prefixes[name] if one in able])}
    return _named(_settled(chains))


def starts(name: str) -> Iterator[str]:
    """Yields the starts of a name at which a block may end, longest first, the name itself among them."""
    yield name
    for place in range(len(name) - 1, 0, -1):
        if name[place] in "/._":
            yield name[:place]


def _prefixes(name):
    """Returns the starts of a name that end with a number, and those that Keras has left without one."""
    found = []
    for match in islice(_NUMBER.finditer(name), _MAX_DEPTH):
        if not _DIMENSIONS.search(name[: match.end()]):
            found.append(_Prefix(name[: match.end()], name[: match.start()], match[1]))
    for match in islice(BETWEEN.finditer(name), _MAX_DEPTH):
        if match.start() and not name[match.start() - 1].isdigit():
            key = name[: match.start()]
            found.append(_Prefix(key, f"{key}_", "0"))  # the first of `block`, `block_1`, `block_2`
    return sorted(found, key=lambda prefix: len(prefix.key))


def _layer(name):
    """Returns a variable's name without the variable."""
    return re.sub(r"[/.][^/.]*$", "", name)


def _is_block(layers):
    parts = {BETWEEN.split(layer.strip("/."))[0] for layer in layers}
    directions = {part.partition("_")[0] for part in parts}
    is_one_layer = parts >= _ATTENTION or directions == _BOTH_WAYS
    return len(layers) >= _MIN_KERNELS and not is_one_layer


def _able(inside):
    """Returns those prefixes, with the layers inside of them, that belong to a family of blocks."""
    by_stem = defaultdict(dict)
    for prefix in inside:
        if prefix.number not in by_stem[prefix.stem] or prefix.key != prefix.stem[:-1]:  # `block_0` before `block`
            by_stem[prefix.stem][prefix.number] = prefix
    families = {
        next(iter(members.values())).family
        for members in by_stem.values()
        if len(members) >= _MIN_BLOCKS and _are_alike([inside[one] for one in members.values()])
    }
    return {one for members in by_stem.values() for one in members.values() if one.family in families}


def _are_alike(blocks):
    """Whether at least half of the layers in an average block are in another one as well."""
    layers = [{_ANY_NUMBER.sub("", f"{layer}/") for layer in block} for block in blocks]
    counts = Counter(layer for block in layers for layer in block)
    shares = [sum(counts[layer] > 1 for layer in block) / len(block) for block in layers]
    return sum(shares) / len(shares) >= _ALIKE


def _settled(chains, depth=0):
    """Returns by key the prefixes that lead to each block: an outer one, or an inner one where those fill it."""
    found = {}
    for group in _by_family(chains, depth).values():
        inner = max(_by_family(group, depth + 1).values(), key=len, default={})
        if len(set(map(_layer, inner))) >= _WITHIN * len(set(map(_layer, group))):
            found |= _settled(inner, depth + 1)
        else:
            found |= {chain[depth].key: chain[: depth + 1] for chain in group.values()}
    return found


def _by_family(chains, depth):
    groups = defaultdict(dict)
    for name, chain in chains.items():
        if depth < len(chain):
            groups[chain[depth].family][name] = chain
    return groups


def _named(settled):
    """Returns the blocks of prefixes by key; a number that two of a kind share is made longer."""
    kinds = _kinds(list(dict.fromkeys(chain[-1].family for chain in settled.values())))
    blocks = [
        Block(key, ".".join(one.number for one in chain), kinds[chain[-1].family]) for key, chain in settled.items()
    ]
    counts = Counter((block.number, block.kind) for block in blocks)
    return {
        block.key: block if counts[block.number, block.kind] == 1 else replace(block, number=block.key)
        for block in blocks
    }


def _kinds(families):
    """Returns what tells each family of blocks from the others, in words."""
    words = [[word for word in re.split(r"[/._]", family) if word] for family in families]
    start = _num_shared(words)
    end = min(_num_shared([each[::-1] for each in words]), min(map(len, words), default=0) - start)
    kinds = ["_".join(each[start : len(each) - end]) for each in words]
    if len(families) > len(set(kinds)):
        kinds = families
    return dict(zip(families, kinds if len(families) > 1 else [""], strict=True)) if families else {}


def _num_shared(lists):
    """Returns with how many equal items all lists start."""
    return len(list(takewhile(lambda items: len(set(items)) == 1, zip(*lists, strict=False))))
