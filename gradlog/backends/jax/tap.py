"""Tap: takes the numbers of a step out of the step itself, on JAX.

While a recorded step is traced, or runs eagerly, these methods of the optimizer and the model are patched:

    optimizer.stateless_apply           the state before the update, and how far it moves the weights
    optimizer._backend_apply_gradients  which variables the gradients belong to
    optimizer._clip_gradients           the gradients: averaged over accumulated batches, not yet clipped
    optimizer._backend_update_step      the learning rate
    model.compute_loss                  what regularizers and `add_loss` add to the loss
    model.compute_loss_and_updates      takes that out of the trace of the gradient
    model._update_metrics_variables     the loss, and what was taken along
    model.compute_metrics               targets and predictions, for the metrics of this batch alone

Only what is computed in the step's own trace can be returned by it. Loss scaling applies gradients inside of a
`lax.cond`; there they are computed again, from what was handed to `stateless_apply`.
"""

from typing import Any

import jax.extend.core
import jax.numpy as jnp
import keras

from gradlog.backends import penalties
from gradlog.backends.jax.processes import whole
from gradlog.backends.jax.state import at
from gradlog.backends.optimizers import is_rate_known
from gradlog.backends.patches import Patch
from gradlog.backends.returning import ReturningTap


def scope() -> Any:
    """Returns what tells the present trace from those that are made inside of it."""
    return jax.extend.core.get_opaque_trace_state(convention="gradlog")


