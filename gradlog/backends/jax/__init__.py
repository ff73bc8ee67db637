"""JAX: how a step is recorded there, compiled or not.

What comes in and goes out is what `gradlog.backends.engine` says of every engine.
"""
