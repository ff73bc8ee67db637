"""Tree: the names of a network's variables by block, layer and variable, and how they are said in short."""

import functools
from collections import Counter
from collections.abc import Iterable, Sequence

from gradlog.history import blocks, names
from gradlog.history.blocks import BETWEEN, Block

_MAX_NAMES = 4  # in a sentence
_MAX_TAILS = 2  # layers of a block that are named
_MANY, _FEW_BLOCKS = 30, 3  # kernels and blocks from which on a network is shown block by block
_BETWEEN_PARTS = " · "
_MAIN_VARIABLES = ("kernel", "weight")  # which go without saying


class Tree:
    """The blocks of a network, and where its variables stand in them; made by `tree_of`.

    Args:
        variables: Names of all variables, in the network's order.

    Attributes:
        blocks: `Block`s in the network's order; empty if nothing repeats.
        is_long: Whether the network is better shown block by block: it has more than 30 kernels and at least 3 blocks.

    Example:
    >>> layers = ("attention/query", "mlp")
    >>> tree = Tree(tuple(f"layer_{number}/{layer}/kernel" for number in range(4) for layer in layers))
    >>> [block.title for block in tree.blocks]
    ['block 0', 'block 1', 'block 2', 'block 3']
    >>> tree.label("layer_2/attention/query/kernel")
    '2 · attention · query'
    >>> tree.said(("layer_0/mlp/kernel", "layer_1/mlp/kernel", "layer_2/mlp/kernel"))
    'blocks 0 to 2 · mlp'
    """

    def __init__(self, variables: Sequence[str]):
        variables = tuple(variables)
        self._known = blocks.find(variables)
        self.blocks = tuple(self._known.values())
        self.is_long = len(self.blocks) >= _FEW_BLOCKS and len(names.kernels(variables)) > _MANY
        self._labels = self._unique(variables)

    def block(self, name: str) -> Block | None:
        """Returns the block of a variable or a layer, or that is meant itself; `None` if it is in none."""
        if not self._known:
            return None
        return next((self._known[start] for start in blocks.starts(name) if start in self._known), None)

    def label(self, name: str) -> str:
        """Returns a name in short, which begins with the number of its block; another one as it is, less `/kernel`.

        The labels of all variables differ.
        """
        return self._labels.get(name) or self._label(name)

    def inner(self, name: str) -> str:
        """Returns a label without the number of its block; an empty string for a block itself."""
        block, label = self.block(name), self.label(name)
        if block is None or not label.startswith(block.short):
            return label
        return label[len(block.short) :].removeprefix(_BETWEEN_PARTS)

    def grouped(self, chosen: Iterable[str]) -> list[tuple[Block | str, list[int]]]:
        """Returns the places of names by block, or by name for those in no block, in the order of their first."""
        groups: dict[Block | str, list[int]] = {}
        for place, name in enumerate(chosen):
            groups.setdefault(self.block(name) or name, []).append(place)
        return list(groups.items())

    def said(self, chosen: Sequence[str]) -> str:
        """Returns names for a sentence: blocks from one to another, and what these have in common.

        Names that are in no block are listed as `some` does.
        """
        by_kind: dict[str, list] = {}
        others = []
        for name in chosen:
            block = self.block(name)
            if block is None:
                others.append(name)
            else:
                by_kind.setdefault(block.kind, []).append((block, self._parts(block, name)))
        parts = [self._said_of_kind(kind, members) for kind, members in by_kind.items()]
        return ", ".join([*([some(tuple(others))] if others else []), *parts])

    def _said_of_kind(self, kind, members):
        numbers, meant = (
            [block.number for block in self.blocks if block.kind == kind],
            {one.number for one, _ in members},
        )
        places = [place for place, number in enumerate(numbers) if number in meant]
        ranges = [(numbers[first], numbers[last]) for first, last in _ranges(places)]
        texts = [first if first == last else f"{first} to {last}" for first, last in ranges]
        noun = "block" if len(places) == 1 else "blocks"
        return _BETWEEN_PARTS.join(
            [f"{kind} {noun} {', '.join(texts)}".strip(), *_common([parts for _, parts in members])]
        )

    def _unique(self, variables):
        labels = {name: self._label(name) for name in variables}
        while doubles := {label for label, number in Counter(labels.values()).items() if number > 1}:
            longer = {name: name for name, label in labels.items() if label in doubles and label != name}
            labels |= longer
        return labels

    def _label(self, name):
        block = self.block(name)
        return _BETWEEN_PARTS.join([block.short, *self._parts(block, name)]) if block else name.removesuffix("/kernel")

    def _parts(self, block, name):
        """Returns the parts of a name within its block, without the variable where it goes without saying."""
        parts = [part for part in BETWEEN.split(name[len(block.key) :].lstrip("/._")) if part]
        return parts[:-1] if parts and parts[-1] in _MAIN_VARIABLES else parts


@functools.lru_cache(maxsize=32)
def tree_of(variables: tuple[str, ...]) -> Tree:
    """Returns the `Tree` of a network's variables, a tuple of names; the same one for the same names."""
    return Tree(variables)


def some(chosen: tuple[str, ...]) -> str:
    """Returns names for a sentence: all of a few, otherwise the first two and the last.

    Example:
    >>> some(("a", "b"))
    'a, b'
    >>> some(tuple("abcdefg"))
    'a, b … g (7 in all)'
    """
    if len(chosen) <= _MAX_NAMES:
        return ", ".join(chosen)
    return f"{chosen[0]}, {chosen[1]} … {chosen[-1]} ({len(chosen)} in all)"


def _ranges(places):
    """Returns the first and the last of each run of rising numbers without a gap."""
    ranges = []
    for place in places:
        if ranges and place == ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], place
        else:
            ranges.append((place, place))
    return ranges


def _common(paths):
    """Returns what the layers of blocks have in common, and the rest where that is one part of few layers."""
    paths = list(dict.fromkeys(map(tuple, paths)))
    shared = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    tails = [path[len(shared) :] for path in paths]
    is_short = 1 < len(tails) <= _MAX_TAILS and all(len(tail) == 1 for tail in tails)
    return [*shared, " and ".join(tail[0] for tail in tails)] if is_short else shared
