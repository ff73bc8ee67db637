"""Checks: one file per mistake that shows before the first step.

The `Setup` of a training comes in: how the model is compiled, and its first targets; findings go out. A check is a
frozen dataclass whose fields are its thresholds, as a rule is. `table.py` lists all checks with their defaults.
"""
