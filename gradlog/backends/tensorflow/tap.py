"""Tap: takes the numbers of a step out of the step itself.

While a recorded step runs, or is traced, six methods of the optimizer and the model are patched. What the step hands
them is reduced where it is and handed over to the host:

    optimizer.scale_loss                the loss, before it is scaled
    optimizer.apply                     how far the update moves the weights
    optimizer._backend_apply_gradients  which variables the gradients belong to
    optimizer._clip_gradients           the gradients: unscaled, accumulated, not yet clipped
    model.compute_loss                  what regularizers and `add_loss` add to the loss
    model.compute_metrics               targets and predictions, for the metrics of this batch alone

The layers' `call` is patched as well, to see in which order they are called.
"""

import functools
import math
import threading

import keras
import numpy as np
import tensorflow as tf

from gradlog.backends.tensorflow import penalties
from gradlog.backends.tensorflow.embeddings import touched_rows
from gradlog.backends.tensorflow.histograms import histograms
from gradlog.backends.tensorflow.moments import square_distances, totals
from gradlog.backends.tensorflow.patches import Patch, Patches
from gradlog.backends.tensorflow.samples import first_inputs, first_targets
from gradlog.history import names
from gradlog.stats.snapshots import StepLayout

_SUM, _MEAN = tf.distribute.ReduceOp.SUM, tf.distribute.ReduceOp.MEAN


