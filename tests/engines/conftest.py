"""These tests run on the engine that `KERAS_BACKEND` names: gradlog's numbers, and its promise, are the same on all.

The ordinary run on TensorFlow leaves those out that are marked `engines`, since the other files prove the same there.
"""
