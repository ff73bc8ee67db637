"""GL513: at the start, the activations grow or shrink from layer to layer, or are the same for all examples.

Why: each layer multiplies their size by about the deviation of its weights times the root of its inputs (Glorot and
Bengio 2010, section 4.2; He et al. 2015, section 2.2). Where that is not near 1, a deep network's outputs overflow or
carry nothing; and the gradient takes the same way back. Sigmoid adds a constant that hides what differs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import Setup
from gradlog.diagnosis.finding import Finding, some, written

_WEIGHTS = (
    "Match the initialization to the activation: He for ReLU and its variants, Glorot for tanh, LeCun for SELU.",
    "Add batch or layer normalization between the layers.",
)
_ALIKE = (
    "Use ReLU, leaky ReLU, ELU or GELU instead of sigmoid in the hidden layers.",
    "Add batch normalization, or use fewer layers.",
)


@dataclass(frozen=True)
class FirstActivations:
    """Finds hidden activations whose size changes by a large factor a layer, or that hardly depend on the input.

    Attributes:
        factor: Factor from layer to layer, the geometric mean over the hidden layers, above which they grow, and below
            whose inverse they shrink.
        min_layers: Hidden layers from which the factor is judged.
        spread: Deviation from example to example, over the size of the outputs, below which they are all alike.
    """

    factor: float = 3.0
    min_layers: int = 3
    spread: float = 1e-3
    code = "GL513"
    name = "activations do not carry the input"
    remedies = (*_WEIGHTS, *_ALIKE)

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields up to two findings, if the first step was tried."""
        if setup.first_step is None or setup.first_step.num_rows == 1:
            return
        layers = setup.first_step.activations
        sizes = [one.size for one in layers]
        if len(sizes) >= self.min_layers and min(sizes[0], sizes[-1]) > 0:
            factor = (sizes[-1] / sizes[0]) ** (1 / (len(sizes) - 1))
            if not 1 / self.factor <= factor <= self.factor:
                yield self._sized(layers, factor)
        alike = tuple(one.name for one in layers if one.size > 0 and one.spread < self.spread * one.size)
        if alike:
            smallest = min(one.spread / one.size for one in layers if one.size > 0)
            message = (
                f"The outputs of {some(alike)} are almost the same for all examples: from one to the next they differ "
                f"by {written(smallest)} of their size."
            )
            numbers = {"measured": smallest, "threshold": self.spread}
            yield finding_of(self, alike[0], message, _ALIKE, severity="warning", **numbers)

    def _sized(self, layers, factor):
        first, last = layers[0], layers[-1]
        verb, each = ("grow", factor) if factor > 1 else ("shrink", 1 / factor)
        message = (
            f"The activations {verb} by a factor of {written(each)} a layer: their root mean square is "
            f"{written(first.size)} in {first.name} and {written(last.size)} in {last.name}."
        )
        return finding_of(
            self, last.name, message, _WEIGHTS, severity="warning", measured=factor, threshold=self.factor
        )
