"""Changes: what to change in this very run, in a line of code, a file for each part of a training.

A `Finding` and the `Run` it was found in come in; the line comes out, or an empty string where a proposal does not
apply. `table.py` says which proposals are made for what was found, and which remedies a run does not need.
"""
