"""Events: TensorBoard event files.

Snapshots come in and bytes go out; files come in and a `History` goes out.
"""
