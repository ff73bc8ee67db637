"""Experiments: networks that show what gradients do, each logged by gradlog."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's own start-up lines would hide the progress bar