class Tap:
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
        self.sees_gradients = False
        self._plan, self._options = recorder.plan, recorder.options
        self._model, self._optimizer = recorder.model, recorder.optimizer
        self._handover, self._variables, self._calls = recorder.handover, None, {}
        self._step = threading.local()  # what one replica's step knows of itself while it is traced
        outer = recorder.outer_optimizer
        self._patches = Patches(
            recorder.guard,
            [
                *(Patch(layer, "call", after=functools.partial(self._after_call, layer)) for layer in self._layers()),
                Patch(outer, "scale_loss", before=self._before_scale_loss),
                Patch(self._optimizer, "apply", self._before_apply, self._after_apply),
                Patch(self._optimizer, "_backend_apply_gradients", before=self._before_backend_apply),
                Patch(self._optimizer, "_clip_gradients", after=self._after_clip),
                *([Patch(self._model, "compute_metrics", after=self._after_metrics)] if self._has_metrics() else []),
                *([Patch(self._model, "compute_loss", after=self._after_loss)] if self._has_penalties() else []),
            ],
        )

    def put_on(self) -> None:
        """Begins to look at a step."""
        if self._plan.returns:
            self._handover.begin_outputs()
        self._patches.put_on()

    def take_off(self) -> None:
        """Ends looking."""
        self._patches.take_off()

    def is_built(self) -> bool:
        """Whether everything that the step makes variables for has them."""
        return self.recorder.is_built()

    def is_due(self) -> tf.Tensor | None:
        """Returns whether to record the coming step, or `None` where there is nothing to decide.

        An unbuilt model's first graph is a draft that makes the variables, and will not run. Replicas cannot meet
        inside of a `tf.cond`: there every step is recorded, and those not due go to a slot that is never read.
        """
        recorder = self.recorder
        if self._plan.decides != "step" or recorder.is_replicated or not recorder.is_built():
            return None
        return recorder.is_due()

    def outputs(self) -> dict:
        """Returns what the step has to return, by the name under which it stands among Keras' logs."""
        return {self.recorder.key: self._handover.outputs()} if self._plan.returns else {}

    def _layers(self):
        return self._model._flatten_layers(include_self=False)

    def _has_metrics(self):
        return hasattr(self._model, "compute_metrics") and not self._plan.is_watched

    def _has_penalties(self):
        return self._plan.is_only_optimizer and penalties.adds_penalties(self._model)

    # What is looked at.

    def _after_call(self, layer, result, *args, **kwargs):
        """Notes the layers' variables; a layer inside of another ends its call before it."""
        if self._variables is None:
            for variable in layer.trainable_variables:
                self._calls.setdefault(id(variable), len(self._calls))

    def _before_scale_loss(self, loss):
        if self._plan.is_only_optimizer:
            self.layout.has_loss = True
            self._store("loss", self._reduced(tf.cast(loss, tf.float32), _SUM))

    def _after_loss(self, result, *args, **kwargs):
        """Follows Keras' own `compute_loss`, which has added all penalties."""
        penalty = penalties.penalty(self._model)
        self._step.is_penalized = True
        if penalty is not None:
            self.layout.has_penalty = True
            self._store("penalty", self._reduced(penalty, _MEAN))

    def _before_apply(self, grads, trainable_variables=None):
        self.sees_gradients = True
        self._choose(trainable_variables or self._optimizer._trainable_variables)
        if self.recorder.may_skip:
            self.recorder.is_fresh.assign(False)
        self._step.before = [tf.identity(variable.value) for variable in self._variables]

    def _before_backend_apply(self, grads, trainable_variables):
        self._step.applied = list(trainable_variables)

    def _after_clip(self, clipped, grads):
        if not self._variables:  # one of several optimizers, and none of its variables is logged
            return
        reduced = self._reduced(grads, _SUM)
        after = reduced if clipped is grads else self._reduced(clipped, _SUM)
        if self._plan.decides == "update":
            is_wanted = tf.logical_and(self.recorder.is_on, self.recorder.is_due())
            _if(is_wanted, functools.partial(self._record, reduced, after))
        else:
            self._record(reduced, after)

    def _after_apply(self, result, *args, **kwargs):
        self._if_fresh(self._finish)

    def _after_metrics(self, result, *args, **kwargs):
        """Records the metrics of the batch, where the method gets what Keras' own does."""
        metrics, batch = getattr(self._model, "_compile_metrics", None), _batch_of(args, kwargs)
        if batch is None:
            return
        inputs, *others = batch
        self._if_fresh(functools.partial(self._record_batch, inputs, *others[:2]))
        if metrics is not None and metrics.built:
            self._if_fresh(functools.partial(self._record_metrics, metrics, *others))

    # What is recorded.

    def _record(self, grads, clipped):
        by_variable = dict(zip(map(_key, self._step.applied), map(_dense_or_rows, grads), strict=True))
        own = [by_variable.pop(_key(variable), None) for variable in self._variables]
        self.layout.has_gradient = np.array([gradient is not None for gradient in own])
        self.layout.has_rows = any(isinstance(gradient, tf.IndexedSlices) for gradient in grads)
        own = [tf.zeros([0]) if gradient is None else gradient for gradient in own]
        self._handover.begin(self.recorder.number)
        self._store("totals", totals(own))
        self._store("weights", totals(self._step.before, ["squares"]))
        self._store("counts", histograms([*own, *self._step.before] if self._options.histograms else own))
        if vars(self._step).pop("is_penalized", False):
            self._record_loss_gradients(own)
        if by_variable:  # of variables that are not recorded
            self._store("others", tf.reduce_sum(totals(list(by_variable.values()), ["squares"])))
        if clipped is not grads:
            self._store("clipped", tf.reduce_sum(totals(list(map(_dense_or_rows, clipped)), ["squares"])))
        if self.recorder.may_skip:
            self.recorder.is_fresh.assign(True)

    def _record_loss_gradients(self, own):
        """Records the gradients of regularized variables without what the penalties add."""
        chosen = [one for one in penalties.regularized(self._variables) if self.layout.has_gradient[one]]
        chosen = [one for one in chosen if not isinstance(own[one], tf.IndexedSlices)]
        if not chosen:
            return
        variables, before = ([every[one] for one in chosen] for every in (self._variables, self._step.before))
        added = penalties.gradients(variables, before)
        self.layout.regularized = tuple(chosen)
        self._store("loss_totals", totals([own[one] - part for one, part in zip(chosen, added, strict=True)]))

    def _finish(self):
        """Follows the update: how far did it move the weights?"""
        if not self._variables:
            return
        if self._options.updates:
            after = [variable.value for variable in self._variables]
            self._store("moved", square_distances(after, self._step.before), batches_ago=1)
        self._handover.finish(functools.partial(self.recorder.number, 1))

    def _record_metrics(self, metrics, *batch):
        state = metrics.stateless_update_state(metrics.stateless_reset_state(), *batch)
        values = {name: value for name, value in metrics.stateless_result(state).items() if is_scalar(value)}
        self.layout.metrics = tuple(values)
        if values:
            numbers = tf.stack([tf.cast(value, tf.float32) for value in values.values()])
            self._store("metrics", self._reduced(numbers, _MEAN), batches_ago=1)

    def _record_batch(self, inputs, targets, predictions):
        """Records how large the batch is, its first targets, and how large its inputs are."""
        outputs = [one for one in keras.tree.flatten(targets) if one is not None]
        first = next(iter([*outputs, *keras.tree.flatten(predictions)]), None)
        if first is not None and first.shape.rank:
            number = tf.shape(first, out_type=tf.int64)[0]
            self._store("batch_size", self._reduced(number, _SUM), batches_ago=1)
        samples = list(map(first_targets, outputs)) if self.recorder.is_checked else []
        self.layout.num_targets = len(samples) if all(one is not None for one in samples) else 0
        for index in range(self.layout.num_targets):
            self._store(f"targets{index}", samples[index], batches_ago=1)
        numbers = first_inputs(inputs) if self.recorder.is_checked else None
        self.layout.has_inputs = numbers is not None
        if self.layout.has_inputs:
            self._store("inputs", numbers, batches_ago=1)

    # What the step is made of.

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

    def _reduced(self, values, reduction):
        """Returns what all replicas' values come to together, in each of them."""
        is_replicated = self.recorder.is_replicated
        return tf.distribute.get_replica_context().all_reduce(reduction, values) if is_replicated else values

    def _if_fresh(self, record):
        """Records where the step that has just been applied was recorded."""
        if self.recorder.may_skip:
            _if(self.recorder.is_fresh, record)
        else:
            record()

    def _store(self, name, value, batches_ago=0):
        self._handover.store(name, value, functools.partial(self.recorder.number, batches_ago))


def _batch_of(args, kwargs):
    """Returns (x, y, y_pred, sample_weight), or `None` where the arguments are others than Keras' own."""
    named = dict(zip(("x", "y", "y_pred", "sample_weight"), args, strict=False)) | kwargs
    if len(args) > 4 or set(named) - {"x", "y", "y_pred", "sample_weight"} or not {"y", "y_pred"} <= set(named):
        return None
    return named.get("x"), named["y"], named["y_pred"], named.get("sample_weight")


def _dense_or_rows(gradient):
    return touched_rows(gradient) if isinstance(gradient, tf.IndexedSlices) else tf.convert_to_tensor(gradient)


def is_scalar(value) -> bool:
    """Whether a metric is one number."""
    return tf.convert_to_tensor(value).shape.rank == 0


def named_variables(model: keras.Model) -> list[tuple[str, keras.Variable]]:
    """Returns a model's trainable variables, in its order, each with the name that tags use."""
    variables = model.trainable_variables
    tags = names.variable_names([variable.path for variable in variables], model.name)
    return list(zip(tags, variables, strict=True))


def _if(condition, action):
    tf.cond(condition, lambda: (action(), 0)[1], lambda: 0)


def _key(variable):
    return id(variable.value if isinstance(variable, keras.Variable) else variable)
