"""Stats: pure functions of arrays.

The sums and bucket counts of a step come in, and the numbers that are written go out.
"""
