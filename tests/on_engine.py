"""Tensors and programs of the engine that Keras runs on, for tests of what an engine computes."""

import contextlib

import keras
import ml_dtypes  # noqa: F401, which teaches NumPy bfloat16
import numpy as np

ENGINE = keras.backend.backend()


def with_float64():
    """Returns a context in which the engine computes in float64, which on JAX takes a switch."""
    if ENGINE != "jax":
        return contextlib.nullcontext()
    import jax

    return jax.enable_x64(True)


def tensor(values, dtype="float32"):
    """Returns a tensor of numbers, which are rounded to the type."""
    with np.errstate(over="ignore"):
        return keras.ops.convert_to_tensor(np.asarray(values).astype(dtype), dtype)


def exactly(tensor):
    """Returns the tensor's elements as float64, which holds each of the four types exactly."""
    if ENGINE == "torch":
        return tensor.cpu().double().numpy()
    return np.asarray(tensor.numpy() if ENGINE == "tensorflow" else tensor).astype(np.float64)


def program(function, jit_compile=False):
    """Returns a function as a recorded step runs it: as a graph on TensorFlow, compiled on JAX, as it is on PyTorch.

    Args:
        function: Function of tensors.
        jit_compile: Boolean, whether TensorFlow compiles it.
    """
    if ENGINE == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=jit_compile, autograph=False)
    if ENGINE == "jax":
        import jax

        return jax.jit(function)
    return function
