"""What all changes share: their form, and what they are proposed from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from gradlog.diagnosis.finding import Finding, some
from gradlog.history.history import History
from gradlog.history.run import Run
from gradlog.repair.data import Data
from gradlog.repair.task import Task
from gradlog.repair.training import Training


class Change(Protocol):
    """A change of a training: a name, what it makes of one, and the code that a person would write.

    One that makes others useless has their names in `overrides`; one that only graphs of layers can have has
    `changes_layers`.
    """

    __dataclass_fields__: ClassVar[dict]  # a change is a dataclass, whose fields are its arguments

    @property
    def name(self) -> str:
        """What is changed, in a few words; of several changes of one name, the last one counts."""

    def applied(self, training: Training) -> Training:
        """Returns the changed training; the one that is given stays as it is."""

    def code(self, training: Training) -> str:
        """Returns the change of a training as lines of code, with what was there before in a comment."""


@dataclass(frozen=True)
class Observed:
    """A training that was tried, and what was seen of it; changes are proposed from it.

    Attributes:
        training: The `Training`.
        task: The `Task`.
        data: The `Data`, not prepared.
        run: `Run`, what the model was made of.
        findings: The `Finding`s, causes first.
        history: The `History`.
        epochs: Integer, passes through the data that a whole training makes.
    """

    training: Training
    task: Task
    data: Data
    run: Run
    findings: tuple[Finding, ...]
    history: History
    epochs: int

    @property
    def num_steps(self) -> int:
        """The steps of a whole training."""
        return self.epochs * -(-len(self.data.train) // self.training.batch_size)


Proposals = Callable[[Observed], Sequence[Change]]  # likeliest first; empty where none applies


def where(layers: Sequence) -> str:
    """Returns the names of layers for a comment in code.

    Example:
    >>> import keras
    >>> where([keras.layers.Dense(1, name="a"), keras.layers.Dense(1, name="b")])
    'in a, b'
    """
    return f"in {some(tuple(one.name for one in layers))}"


def optimizer_code(training: Training, **settings) -> str:
    """Returns the optimizer of a training as one writes it, with other arguments; its defaults are left out."""
    usual = training.optimizer().get_config()
    own = {name: training.settings.get(name) for name in _WRITTEN}
    own = {name: value for name, value in own.items() if value != usual.get(name)}
    known = {"learning_rate": training.rate} | own | settings
    written = {name: value for name, value in known.items() if value is not None}
    inside = ", ".join(f"{name}={_short(value)}" for name, value in written.items())
    return f"keras.optimizers.{training.optimizer.__name__}({inside})"


_WRITTEN = (
    *("momentum", "nesterov", "rho", "beta_1", "beta_2", "epsilon", "amsgrad", "weight_decay"),
    *("clipnorm", "global_clipnorm", "clipvalue", "use_ema", "gradient_accumulation_steps"),
)


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
