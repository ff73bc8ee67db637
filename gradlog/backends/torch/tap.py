"""Tap: takes the numbers of a step out of the step itself, on PyTorch.

While a recorded step runs, these methods of the optimizer and the model are patched:

    optimizer.scale_loss                the loss, before it is scaled
    optimizer.apply                     how far the update moves the weights
    optimizer._backend_apply_gradients  which variables the gradients belong to
    optimizer._clip_gradients           the gradients: unscaled, accumulated, not yet clipped
    optimizer._backend_update_step      the learning rate
    model.compute_loss                  what regularizers and `add_loss` add to the loss
    model.compute_metrics               targets and predictions, for the metrics of this batch alone

Weights change in place, so those before the update are copies.
"""

import keras
import torch

from gradlog.backends import penalties
from gradlog.backends.patches import Patch
from gradlog.backends.returning import ReturningTap


class TorchTap(ReturningTap):
    """Records the steps of one program for one recorder, as `Tap` says."""

    def _patches_of_step(self):
        outer, inner = self.recorder.outer_optimizer, self._optimizer
        patches = [
            Patch(outer, "scale_loss", before=self._before_scale_loss),
            Patch(inner, "apply", self._before_apply, self._after_apply),
            Patch(inner, "_backend_apply_gradients", before=self._before_backend_apply),
            Patch(inner, "_clip_gradients", after=self._after_clip),
            Patch(inner, "_backend_update_step", before=self._before_update_step),
        ]
        if outer is not inner:  # loss scaling skips a step whose gradients are not finite
            patches.append(Patch(outer, "apply", before=self._before_outer_apply))
        if self._has_penalties():
            patches.append(Patch(self._model, "compute_loss", after=self._after_loss))
        return patches

    # What is looked at.

    def _before_scale_loss(self, loss):
        if self._plan.is_only_optimizer:
            self.layout.has_loss = True
            self._store("loss", loss.detach().to(torch.float32))

    @torch.no_grad()
    def _after_loss(self, result, *args, **kwargs):
        """Follows Keras' own `compute_loss`, which has added all penalties."""
        penalty = penalties.penalty(self._model)
        self._is_penalized = True
        if penalty is not None:
            self.layout.has_penalty = True
            self._store("penalty", penalty.detach())

    def _before_outer_apply(self, grads, trainable_variables=None):
        self.sees_gradients = True

    @torch.no_grad()
    def _before_apply(self, grads, trainable_variables=None):
        self.sees_gradients = True
        self._choose(trainable_variables or self._optimizer._trainable_variables)
        batches = int(self._optimizer._iterations.value)
        if self._plan.is_watched:  # no program decides
            self._begin()
        self._store("batches", torch.tensor(batches))
        if self.recorder.outer_optimizer is not self._optimizer:  # a step that is skipped shifts the count of batches
            self._store("is_applied", torch.tensor(True))
        if not self._plan.is_watched or self.recorder.due_steps(range(batches, batches + 1)):
            self._before = [one.value.detach().clone() for one in self._variables]

    def _before_backend_apply(self, grads, trainable_variables):
        self._applied = list(trainable_variables)

    @torch.no_grad()
    def _after_clip(self, clipped, grads):
        if self._before:
            self._record([one.detach() for one in grads], [one.detach() for one in clipped])

    @torch.no_grad()
    def _before_update_step(self, grads, trainable_variables, learning_rate):
        if self._is_seen:
            rate = keras.ops.convert_to_tensor(learning_rate)
            self._record_learning_rate(rate.detach().clone())  # it may be assigned to before the host has it

    @torch.no_grad()
    def _after_apply(self, result, *args, **kwargs):
        if self._is_seen and self._options.updates:
            after = [one.value.detach() for one in self._variables]
            self._record_update(after, self._before)
        if self._is_seen:
            self._record_epsilons()
        if self._is_seen and self._plan.is_watched:
            self._end_layout()
            self.recorder.take(self._numbers, self.layout)

    @torch.no_grad()
    def _after_metrics(self, result, *args, **kwargs):
        super()._after_metrics(result, *args, **kwargs)

    # How it is handed over.

    def _state(self, variable):
        return variable.value.detach()

    def _num_updates(self):
        return keras.ops.convert_to_tensor(self._optimizer.iterations)

    def _num_rows(self, tensor):
        return torch.tensor(tensor.shape[0])
