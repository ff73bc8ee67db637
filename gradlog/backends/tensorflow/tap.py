"""Tap: takes the numbers of a step out of the step itself, on TensorFlow.

While a recorded step runs, or is traced, these methods of the optimizer and the model are patched:

    optimizer.scale_loss                the loss, before it is scaled
    optimizer.apply                     how far the update moves the weights
    optimizer._backend_apply_gradients  which variables the gradients belong to
    optimizer._clip_gradients           the gradients: unscaled, accumulated, not yet clipped
    optimizer._backend_update_step      the learning rate
    model.compute_loss                  what regularizers and `add_loss` add to the loss
    model.compute_metrics               targets and predictions, for the metrics of this batch alone
"""

import functools
import threading

import numpy as np
import tensorflow as tf

from gradlog.backends import penalties
from gradlog.backends.patches import Patch
from gradlog.backends.recorder import key
from gradlog.backends.samples import SHAPE_OF_TARGETS, SIZE_OF_INPUTS
from gradlog.backends.tap import Tap
from gradlog.backends.tensorflow.embeddings import touched_rows
from gradlog.backends.tensorflow.handover import Form
from gradlog.backends.tensorflow.moments import totals
from gradlog.stats.snapshots import StepLayout

_SUM, _MEAN = tf.distribute.ReduceOp.SUM, tf.distribute.ReduceOp.MEAN


