"""Backends: what differs from one Keras backend to another, a package for each.

A model, an optimizer and what to record come in; the arrays of a step go out.
"""
