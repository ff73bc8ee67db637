"""Diagnosis: finds what is wrong with a run.

A `History` comes in; findings go out.
"""
