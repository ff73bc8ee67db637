"""Tap: looks at a training step from within, while it runs or is traced.

Methods of the optimizer and of the model are patched meanwhile. What the step hands them is reduced where it is, and
handed over to the host. Here is what all engines have in common; where the gradient is taken, each says itself. The
layers' `call` is patched as well, to see in which order they are called.
"""

import abc
import dataclasses
import functools
import math
from typing import Any

import keras
import numpy as np

from gradlog.backends import penalties
from gradlog.backends.engine import engine
from gradlog.backends.options import named_variables
from gradlog.backends.patches import Patch, Patches
from gradlog.backends.samples import batch_of, first_inputs, first_targets, have_inputs, have_targets
from gradlog.backends.second_moments import SecondMoments
from gradlog.stats import whole
from gradlog.stats.snapshots import StepLayout

_SINGLE = ("float32", "bfloat16", "float16")  # what a float32 holds


class Tap(abc.ABC):
    """Records the steps of one program for one recorder.

    Args:
        recorder: The `Recorder`.

    Attributes:
        recorder: The same.
        layout: `StepLayout`, what the recorded arrays mean; it is known once the program has been traced.
        order: Tuple of the names of all of the model's trainable variables, in the order in which layers are called.
        sees_gradients: Boolean, whether the program applies gradients with the recorder's optimizer.
    """

    def __init__(self, recorder):
        self.recorder, self.layout, self.order = recorder, StepLayout(), ()
        self._layout_before = self.layout
        self.sees_gradients = False
        self._plan, self._options = recorder.plan, recorder.options
        self._has_histograms = recorder.wants_histograms
        self._model, self._optimizer = recorder.model, recorder.optimizer
        self._variables, self._calls, self._moments = None, {}, None
        layers = self._model._flatten_layers(include_self=False)
        patches = [Patch(layer, "call", after=functools.partial(self._after_call, layer)) for layer in layers]
        patches += self._patches_of_step()
        if self._has_metrics():
            patches.append(Patch(self._model, "compute_metrics", after=self._after_metrics))
        self._patches = Patches(recorder.guard, patches)

    def put_on(self) -> None:
        """Begins to look at a step."""
        self._begin_layout()
        self._patches.put_on()

    def take_off(self) -> None:
        """Ends looking."""
        self._patches.take_off()
        self._end_layout()

    def is_built(self) -> bool:
        """Whether everything that the step makes variables for has them."""
        return self.recorder.is_built()

    def is_due(self) -> Any:
        """Returns whether to record the coming step, a tensor, or `None` where the step has nothing to decide."""
        return

    def outputs(self) -> dict:
        """Returns what the step has to return, by the name under which it stands among Keras' logs."""
        return {}

    # What an engine says.

    @abc.abstractmethod
    def _patches_of_step(self) -> list[Patch]:
        """Returns the methods to look at, beside the layers and `compute_metrics`."""

    @abc.abstractmethod
    def _store(self, name: str, value, batches_ago: int = 0) -> None:
        """Hands over a tensor of the step to which the coming batch belongs, or one that came before."""

    @abc.abstractmethod
    def _state(self, variable):
        """Returns the value that a variable of the optimizer has where it is asked for."""

    @abc.abstractmethod
    def _num_updates(self):
        """Returns how many updates the optimizer has made, as a tensor."""

    @staticmethod
    def key(variable) -> int:
        """Returns what tells a variable from others."""
        return id(variable)

    def _if_fresh(self, record) -> None:
        """Calls a function where the step that has just been applied is recorded."""
        record()

    def _taken(self, samples: dict):
        """Returns what functions take of a batch, by name; perhaps only at the first step of a training."""
        return {name: take() for name, take in samples.items()}

    def _sum_of_replicas(self, value):
        """Returns what the values of all replicas come to together."""
        return value

    def _mean_of_replicas(self, value):
        """Returns the mean of the values of all replicas."""
        return value

    # What all have in common.

    def _begin_layout(self):
        """Begins the layout of a step, which may differ from the one before where steps run as they are written."""
        self._layout_before, self.layout = self.layout, dataclasses.replace(self.layout)

    def _end_layout(self):
        """Ends it; steps of equal layouts get the same one, since those are reduced together."""
        if self.layout.is_like(self._layout_before):
            self.layout = self._layout_before

    def _has_metrics(self):
        return hasattr(self._model, "compute_metrics") and not self._plan.is_watched

    def _has_penalties(self):
        return self._plan.is_only_optimizer and penalties.adds_penalties(self._model)

    def _after_call(self, layer, result, *args, **kwargs):
        """Notes the layers' variables; a layer inside of another ends its call before it."""
        if self._variables is None:
            for variable in layer.trainable_variables:
                self._calls.setdefault(id(variable), len(self._calls))

    def _after_metrics(self, result, *args, **kwargs):
        """Records the metrics of the batch, where the method gets what Keras' own does."""
        metrics, batch = getattr(self._model, "_compile_metrics", None), batch_of(args, kwargs)
        if batch is None:
            return
        inputs, *others = batch
        self._if_fresh(functools.partial(self._record_batch, inputs, *others[:2]))
        if metrics is not None and metrics.built:
            self._if_fresh(functools.partial(self._record_metrics, metrics, *others))

    def _record_metrics(self, metrics, *batch):
        state = metrics.stateless_update_state(metrics.stateless_reset_state(), *batch)
        values = {name: value for name, value in metrics.stateless_result(state).items() if is_scalar(value)}
        self.layout.metrics = tuple(values)
        if values:
            numbers = keras.ops.stack([keras.ops.cast(value, "float32") for value in values.values()])
            self._store("metrics", self._mean_of_replicas(numbers), batches_ago=1)

    def _record_batch(self, inputs, targets, predictions):
        """Records how large the batch is, its first targets, and how large its inputs are."""
        outputs = [one for one in keras.tree.flatten(targets) if one is not None]
        first = next(iter([*outputs, *keras.tree.flatten(predictions)]), None)
        if first is not None and len(first.shape):
            self._store("batch_size", self._sum_of_replicas(self._num_rows(first)), batches_ago=1)
        if not self.recorder.is_checked:
            return
        self.layout.num_targets = len(outputs) if all(map(have_targets, outputs)) else 0
        self.layout.has_inputs = have_inputs(inputs)
        samples = {
            f"targets{index}": functools.partial(first_targets, one)
            for index, one in enumerate(outputs[: self.layout.num_targets])
        }
        samples |= {"inputs": functools.partial(first_inputs, inputs)} if self.layout.has_inputs else {}
        for name, sample in self._taken(samples).items():
            self._store(name, sample, batches_ago=1)

    def _comes_whole(self, own):
        """Whether gradients and weights are handed over as they are: of a small network, where the step returns them.

        Rows of an embedding, as many as a batch touches, are reduced in the step; so is float64.
        """
        if not self._plan.returns or sum(self.layout.sizes) > whole.LARGEST or not self._are_dense(own):
            return False
        return all(keras.backend.standardize_dtype(one.dtype) in _SINGLE for one in [*own, *self._variables])

    def _are_dense(self, own):
        """Whether gradients are as large as their variables, and not rows of an embedding."""
        known = [math.prod(one.shape) for one in own if None not in one.shape]
        return known == np.where(self.layout.has_gradient, self.layout.sizes, 0).tolist()

    def _record_gradients(self, own, before):
        """Records gradients, and the weights before the update: as they are, or what they sum up to."""
        of = engine()
        self.layout.is_whole = self._comes_whole(own)
        if self.layout.is_whole:
            self._store("before", of.end_to_end(before))
            self._store("gradient", of.end_to_end(own))
        else:
            self._record_sums(own, before)

    def _record_sums(self, own, before):
        """Records what gradients and weights sum up to, and how they are distributed."""
        of = engine()
        if self._needs_counts(own):
            self._store("totals", of.totals(own))
            self._store("counts", of.histograms([*own, *before] if self._has_histograms else own))
        else:
            for name, numbers in of.counted_totals(own).items():
                self._store(name, numbers)
        self._store("weights", of.totals(before, ["squares"]))

    def _needs_counts(self, own):
        """Whether gradients are counted into buckets: for histograms, or where rows of an embedding are missing."""
        return self._has_histograms or not self._are_dense(own)

    def _record_update(self, after, before):
        """Records how far the update moved the weights."""
        if self.layout.is_whole:
            self._store("after", engine().end_to_end(after), batches_ago=1)
        else:
            self._store("moved", engine().square_distances(after, before), batches_ago=1)

    def _record_loss_gradients(self, own, before):
        """Records the gradients of regularized variables without what the penalties add."""
        chosen = [one for one in penalties.regularized(self._variables) if self.layout.has_gradient[one]]
        chosen = [one for one in chosen if own[one].shape == before[one].shape]  # not an embedding's touched rows
        self.layout.regularized = tuple(chosen)
        if not chosen:
            return
        own, added = [own[one] for one in chosen], penalties.gradients(self._variables, before, chosen)
        without = [one - part for one, part in zip(own, added, strict=True)]
        if self.layout.is_whole:
            self._store("loss_gradient", engine().end_to_end(without))
        else:
            self._store("loss_totals", engine().totals(without))

    def _record_ratios(self, clipped):
        """Records how large gradients, by their variable's key, are beside what the optimizer remembers of others."""
        if not self._options.optimizer_state:
            return
        moments = self._moments = SecondMoments(self._optimizer, self._variables, self.key)
        self.layout.remembered = moments.indices
        if not moments.indices:
            return
        own, before = [self._variables[one] for one in moments.indices], list(map(self._state, moments.kept))
        gradients = [clipped.get(self.key(one)) for one in own]
        gradients = [
            keras.ops.zeros_like(value) if one is None else one for one, value in zip(gradients, before, strict=True)
        ]
        if moments.embeddings:
            self.layout.embeddings = moments.embeddings
            self.layout.num_rows = tuple(own[one].shape[0] for one in moments.embeddings)
            of_rows = {one: moments.of_embedding(before[one], gradients[one]) for one in moments.embeddings}
            gradients = [of_rows[place][0] if place in of_rows else one for place, one in enumerate(gradients)]
            self._store("rows", keras.ops.stack([counts for _, counts in of_rows.values()]))
        self._store("ratios", engine().element_sums(moments.ratios(self._num_updates()), before, gradients))

    def _record_epsilons(self):
        """Follows the update: of how many elements is epsilon larger than what it is added to?"""
        moments = self._moments
        if moments is not None and moments.indices:
            after = [list(map(self._state, one)) for one in (moments.kept, moments.centers) if one]
            is_below = moments.below_epsilon(self._num_updates())
            self._store("below", engine().element_sums(is_below, *after)[:, 0], batches_ago=1)

    def _record_learning_rate(self, rate):
        self.layout.has_learning_rate = True
        self._store("learning_rate", keras.ops.cast(rate, "float32"))

    @abc.abstractmethod
    def _num_rows(self, tensor):
        """Returns the size of a tensor's first axis, as a tensor."""

    def _choose(self, owned):
        """Chooses the variables to record; they are known only once a lazily built model has been built."""
        if self._variables is not None:
            return
        chosen = self.recorder.chosen(owned)
        order = self._in_order(named_variables(self._model))
        self.order = tuple(name for name, _ in order)
        chosen = [(name, variable) for name, variable in order if name in chosen]
        self._variables = tuple(variable for _, variable in chosen)
        self.layout.variables = tuple(name for name, _ in chosen)
        self.layout.sizes = np.array([math.prod(variable.shape) for variable in self._variables])

    def _in_order(self, named):
        """Returns variables in the order in which their layers were called; those of no layer come first.

        A model that knows its inputs is a graph of layers, which Keras has sorted already.
        """
        if getattr(self._model, "inputs", None):
            return named
        return sorted(named, key=lambda item: self._calls.get(id(item[1]), -1))


def is_scalar(value: Any) -> bool:
    """Whether a metric is one number."""
    return len(getattr(value, "shape", ())) == 0
