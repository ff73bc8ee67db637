"""TensorFlow: how a step is recorded there, under XLA, in loops and on replicas.

What comes in and goes out is what `gradlog.backends.engine` says of every engine.
"""
