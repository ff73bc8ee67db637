"""Changes, a file for each: small pure functions of a `Training`, which can write themselves as lines of code."""
