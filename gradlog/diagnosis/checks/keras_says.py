"""GL516: Keras warns of the set-up, or cannot make the first step.

Why: what Keras says is easily missed among other output, as that targets and predictions differ in shape.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gradlog.diagnosis.checks.check import finding_of
from gradlog.diagnosis.checks.setup import Setup
from gradlog.diagnosis.finding import Finding

_SHAPES = ("Compare the shapes of a batch with model.input_shape and model.output_shape.",)
_READ = ("Read the warning: it says what Keras expects.",)


@dataclass(frozen=True)
class KerasSays:
    """Finds what Keras warns of, or fails with, when the first step is tried."""

    code = "GL516"
    name = "Keras warns"
    remedies = (*_SHAPES, *_READ)

    def findings(self, setup: Setup) -> Iterator[Finding]:
        """Yields a finding for each warning, and one if the step fails."""
        if setup.failure:
            yield finding_of(self, "", f"The first step fails: {setup.failure}", _SHAPES)
        for message in setup.messages:
            yield finding_of(self, "", f"Keras warns: {message}", _READ, severity="warning")
