"""GL505: the loss expects probabilities and gets logits, or the reverse.

Why: cross-entropy takes the logarithm of its input. An output that is not a probability is cut off at 0 and 1 first,
where the slope is zero; a probability that is taken for a logit is squeezed once more, so the loss cannot get low.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import BINARY, CROSS_ENTROPIES, Setup
from gradlog.diagnosis.finding import Finding

_UNBOUNDED = ("linear", "relu", "tanh", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "softsign")
_PROBABILITIES = ("sigmoid", "softmax")
_REMEDIES = (
    'Use activation="sigmoid", or "softmax" for several classes, in the output layer.',
    "Or leave it linear, and use the loss with from_logits=True.",
    "Remove the output's activation, or from_logits=True.",
)


@dataclass(frozen=True)
class Logits:
    """Finds a cross-entropy on an output without sigmoid or softmax, and `from_logits=True` on one that has it."""

    code = "GL505"
    name = "logits and probabilities mixed up"
    remedies = _REMEDIES

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding for each such output."""
        for output in setup.outputs:
            if output.loss not in CROSS_ENTROPIES:
                continue
            is_one_unit = output.units == 1 and output.loss not in BINARY  # GL503 says what is wrong there
            if output.activation in _UNBOUNDED and not output.from_logits and not is_one_unit:
                message = (
                    f"The loss {output.loss} expects probabilities, but the output {output.name} ends in "
                    f"{output.activation}."
                )
                yield finding_of(self, output.name, message, _remedies(output), severity="warning")
            elif output.activation in _PROBABILITIES and output.from_logits:
                message = (
                    f"The loss {output.loss} expects logits (from_logits=True), but the output {output.name} ends in "
                    f"{output.activation}."
                )
                yield finding_of(self, output.name, message, _REMEDIES[2:], severity="warning")


def _remedies(output):
    activation = "sigmoid" if output.loss in BINARY else "softmax"
    name = "".join(part.title() for part in output.loss.split("_"))
    return (
        f'Use activation="{activation}" in the output layer.',
        f"Or leave it linear, and use the loss keras.losses.{name}(from_logits=True).",
    )
