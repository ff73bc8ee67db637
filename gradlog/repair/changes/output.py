"""An output layer and a loss that fit the targets: softmax or sigmoid with cross-entropy, or a linear layer."""

from dataclasses import dataclass, replace

import keras

from gradlog.diagnosis.checks.setup import REGRESSION
from gradlog.repair.changes.activation import activation_of
from gradlog.repair.changes.change import Observed
from gradlog.repair.surgery import ACTIVATIONS, cloned, output_layers, rebuilt
from gradlog.repair.task import CLASSES, LABELS, NUMBERS
from gradlog.repair.training import Training


@dataclass(frozen=True)
class Output:
    """The last layer with another activation and as many units as the targets need, and a loss that goes with them.

    Attributes:
        activation: String, Keras' name; `"linear"` for none.
        loss: String, Keras' name; `None` for the loss that there is.
        units: Integer; `None` for those that there are.
    """

    activation: str
    loss: str | None = None
    units: int | None = None
    name = "output and loss"
    changes_layers = True

    def applied(self, training: Training) -> Training:
        """Returns the training with another model and loss."""
        last, *after = output_layers(training.model)
        alone = {id(one) for one in after if type(one).__name__ in ACTIVATIONS}

        def edit(layer):
            if layer is last:
                return [cloned(layer, activation=self.activation, **({"units": self.units} if self.units else {}))]
            return [] if id(layer) in alone else [cloned(layer)]

        changed = training.changed(model=rebuilt(training.model, edit))
        return changed.changed(loss=self.loss) if self.loss else changed

    def code(self, training: Training) -> str:
        """Returns layer and loss."""
        last, *after = output_layers(training.model)
        activation = next(filter(None, map(activation_of, [*after[::-1], last])), "none")
        units = self.units or last.units
        was = f"  # was {type(last).__name__}({last.units}), activation {activation}"
        loss = f'\nloss="{self.loss}"  # was {_said(training.loss)}' if self.loss else ""
        activation = f', activation="{self.activation}"' if self.activation != "linear" else ""
        return f"keras.layers.Dense({units}{activation}){was}{loss}"


def proposals(observed: Observed) -> list[Output]:
    """Proposes the usual output for the task, unless it is there."""
    layers = output_layers(observed.training.model)
    if len(observed.run.outputs) != 1 or not layers or not isinstance(layers[0], keras.layers.Dense):
        return []
    found, task = observed.run.outputs[0], observed.task
    if observed.training.classes:
        task = replace(task, classes=tuple(range(len(task.classes))))
    wanted = _usual(task, found)
    if wanted is None:
        return []
    with_units = wanted.units or found.units
    is_there = (found.activation or "linear", found.loss, found.units) == (
        wanted.activation,
        wanted.loss or found.loss,
        with_units,
    )
    is_logits = found.from_logits and found.activation in (None, "linear") and with_units == found.units
    return [] if is_logits or (is_there and not found.from_logits) else [wanted]


def _usual(task, found):
    if task.kind == LABELS:
        return Output("sigmoid", "binary_crossentropy")
    if task.kind == NUMBERS:
        return Output("linear", None if found.loss in REGRESSION else "mean_squared_error")
    if task.kind != CLASSES:
        return None
    if task.is_one_hot:
        return Output("softmax", "categorical_crossentropy", len(task.classes))
    if len(task.classes) == 2 and found.units in (1, None):
        return Output("sigmoid", "binary_crossentropy", 1) if {*task.classes} == {0, 1} else None
    # There may be rows of further classes.
    return Output("softmax", "sparse_categorical_crossentropy", max(*task.classes, (found.units or 0) - 1) + 1)


def _said(loss):
    return repr(loss) if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
