"""Backends: takes the gradients of a training step, reduces them on the device and hands them to the host.

A model, an optimizer and what to record come in; the arrays of a step go out. What stands here is the same for every
engine of Keras; what differs stands in a package for each, behind the protocol in `engine.py`.
"""
