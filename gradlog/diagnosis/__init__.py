"""Diagnosis: what is wrong with a run.

A `History` comes in, and findings go out.
"""