class TensorFlowTap(Tap):
    """Records the steps of one program for one recorder, as `Tap` says."""

    def __init__(self, recorder):
        self._step = threading.local()  # what one replica's step knows of itself while it is traced
        self._handover, self.form = recorder.handover, Form()
        self._layouts: dict[int, StepLayout] = {}  # of steps that ran as they are written and wait to be fetched
        super().__init__(recorder)

    def put_on(self) -> None:
        """Begins to look at a step."""
        if self._plan.returns:
            self._handover.begin_outputs()
        super().put_on()

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
        if not self._plan.returns:
            return {}
        form = Form()
        outputs = self._handover.outputs(form)
        if vars(form) != vars(self.form):
            self.form = form
        return {self.recorder.key: outputs}

    def _patches_of_step(self):
        patches = [
            Patch(self.recorder.outer_optimizer, "scale_loss", before=self._before_scale_loss),
            Patch(self._optimizer, "apply", self._before_apply, self._after_apply),
            Patch(self._optimizer, "_backend_apply_gradients", before=self._before_backend_apply),
            Patch(self._optimizer, "_clip_gradients", after=self._after_clip),
            Patch(self._optimizer, "_backend_update_step", before=self._before_update_step),
        ]
        if self._has_penalties():
            patches.append(Patch(self._model, "compute_loss", after=self._after_loss))
        return patches

    def layout_of(self, step: int) -> StepLayout:
        """Returns the layout of a step that was stored, and forgets those of the steps up to it."""
        found = self._layouts.get(step, self.layout)
        for one in list(self._layouts):  # a list: the training may add one meanwhile
            if one <= step:
                del self._layouts[one]
        return found

    # What is looked at.

    def _before_scale_loss(self, loss):
        if self._plan.is_only_optimizer:
            self.layout.has_loss = True
            self._store("loss", self._sum_of_replicas(tf.cast(loss, tf.float32)))

    def _after_loss(self, result, *args, **kwargs):
        """Follows Keras' own `compute_loss`, which has added all penalties."""
        penalty = penalties.penalty(self._model)
        self._step.is_penalized = True
        if penalty is not None:
            self.layout.has_penalty = True
            self._store("penalty", self._mean_of_replicas(penalty))

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
        reduced = self._sum_of_replicas(grads)
        after = reduced if clipped is grads else self._sum_of_replicas(clipped)
        self._if_wanted(functools.partial(self._record, reduced, after))

    def _before_update_step(self, grads, trainable_variables, learning_rate):
        if self._variables:
            self._if_wanted(functools.partial(self._record_learning_rate, learning_rate))

    def _after_apply(self, result, *args, **kwargs):
        self._if_fresh(self._finish)

    # What is recorded.

    def _record(self, grads, clipped):
        if self._plan.is_watched and tf.executing_eagerly():  # no program begins the step
            self._begin_layout()
        by_variable = dict(zip(map(key, self._step.applied), map(_dense_or_rows, grads), strict=True))
        own = [by_variable.pop(key(variable), None) for variable in self._variables]
        self.layout.has_gradient = np.array([gradient is not None for gradient in own])
        self.layout.has_rows = any(isinstance(gradient, tf.IndexedSlices) for gradient in grads)
        own = [tf.zeros([0]) if gradient is None else gradient for gradient in own]
        self._handover.begin(self.recorder.number)
        self._record_gradients(own, self._step.before)
        if vars(self._step).pop("is_penalized", False):
            self._record_loss_gradients(own, self._step.before)
        if by_variable:  # of variables that are not recorded
            self._store("others", tf.reduce_sum(totals(list(by_variable.values()), ["squares"])))
        self._record_ratios(dict(zip(map(key, self._step.applied), map(_dense, clipped), strict=True)))
        if clipped is not grads:
            self._store("clipped", tf.reduce_sum(totals(list(map(_dense_or_rows, clipped)), ["squares"])))
        if self.recorder.may_skip:
            self.recorder.is_fresh.assign(True)

    def _finish(self):
        """Follows the update: how far did it move the weights?"""
        if not self._variables:
            return
        if self._options.updates:
            self._record_update([variable.value for variable in self._variables], self._step.before)
        self._record_epsilons()
        if not self._plan.returns and tf.executing_eagerly():
            self._end_layout()
            self._layouts[int(self.recorder.number(1))] = self.layout
        self._handover.finish(functools.partial(self.recorder.number, 1))

    # How it is handed over.

    @staticmethod
    def key(variable) -> int:
        """Returns what tells a variable from others, be it Keras' or TensorFlow's."""
        return key(variable)

    def _state(self, variable):
        return tf.convert_to_tensor(variable.value)

    def _num_updates(self):
        return tf.convert_to_tensor(self._optimizer.iterations)

    def _num_rows(self, tensor):
        return tf.shape(tensor, out_type=tf.int64)[0]

    def _taken(self, samples):
        shapes = {name: SHAPE_OF_TARGETS if name != "inputs" else [SIZE_OF_INPUTS] for name in samples}
        return tf.cond(
            self.recorder.is_first,
            lambda: {name: take() for name, take in samples.items()},
            lambda: {name: tf.fill(shape, np.float32("nan")) for name, shape in shapes.items()},
        )

    def _sum_of_replicas(self, value):
        return self._reduced(value, _SUM)

    def _mean_of_replicas(self, value):
        return self._reduced(value, _MEAN)

    def _reduced(self, values, reduction):
        """Returns what all replicas' values come to together, in each of them."""
        is_replicated = self.recorder.is_replicated
        return tf.distribute.get_replica_context().all_reduce(reduction, values) if is_replicated else values

    def _if_wanted(self, record):
        """Records where an update that decides for itself is due."""
        if self._plan.decides == "update":
            _if(tf.logical_and(self.recorder.is_on, self.recorder.is_due()), record)
        else:
            record()

    def _if_fresh(self, record):
        """Records where the step that has just been applied was recorded."""
        if self.recorder.may_skip:
            _if(self.recorder.is_fresh, record)
        else:
            record()

    def _comes_whole(self, own):
        """Whether gradients come as they are; a step that may be skipped stores its numbers, which are to be few."""
        return not self.recorder.may_skip and super()._comes_whole(own)

    def _needs_counts(self, own):
        """Whether gradients are counted into buckets; a step that stores its numbers has a place for buckets alone."""
        return not self._plan.returns or self.recorder.may_skip or super()._needs_counts(own)

    def _store(self, name, value, batches_ago=0):
        self._handover.store(name, value, functools.partial(self.recorder.number, batches_ago))


def _dense(gradient):
    """Returns a gradient with all of its rows, as the optimizer makes it to update its second moment."""
    if not isinstance(gradient, tf.IndexedSlices):
        return tf.convert_to_tensor(gradient)
    return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, gradient.dense_shape[0])


def _dense_or_rows(gradient):
    return touched_rows(gradient) if isinstance(gradient, tf.IndexedSlices) else tf.convert_to_tensor(gradient)


def _if(condition, action):
    tf.cond(condition, lambda: (action(), 0)[1], lambda: 0)
