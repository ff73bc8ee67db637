"""Session: what runs while a model trains.

The hooks of a Keras callback come in; Snapshots go out to the writers.
"""
