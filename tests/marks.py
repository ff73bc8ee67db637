"""Marks of tests, and of single cases for `pytest.mark.parametrize`."""

import keras
import pytest

ENGINE = keras.backend.backend()
OF_TENSORFLOW = pytest.mark.skipif(ENGINE != "tensorflow", reason="is of TensorFlow alone")
OTHER_WEIGHTS = pytest.mark.skipif(ENGINE == "torch", reason="Keras draws other initial weights on PyTorch")
WEIGHTS_OF_TENSORFLOW = pytest.mark.skipif(ENGINE != "tensorflow", reason="Keras draws other initial weights here")
TARGETS_REFUSED = pytest.mark.skipif(ENGINE == "torch", reason="PyTorch refuses such targets")
ONE_STEP_A_CALL = pytest.mark.skipif(ENGINE == "torch", reason="Keras on PyTorch runs one step a call")
FLOAT64 = pytest.mark.skipif(ENGINE == "jax", reason="JAX computes in float32 at most, unless a switch says otherwise")
ONE_OPTIMIZER = pytest.mark.skipif(ENGINE == "jax", reason="Keras on JAX hands a step the state of one optimizer")
NOT_ON_JAX = pytest.mark.skipif(ENGINE == "jax", reason="JAX has no custom training loop to log")


def in_combinations(*values, marks=()):
    """Returns a case that runs under the marker `combinations` alone: the ordinary run tries others of its kind."""
    return pytest.param(*values, marks=[pytest.mark.combinations, *marks])
