"""Custom steps for each engine, written as in Keras' guides.

`Plain`, `Scaled`, which scales the loss, and `ByHand`, which moves the weights without the optimizer, are mixins with a
`train_step`. List one before a `keras.Model` subclass among the bases of a class. `update` is the step of a custom
training loop.
"""

import keras

_RATE = 0.1
_SCALES = {"Plain": False, "Scaled": True}


def _on_tensorflow(is_scaled):
    import tensorflow as tf

    def train_step(self, batch):
        x, y = batch
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
            to_derive = self.optimizer.scale_loss(loss) if is_scaled else loss
        variables = self.trainable_variables
        gradients = tape.gradient(to_derive, variables)
        if is_scaled:
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        else:
            self.optimizer.apply(gradients, variables)
        return _measured(self, loss, y, y_pred)

    return {"train_step": train_step}


def _on_torch(is_scaled):
    import torch

    def train_step(self, batch):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        self.zero_grad()
        y_pred = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=y_pred)
        (self.optimizer.scale_loss(loss) if is_scaled else loss).backward()
        variables = self.trainable_variables
        with torch.no_grad():
            self.optimizer.apply([one.value.grad for one in variables], variables)
        return _measured(self, loss, y, y_pred)

    return {"train_step": train_step}


def _on_jax(is_scaled):
    import jax

    def loss_and_updates(self, trainable, others, of_optimizer, x, y):
        y_pred, others = self.stateless_call(trainable, others, x)
        loss = self.compute_loss(x, y, y_pred)
        to_derive = loss
        if is_scaled:
            pairs = list(zip(self.optimizer.variables, of_optimizer, strict=True))
            with keras.StatelessScope(state_mapping=pairs):
                to_derive = self.optimizer.scale_loss(loss)
        return to_derive, (loss, y_pred, others)

    def train_step(self, state, data):
        trainable, others, of_optimizer, of_metrics = state
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        derived = jax.value_and_grad(self.loss_and_updates, has_aux=True)
        (_, (loss, y_pred, others)), gradients = derived(trainable, others, of_optimizer, x, y)
        trainable, of_optimizer = self.optimizer.stateless_apply(of_optimizer, gradients, trainable)
        logs, updated = {}, []
        for metric in self.metrics:
            start = len(updated)
            own = of_metrics[start : start + len(metric.variables)]
            own = metric.stateless_update_state(own, *((loss,) if metric.name == "loss" else (y, y_pred)))
            logs[metric.name] = metric.stateless_result(own)
            updated += own
        return logs, (trainable, others, of_optimizer, updated)

    return {"loss_and_updates": loss_and_updates, "train_step": train_step}


def _by_hand_on_tensorflow():
    import tensorflow as tf

    def train_step(self, batch):
        x, y = batch
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        for variable, gradient in zip(self.weights, tape.gradient(loss, self.trainable_variables), strict=True):
            variable.assign_sub(_RATE * gradient)
        return {"loss": loss}

    return {"train_step": train_step}


def _by_hand_on_torch():
    import torch

    def train_step(self, batch):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        self.zero_grad()
        loss = self.compute_loss(x, y, self(x, training=True))
        loss.backward()
        with torch.no_grad():
            for variable in self.trainable_variables:
                variable.value.sub_(_RATE * variable.value.grad)
        return {"loss": loss}

    return {"train_step": train_step}


def _by_hand_on_jax():
    import jax

    def train_step(self, state, data):
        trainable, others, *rest = state
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)

        def loss_of(trainable):
            y_pred, updated = self.stateless_call(trainable, others, x, training=True)
            return self.compute_loss(x, y, y_pred), updated

        (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable)
        moved = [one - _RATE * gradient for one, gradient in zip(trainable, gradients, strict=True)]
        return {"loss": loss}, (moved, others, *rest)

    return {"train_step": train_step}


def _measured(model, loss, y, y_pred):
    """Updates the metrics, and returns what they say."""
    for metric in model.metrics:
        if metric.name == "loss":
            metric.update_state(loss)
        else:
            metric.update_state(y, y_pred)
    return {metric.name: metric.result() for metric in model.metrics}


def update(loss_of, optimizer, variables):
    """Applies the gradients of a loss to variables. TensorFlow and PyTorch only: gradlog logs no custom loop on JAX.

    Args:
        loss_of: Function without arguments to the loss, a scalar.
        optimizer: The optimizer.
        variables: Keras variables.

    Returns:
        The loss and the gradients.
    """
    return globals()[f"_update_on_{keras.backend.backend()}"](loss_of, optimizer, variables)


def _update_on_tensorflow(loss_of, optimizer, variables):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = loss_of()
    gradients = tape.gradient(loss, variables)
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
    return loss, gradients


def _update_on_torch(loss_of, optimizer, variables):
    import torch

    for one in variables:
        one.value.grad = None
    loss = loss_of()
    loss.backward()
    gradients = [None if one.value.grad is None else one.value.grad.clone() for one in variables]
    with torch.no_grad():
        optimizer.apply([one.value.grad for one in variables], variables)
    return loss.detach(), gradients


_MEMBERS = globals()[f"_on_{keras.backend.backend()}"]
Plain, Scaled = (type(name, (), _MEMBERS(is_scaled)) for name, is_scaled in _SCALES.items())
ByHand = type("ByHand", (), globals()[f"_by_hand_on_{keras.backend.backend()}"]())
