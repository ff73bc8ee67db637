"""Recorder: what is recorded of the steps of one optimizer, in TensorFlow's graph, and how it comes to the host."""

from typing import Any

import tensorflow as tf

from gradlog.backends import penalties
from gradlog.backends.options import Options, RecordingPlan, named_variables
from gradlog.backends.recorded import RecordedStep
from gradlog.backends.recorder import Recorder, key
from gradlog.backends.samples import SHAPE_OF_TARGETS, SIZE_OF_INPUTS
from gradlog.backends.second_moments import SecondMoments
from gradlog.backends.tap import Tap, is_scalar
from gradlog.backends.tensorflow.handover import Returned, Stored, variable
from gradlog.backends.tensorflow.strategies import num_batches, num_replicas
from gradlog.stats import buckets
from gradlog.stats.snapshots import StepLayout


class TensorFlowRecorder(Recorder):
    """Records the steps of one optimizer that are due, as `Recorder` says."""

    def __init__(self, model, optimizer, options: Options, plan: RecordingPlan, guard):
        super().__init__(model, optimizer, options, plan, guard)
        self.is_replicated = num_replicas(model) > 1
        # A step that only accumulates, or that loss scaling skips, applies no gradient.
        skips = self.optimizer is not optimizer or bool(self.optimizer.gradient_accumulation_steps)
        self.may_skip = skips or plan.decides == "update"
        self.is_fresh, self.is_on = variable(tf.constant(False)), variable(tf.constant(False))
        self.is_first, self._is_waiting = variable(tf.constant(True)), True  # for the first step of a training
        self._stored = Stored(options.every, plan.slots, is_replicated=self.is_replicated)
        self.handover: Any = Returned(self._stored) if plan.returns else self._stored

    @property
    def is_checked(self) -> bool:
        """Whether what checks need of a batch is recorded; replicas have a part of it each."""
        return super().is_checked and not self.is_replicated

    def start(self) -> None:
        """Begins a training: forgets the steps of an earlier one."""
        self.num_lost, self._is_waiting = 0, True
        self.is_first.assign(True)
        self.handover.start(num_batches(self.optimizer) // self.stride)

    def switch_on(self) -> None:
        """Has the steps that were traced with a tap of this recorder record; makes the buffers that can be made."""
        self.allocate()
        self.is_on.assign(True)

    def switch_off(self) -> None:
        """Has those steps go on without recording."""
        self.is_on.assign(False)

    def take(self, outputs: dict[str, tf.Tensor], layout: StepLayout) -> None:
        """Takes what a recorded step has returned; its tap has the same layout until the step is fetched."""
        self.handover.take(outputs)

    def fetch(self, tap: Tap, step: int | None = None) -> list[RecordedStep]:
        """Returns every step recorded since the last call, in order."""
        found = self._found(tap, step)
        if found and self._is_waiting:
            self._is_waiting = False
            self.is_first.assign(False)
        return found

    def _found(self, tap, step):
        form = tap.form
        outputs = None if step is None else self.handover.take_certain(form, step)
        if outputs is not None:
            has_histograms = self.options.has_histograms(step)
            return [RecordedStep(step, tap.layout, outputs, form.on_host, form.num_bytes, has_histograms)]
        steps, num_lost = self.handover.fetch(form)
        self.num_lost += num_lost
        return [RecordedStep.of(tap.layout_of(one.step), *one, self.options.has_histograms(one.step)) for one in steps]

    # In the step.

    def number(self, batches_ago: int = 0) -> tf.Tensor:
        """Returns the number of the step that the coming batch belongs to, or one that came before."""
        return (self._batches() - batches_ago) // self.stride

    def is_due(self) -> tf.Tensor:
        """Returns whether the coming batch completes a step, and that one is due."""
        batches = self._batches()
        completes = tf.equal(batches % self.stride, self.stride - 1)
        return tf.logical_and(completes, tf.equal(batches // self.stride % self.options.every, 0))

    def allocate(self) -> None:
        """Makes the buffers whose form is known ahead of the trace, which would be traced twice if it made them."""
        if not self.is_built() or (self.plan.returns and not self.may_skip):
            return
        names = self.chosen(self.optimizer._trainable_variables)
        number = len(names)
        metrics, allocate = getattr(self.model, "_compile_metrics", None), self._stored.allocate
        allocate("loss", [], tf.float32)
        if hasattr(self.model, "compute_metrics") and not self.plan.is_watched:
            allocate("batch_size", [], tf.int64)
            for index in range(len(getattr(self.model, "outputs", None) or [None]) if self.is_checked else 0):
                allocate(f"targets{index}", SHAPE_OF_TARGETS, tf.float32)
            if self.is_checked:
                allocate("inputs", [SIZE_OF_INPUTS], tf.float32)
        if self.plan.is_only_optimizer and penalties.adds_penalties(self.model):
            regularized = penalties.regularized([one for name, one in named_variables(self.model) if name in names])
            allocate("penalty", [], tf.float32)
            if regularized:
                allocate("loss_totals", [len(regularized), 2], tf.float64)
        allocate("learning_rate", [], tf.float32)
        if self.options.updates:
            allocate("moved", [number], tf.float64)
        if self.options.optimizer_state:
            self._allocate_moments([one for name, one in named_variables(self.model) if name in names])
        if metrics is not None and metrics.variables:
            allocate("metrics", [sum(map(is_scalar, metrics.result().values()))], tf.float32)
        if number < len(self.model.trainable_variables):
            allocate("others", [], tf.float64)
        if self.clips:
            allocate("clipped", [], tf.float64)
        allocate("totals", [number, 2], tf.float64)
        allocate("weights", [number, 1], tf.float64)
        allocate("counts", [number * (1 + bool(self.options.histograms)), buckets.NUM_BUCKETS], tf.int64)

    def _allocate_moments(self, variables):
        moments, allocate = SecondMoments(self.optimizer, variables, key), self._stored.allocate
        if moments.indices:
            allocate("ratios", [len(moments.indices), 2], tf.float64)
            allocate("below", [len(moments.indices)], tf.float64)
        if moments.embeddings:
            allocate("rows", [len(moments.embeddings), 2], tf.int64)

    def _batches(self):
        return tf.cast(self.optimizer._iterations.value, tf.int64)
