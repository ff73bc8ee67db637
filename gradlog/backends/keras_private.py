"""What gradlog uses of Keras' insides: each name, and what it is used for.

Keras may rename them at any time, so they are looked for before a training begins. Where one is missing, gradlog says
so and records nothing.
"""

from collections.abc import Iterable
from typing import NamedTuple

import keras

from gradlog.backends.engine import engine


class PrivateName(NamedTuple):
    """A name that is not part of Keras' public interface.

    Attributes:
        owner: The public class of the objects that have it.
        name: String.
        purpose: String, what gradlog uses it for.
    """

    owner: type
    name: str
    purpose: str


PRIVATE_NAMES = (
    PrivateName(keras.optimizers.Optimizer, "_clip_gradients", "to see gradients unscaled and before clipping"),
    PrivateName(keras.optimizers.Optimizer, "_backend_apply_gradients", "to see which variables gradients belong to"),
    PrivateName(keras.optimizers.Optimizer, "_backend_update_step", "to see the learning rate of a step"),
    PrivateName(keras.optimizers.Optimizer, "_iterations", "to count batches where gradients are accumulated"),
    PrivateName(keras.optimizers.Optimizer, "_trainable_variables", "to see which variables an optimizer updates"),
    PrivateName(keras.Model, "_flatten_layers", "to find a model's layers, in the order in which they are called"),
)
# Used only where a model has them: metrics of a single batch, what has to be built before a step is recorded, and
# attention that the probe looks at.
OPTIONAL_NAMES = (
    PrivateName(keras.Model, "_compile_metrics", "to compute the metrics of a logged batch alone"),
    PrivateName(keras.layers.MultiHeadAttention, "_compute_attention", "to see queries, keys and masks of attention"),
    PrivateName(keras.layers.GroupQueryAttention, "_compute_attention", "to see queries, keys and masks of attention"),
    PrivateName(keras.layers.MultiHeadAttention, "_masked_softmax", "to see whether a subclass attends as Keras does"),
    PrivateName(keras.layers.MultiHeadAttention, "_dot_product_equation", "to compute scores of several axes again"),
    PrivateName(keras.layers.MultiHeadAttention, "_attention_axes", "to compute scores of several axes again"),
    PrivateName(keras.Model, "_compile_loss", "to see whether the loss is built, and leave it so when a step is tried"),
)
# Where an optimizer keeps its second moment; where one is missing, no column tells of it.
STATE_NAMES = (
    PrivateName(keras.optimizers.Adam, "_velocities", "to see the second moment; also of AdamW, Nadam, Lamb, RMSprop"),
    PrivateName(keras.optimizers.Adam, "_velocity_hats", "to see its maximum, with amsgrad"),
    PrivateName(keras.optimizers.Adamax, "_u", "to see the infinity norm"),
    PrivateName(keras.optimizers.Adagrad, "_accumulators", "to see the sum of squares"),
    PrivateName(keras.optimizers.Adadelta, "_accumulated_grads", "to see the second moment"),
    PrivateName(keras.optimizers.RMSprop, "_average_gradients", "to see the mean gradient, where it is centered"),
    PrivateName(keras.optimizers.Optimizer, "_learning_rate", "to see the learning rate in loss scaling on JAX"),
)
# Used by `gradlog.train`, which stands in for Keras' trainer.
LOOP_NAMES = (
    PrivateName(keras.Model, "_symbolic_build", "to make a model's variables before its first step"),
    PrivateName(keras.Model, "_compute_loss", "to compute the loss as `fit` does"),
    PrivateName(keras.Model, "_loss_tracker", "to report the mean loss as `fit` does"),
)


def missing_names(model, optimizers: Iterable) -> list[PrivateName]:
    """Returns the names that a model, or one of its optimizers, does not have."""
    return [
        private
        for private in (*PRIVATE_NAMES, *engine().private_names())
        for one in ([model] if private.owner is keras.Model else optimizers)
        if not hasattr(one, private.name)
    ]


def check_private_names(model, optimizers: Iterable) -> None:
    """Raises where Keras does not have a name that is needed.

    Raises:
        AttributeError: it says which name, and what it is for.
    """
    missing = missing_names(model, optimizers)
    if missing:
        uses = "; ".join(f"{one.owner.__name__}.{one.name}, {one.purpose}" for one in dict.fromkeys(missing))
        raise AttributeError(
            f"Keras {keras.__version__} lacks what gradlog needs: {uses}. Upgrade gradlog, or install an older Keras."
        )
