"""History: the data types that writing and reading share, and the names of variables, statistics and tags.

The arrays of a step come in. A `Snapshot` of one step and the `History` of all steps go out; `HistoryBuilder` makes it.
"""
