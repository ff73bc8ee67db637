"""These tests run on the engine that `KERAS_BACKEND` names; the rest of the suite trains on TensorFlow."""
