"""Changes, a file for each: small pure functions of a `Training`.

An `Observed` training comes in, changes that suit it come out; each makes another `Training` and writes itself as code.
"""