class JaxTap(ReturningTap):
    """Records the steps of one program for one recorder, as `Tap` says."""

    def outputs(self) -> dict:
        """Returns what the step has to return, by the name under which it stands among Keras' logs."""
        return whole(super().outputs())

    def _begin(self):
        super()._begin()
        self._scope, self._values = scope(), {}
        self._penalty, self._place_of_penalty = None, None

    def _patches_of_step(self):
        outer, model = self.recorder.outer_optimizer, self._model
        patches = [
            Patch(outer, "stateless_apply", self._before_stateless_apply, self._after_stateless_apply),
            Patch(self._optimizer, "_backend_apply_gradients", before=self._before_backend_apply),
            Patch(self._optimizer, "_clip_gradients", after=self._after_clip),
            Patch(self._optimizer, "_backend_update_step", before=self._before_update_step),
            Patch(model, "_update_metrics_variables", before=self._before_update_metrics),
        ]
        if self._has_penalties():
            patches.append(Patch(model, "compute_loss", after=self._after_loss))
            if _runs_keras_own_step(model):
                patches.append(Patch(model, "compute_loss_and_updates", after=self._after_loss_and_updates))
        return patches

    # What is looked at.

    def _after_loss(self, result, *args, **kwargs):
        """Follows Keras' own `compute_loss`, which has added all penalties."""
        self._is_penalized, self._num_losses = True, len(self._model.losses)
        self._penalty = penalties.penalty(self._model)

    def _after_loss_and_updates(self, result, *args, **kwargs):
        """Puts the penalty behind the values of the metrics, the last part of the result: Keras reads none of it there.

        It was computed in the trace of the gradient, out of which nothing leads but that result.
        """
        penalty, self._penalty = self._penalty, None
        *_, values_of_metrics = result[1]
        if penalty is not None and isinstance(values_of_metrics, list):
            self._place_of_penalty = len(values_of_metrics)
            values_of_metrics.append(penalty)

    def _before_update_metrics(self, metrics_variables, unscaled_loss, *args, **kwargs):
        if scope() != self._scope:
            return
        self.layout.has_loss = True
        self._store("loss", jnp.asarray(unscaled_loss, jnp.float32))
        if self._place_of_penalty is not None:
            self.layout.has_penalty = True
            self._store("penalty", metrics_variables[self._place_of_penalty])

    def _before_stateless_apply(self, optimizer_variables, grads, trainable_variables):
        if scope() != self._scope:
            raise RuntimeError(
                "`train_step` applies its gradients inside of a function that JAX traces by itself, such as `jax.jit`, "
                "`lax.cond` or `lax.scan`; nothing can be seen there from outside. Apply them in `train_step` itself."
            )
        self.sees_gradients = True
        self._choose(self._model.trainable_variables)
        self._before = self._values_of(trainable_variables)
        self._values = self._by_variable(optimizer_variables)

    def _before_backend_apply(self, grads, trainable_variables):
        if scope() == self._scope:
            self._applied = list(trainable_variables)

    def _after_clip(self, clipped, grads):
        if scope() == self._scope and self._before is not None and not self._is_seen:
            self._record(list(grads), clipped)

    def _before_update_step(self, grads, trainable_variables, learning_rate):
        if scope() == self._scope and self._is_seen:
            self._record_learning_rate(learning_rate)

    def _after_stateless_apply(self, result, optimizer_variables, grads, trainable_variables):
        if not self._is_seen:
            self._apply_again(optimizer_variables, grads)
        outer = self.recorder.outer_optimizer
        self._store("batches", at(outer.variables, optimizer_variables, self._optimizer._iterations))
        if outer is not self._optimizer:
            self._store("is_applied", jnp.all(jnp.stack([jnp.all(jnp.isfinite(one)) for one in grads])))
        if self._options.updates:
            after = self._values_of(result[0])
            self._record_update(after, self._before)
        self._values = self._by_variable(result[1])
        self._record_epsilons()
        if self._is_penalized and self._place_of_penalty is None:
            self._record_penalty(trainable_variables)

    def _after_metrics(self, result, *args, **kwargs):
        if scope() == self._scope:
            super()._after_metrics(result, *args, **kwargs)

    # What is recorded.

    def _apply_again(self, optimizer_variables, grads):
        """Has the gradients unscaled and averaged, as the inner optimizer of loss scaling gets them, and clipped."""
        outer, inner = self.recorder.outer_optimizer, self._optimizer
        scale = at(outer.variables, optimizer_variables, outer.dynamic_scale)
        grads = [one / scale for one in grads]
        if inner.gradient_accumulation_steps:
            earlier = [at(outer.variables, optimizer_variables, one) for one in inner._accumulated_gradients]
            grads = [
                (one + before) / inner.gradient_accumulation_steps for one, before in zip(grads, earlier, strict=True)
            ]
        self._applied = list(inner._trainable_variables)
        inner._clip_gradients(grads)
        if is_rate_known(inner):
            with keras.StatelessScope(list(zip(outer.variables, optimizer_variables, strict=True))):
                self._record_learning_rate(inner.learning_rate)

    def _record_penalty(self, values):
        """Records what regularizers add to the loss in a custom `train_step`.

        What `add_loss` adds lives in the trace of the gradient, and such a step may hand out nothing of it.
        """
        variables = self._optimizer._trainable_variables
        values = {id(one): value for one, value in zip(variables, values, strict=True)}
        regularized = [one for one in self._model.trainable_variables if getattr(one, "regularizer", None) is not None]
        is_known = all(penalties.is_known(one.regularizer) for one in regularized)
        if regularized and is_known and self._num_losses == len(regularized):
            self.layout.has_penalty = True
            parts = [jnp.asarray(jnp.sum(one.regularizer(values[id(one)])), jnp.float32) for one in regularized]
            self._store("penalty", sum(parts))

    # How it is handed over.

    def _by_variable(self, values):
        """Returns values of all of the optimizer's variables, by the variable's key."""
        return dict(zip(map(id, self.recorder.outer_optimizer.variables), values, strict=True))

    def _state(self, variable):
        return self._values[id(variable)]

    def _num_updates(self):
        return self._state(self._optimizer._iterations) // self.recorder.stride

    def _num_rows(self, tensor):
        return jnp.asarray(tensor.shape[0], jnp.int32)

    def _values_of(self, values):
        """Returns those of the values of all of an optimizer's variables that belong to the recorded ones."""
        by_variable = dict(zip(map(id, self._optimizer._trainable_variables), values, strict=True))
        return [by_variable[id(one)] for one in self._variables]


def _runs_keras_own_step(model):
    """Whether the step, and what it calls, are Keras' own, which read of the metrics' values as many as there are."""
    names = "compute_loss_and_updates", "_update_metrics_variables"
    is_own = getattr(model.train_step, "__func__", None) is keras.Model.train_step
    return is_own and all(getattr(type(model), name) is getattr(keras.Model, name) for name in names)
