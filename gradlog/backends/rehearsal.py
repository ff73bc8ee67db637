"""Rehearsal: steps of a training on copies of the weights and of the optimizer, on one batch.

Everything runs at once, without a program that would have to be traced. The passes are in a `keras.StatelessScope`,
which throws away what layers assign; the loss is the model's own `compute_loss`.
"""

import contextlib
import math
import random
from collections.abc import Iterator, Sequence

import keras
import numpy as np
from keras import ops

from gradlog.backends import penalties
from gradlog.backends.engine import engine
from gradlog.backends.layers import fractions_of, hidden_outputs, kept_outputs, watched_layers
from gradlog.backends.optimizers import inner_optimizer
from gradlog.backends.options import named_variables
from gradlog.history.first_step import Activation, FirstStep
from gradlog.history.history import Snapshot
from gradlog.stats.snapshots import StepLayout, snapshot


class Rehearsal:
    """Makes training steps on copies of a model's weights and of its optimizer; the model stays as it is.

    Args:
        model: A compiled and built Keras model.
        batch: The inputs and the targets of one batch, in the structures that the model takes.
        guard: The `Guard` of what looks at the layers.
    """

    def __init__(self, model: keras.Model, batch: Sequence, guard):
        self._model, self._guard = model, guard
        self._batch = batch
        self._names, self._variables = zip(*named_variables(model), strict=True)
        self._copies = [_copy(one) for one in self._variables]
        self._optimizer = _copied_optimizer(inner_optimizer(model.optimizer), self._copies)

    @staticmethod
    def can(model: keras.Model) -> bool:
        """Whether the steps of a model's training can be made on copies: it trains as Keras does, on one device."""
        is_keras_own = all(
            getattr(getattr(type(model), name, None), "__module__", "").startswith("keras.")
            for name in ("train_step", "compute_loss")
        )
        has_all = is_keras_own and model.built and getattr(model, "optimizer", None) is not None
        return has_all and bool(model.trainable_variables) and engine().num_replicas(model) == 1

    def first(self) -> FirstStep:
        """Makes the first step, and returns what was to be seen."""
        with _undisturbed(self._model):
            watched, called, before = watched_layers(self._model), [], self._values()

            def passed(values):
                with kept_outputs(watched, self._guard) as calls:
                    predictions, loss, penalty = self._pass(values)
                hidden = hidden_outputs(watched, calls, predictions)
                called.extend(one for one, _ in hidden)
                return loss, (loss, penalty, [outputs for _, outputs in hidden])

            gradients, (loss, penalty, outputs) = engine().gradients(passed, before)
            seen = list(zip(called, outputs, strict=True))
            self._optimizer.apply(gradients, self._copies)
            taken = self._snapshot(gradients, before, loss, penalty, seen)
            _, *after = self._pass(self._values())
        return FirstStep(
            snapshot=taken,
            loss_after=_without(*after),
            activations=tuple(_activation(one.name, outputs) for one, outputs in seen),
            num_rows=next((len(one) for one in keras.tree.flatten(self._batch[0]) if one is not None), None),
        )

    def losses(self, number: int) -> Iterator[float]:
        """Makes so many steps; yields the loss without penalties ahead of each."""
        for _ in range(number):
            with _undisturbed(self._model):

                def passed(values):
                    _, loss, penalty = self._pass(values)
                    return loss, (loss, penalty)

                gradients, (loss, penalty) = engine().gradients(passed, self._values())
                self._optimizer.apply(gradients, self._copies)
            yield _without(loss, penalty)

    def _values(self):
        """Returns the weights of the copies."""
        return [ops.copy(one.value) for one in self._copies]

    def _pass(self, values):
        """Returns the predictions, the loss, and what penalties add to it, with certain weights."""
        with keras.StatelessScope(list(zip(self._variables, values, strict=True)), collect_losses=True):
            return *_loss(self._model, self._batch), penalties.penalty(self._model)

    def _snapshot(self, gradients, before, loss, penalty, seen) -> Snapshot:
        own = [ops.zeros((0,)) if one is None else ops.convert_to_tensor(one) for one in gradients]
        layout = StepLayout(
            variables=self._names,
            sizes=np.array([math.prod(one.shape) for one in before]),
            has_gradient=np.array([one is not None for one in gradients]),
            has_loss=True,
            has_penalty=penalty is not None,
        )
        layout.regularized = tuple(one for one in penalties.regularized(self._variables) if layout.has_gradient[one])
        of = engine()
        arrays = {"totals": of.totals(own), "weights": of.totals(before, ["squares"]), "counts": of.histograms(own)}
        arrays["moved"] = of.square_distances(self._values(), before)
        arrays |= {"loss": loss, "penalty": penalty} if layout.has_penalty else {"loss": loss}
        if layout.regularized:
            added = penalties.gradients(self._variables, before, layout.regularized)
            parts = zip(layout.regularized, added, strict=True)
            arrays["loss_totals"] = of.totals([own[one] - part for one, part in parts])
        taken = snapshot(layout, 0, of.on_host(arrays))
        for one, outputs in seen:
            taken.scalars.update({tag: float(part) for tag, part in fractions_of(one, outputs).items()})
        return taken


@contextlib.contextmanager
def _undisturbed(model):
    """Leaves random states, and a loss that is not built, as they are."""
    state = random.getstate()
    try:
        with engine().undisturbed(), _left_unbuilt(getattr(model, "_compile_loss", None)):
            yield
    finally:
        random.setstate(state)


@contextlib.contextmanager
def _left_unbuilt(loss):
    """Leaves a model's loss, which is built when it is first called, as it is."""
    if loss is None or loss.built:
        yield
        return
    state, metrics = dict(vars(loss)), list(loss.metrics)
    try:
        yield
    finally:
        vars(loss).update(state)
        loss.metrics[:] = metrics


def _without(loss, penalty):
    return float(loss) - (0 if penalty is None else float(penalty))


def loss_of(model: keras.Model, batch: Sequence) -> float:
    """Returns the loss of a batch, as a training has it, and leaves the model as it is."""
    with _undisturbed(model), keras.StatelessScope():
        return float(_loss(model, batch)[1])


def _loss(model, batch):
    """Returns the predictions and the loss."""
    inputs, targets = (keras.tree.map_structure(_tensor, part) for part in batch)
    predictions = model(inputs, training=True)
    return predictions, model.compute_loss(x=inputs, y=targets, y_pred=predictions, training=True)


def _tensor(array):
    return None if array is None else ops.convert_to_tensor(array)  # an output may have no targets


def _copy(variable):
    copy = keras.Variable(ops.copy(variable.value), trainable=True, dtype=variable.dtype, name=variable.name)
    copy.constraint = variable.constraint
    return copy


def _copied_optimizer(optimizer, variables):
    """Returns an optimizer as another is now, for copies of its variables; it does not accumulate."""
    copy = type(optimizer).from_config(optimizer.get_config() | {"gradient_accumulation_steps": None})
    copy.build(variables)
    if optimizer.built and len(optimizer.variables) == len(copy.variables):
        for one, other in zip(copy.variables, optimizer.variables, strict=True):
            one.assign(other)
    return copy


def _activation(name, outputs):
    """Returns what is told of a layer's outputs: their size, and how much they differ from example to example."""
    flat = [ops.reshape(ops.cast(one, "float32"), (one.shape[0], -1)) for one in outputs]
    size = np.sqrt(np.mean([float(ops.mean(ops.square(one))) for one in flat]))
    differences = np.sqrt(np.mean([float(ops.mean(ops.var(one, 0))) for one in flat]))
    return Activation(name, float(size), float(differences))
