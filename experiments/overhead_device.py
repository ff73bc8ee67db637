"""The device that Keras' engine computes on: what it is called, and how to wait until it is done."""

import os

import keras


def name():
    """Returns the name of the GPU that is used, or `CPU, 2 cores`."""
    return _gpu() or f"CPU, {os.cpu_count()} cores"


def synchronize(model):
    """Waits until the device has computed the training steps that were asked of it."""
    engine = keras.backend.backend()
    if engine == "jax":
        import jax

        model.jax_state_sync()
        jax.block_until_ready([variable.value for variable in model.trainable_variables])
    elif _gpu() and engine == "torch":
        import torch

        torch.cuda.synchronize()
    elif _gpu():
        import tensorflow as tf

        tf.test.experimental.sync_devices()


def _gpu():
    """Returns the name of the first GPU, or `None`."""
    engine = keras.backend.backend()
    if engine == "jax":
        import jax

        return jax.devices()[0].device_kind if jax.default_backend() == "gpu" else None
    if engine == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else None
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else None
