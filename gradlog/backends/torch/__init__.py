"""PyTorch: how a step is recorded there, as it runs.

What comes in and goes out is what `gradlog.backends.engine` says of every engine.
"""
