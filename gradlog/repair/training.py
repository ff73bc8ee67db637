"""Training: how a network is trained, as a value that changes are functions of."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import keras
import numpy as np

from gradlog.backends.engine import engine
from gradlog.backends.optimizers import inner_optimizer
from gradlog.repair.data import Data, Rows
from gradlog.repair.surgery import rebuilt


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
        model: A Keras model that is never trained: trainings are made of models like it.
        optimizer: The class of the optimizer.
        settings: Dictionary, its configuration.
        loss: What the model is compiled with.
        metrics: The same.
        options: Dictionary, further arguments of `compile`.
        batch_size: Integer.
        is_shuffled: Boolean, whether rows are shuffled.
        class_weight: Dictionary of classes to weights, or `None`.
        classes: Tuple of the class numbers that class 0, 1 … of the training stand for; empty if none was renumbered.
        preparations: Functions of the `Data` that return them prepared, in their order.
        restore: Function of predictions that returns them in the units of the targets as they came, or `None`.
    """

    model: keras.Model
    optimizer: type[keras.optimizers.Optimizer]
    settings: dict
    loss: object
    metrics: tuple = ()
    options: dict = field(default_factory=dict)
    batch_size: int = 32
    is_shuffled: bool = True
    class_weight: dict | None = None
    classes: tuple[int, ...] = ()
    preparations: tuple[Callable[[Data], Data], ...] = ()
    restore: Callable[[np.ndarray], np.ndarray] | None = None

    @classmethod
    def of(cls, model: keras.Model, data: Data, metrics: tuple = ()) -> "Training":
        """Returns how a compiled model is trained.

        Raises:
            ValueError: Keras cannot make the model anew.
        """
        optimizer = inner_optimizer(model.optimizer)
        template = rebuilt(model)
        built(template, data.train)
        return cls(
            model=template,
            optimizer=_public(type(optimizer)),
            settings=_settings(optimizer),
            loss=model.loss,
            metrics=metrics,
            options=_options(model),
            batch_size=data.batch_size,
            is_shuffled=data.is_shuffled,
        )

    def changed(self, **attributes) -> "Training":
        """Returns a training with some attributes changed."""
        return replace(self, **attributes)

    def with_settings(self, **settings) -> "Training":
        """Returns a training whose optimizer has other arguments."""
        return replace(self, settings=self.settings | settings)

    def fresh(self, rows: Rows) -> keras.Model:
        """Returns a compiled model with fresh weights, built with the first of some rows."""
        model = rebuilt(self.model)
        built(model, rows)
        model.compile(
            self.optimizer.from_config(dict(self.settings)),
            self.loss,
            metrics=list(self.metrics) or None,
            **self.options,
        )
        return model

    def prepared(self, data: Data) -> Data:
        """Returns the data as this training gets them."""
        for prepare in self.preparations:
            data = prepare(data)
        return data._replace(batch_size=self.batch_size, is_shuffled=self.is_shuffled)

    @property
    def rate(self) -> float | None:
        """The learning rate; of a schedule the one it begins with, or is warmed up to. `None` if it does not say."""
        rate = self.settings.get("learning_rate")
        if isinstance(rate, dict):
            config = rate["config"] if isinstance(rate.get("config"), dict) else {}  # that of a function is its name
            rate = config.get("warmup_target") or config.get("initial_learning_rate")
        return float(rate) if isinstance(rate, (int, float)) else None


def built(model: keras.Model, rows: Rows) -> None:
    """Builds a model that is not, with the first rows."""
    if not model.built:
        model(keras.tree.map_structure(keras.ops.convert_to_tensor, rows.at(slice(0, 2)).x))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Has Keras draw weights and dropout from a seed, and leaves the random states as they were."""
    states = random.getstate(), np.random.get_state()
    try:
        with engine().undisturbed():
            random.seed(seed)
            np.random.seed(seed)
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def _public(kind):
    """Returns the class that a user names: on PyTorch, `keras.optimizers.Adam(…)` is an instance of a subclass."""
    named = getattr(keras.optimizers, kind.__name__, kind)
    return named if kind.__module__.startswith("keras.") and issubclass(kind, named) else kind


def _settings(optimizer):
    """Returns the configuration of an optimizer; the learning rate as it was written, which Keras rounds to float32."""
    settings = {name: value for name, value in optimizer.get_config().items() if name != "name"}
    rate = settings.get("learning_rate")
    return settings | ({"learning_rate": float(str(np.float32(rate)))} if isinstance(rate, float) else {})


def _options(model):
    """Returns further arguments of `compile`, as far as the model tells them."""
    found = {
        "run_eagerly": bool(model.run_eagerly),
        "jit_compile": bool(model.jit_compile),
        "steps_per_execution": int(getattr(model, "steps_per_execution", 1) or 1),
    }
    try:
        weights = model.get_compile_config().get("loss_weights")
    except Exception:  # of functions that Keras cannot write
        weights = None
    return found | ({"loss_weights": weights} if weights is not None else {})
