"""Another activation of the hidden layers."""

from gradlog.diagnosis.changes.of_run import RELUS, SQUASHING, hidden_layers, listed, squashes
from gradlog.diagnosis.finding import Finding
from gradlog.history.run import Run


def other_activation(finding: Finding, run: Run) -> str:
    """Proposes ReLU where the hidden layers use an activation that saturates."""
    found = [one for one in hidden_layers(run) if one.activation in SQUASHING]
    if not found:
        return ""
    verb = "uses" if len(found) == 1 else "use"
    return f'activation="relu" in the hidden layers ({listed(found, run)} {verb} {found[0].activation})'


def other_activations(finding: Finding, run: Run) -> str:
    """Proposes the same where so many do that the gradient vanishes with depth: not for the pooling layer of a BERT."""
    return other_activation(finding, run) if squashes(run) else ""


def leaky_activation(finding: Finding, run: Run) -> str:
    """Proposes leaky ReLU where the layers use ReLU, which can die."""
    found = [one for one in hidden_layers(run) if one.activation in RELUS]
    return f'activation="leaky_relu" in {listed(found, run)}' if found else ""
