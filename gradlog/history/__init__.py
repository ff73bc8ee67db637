"""History: what a run is, and what its parts are called.

The arrays of a step come in. A `Snapshot` of one step and the `History` of all of them go out: the data type that
writing and reading share. The names of variables, statistics and tags are here as well.
"""
