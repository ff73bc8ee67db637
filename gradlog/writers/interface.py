"""What a writer has to have."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from gradlog.history.history import Snapshot


@runtime_checkable
class Writer(Protocol):
    """Where Snapshots go. Any object with these four methods is a writer; it need not inherit from this class.

    `GradientLogger(log_dir, writers=[...])` calls them in a thread of its own, one call at a time. What one of them
    raises does not end the training: the writer gets no more, and the error is told once. Where steps come fast, a
    writer that has a method `write_together`, of a list of `Snapshot`s, gets several at once.

    Example:
    >>> class Printer:
    ...     def write(self, snapshot):
    ...         print("step", snapshot.step, "of", ", ".join(snapshot.variables))
    ...
    ...     def write_scalars(self, step, scalars):
    ...         print("step", step, scalars)
    ...
    ...     def write_text(self, step, tag, markdown):
    ...         print("step", step, tag, markdown)
    ...
    ...     def close(self):
    ...         print("end")
    >>> isinstance(Printer(), Writer)
    True
    >>> Printer().write_scalars(200, {"validation/loss": 0.5})
    step 200 {'validation/loss': 0.5}
    """

    def write(self, snapshot: Snapshot) -> None:
        """Writes what was recorded at one step."""

    def write_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Writes numbers, a dictionary by tag, at a step."""

    def write_text(self, step: int, tag: str, markdown: str) -> None:
        """Writes Markdown at a step."""

    def close(self) -> None:
        """Ends the writing; no method is called afterwards."""


def write_together(writer: Writer, snapshots: Sequence[Snapshot]) -> None:
    """Has a writer write several `Snapshot`s, together where it can."""
    if hasattr(writer, "write_together"):
        writer.write_together(snapshots)
    else:
        for snapshot in snapshots:
            writer.write(snapshot)
