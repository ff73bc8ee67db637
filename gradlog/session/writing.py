"""Writing: where a session's steps go, and what is made of them there."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from gradlog.backends.engine import engine
from gradlog.backends.recorded import RecordedStep, snapshots
from gradlog.history.history import Snapshot
from gradlog.session.guard import Guard
from gradlog.writers.background import BackgroundWriter
from gradlog.writers.event_writer import EventWriter
from gradlog.writers.several import MultiWriter


def open_writer(directory: str, model, writers: Sequence, guard: Guard, *how) -> BackgroundWriter:
    """Returns a writer of an event file and to further writers; of several processes, the first writes the file."""
    own = [EventWriter(directory)] if engine().is_chief(model) else []
    return BackgroundWriter(MultiWriter([*own, *writers]), guard, *how)


def finished(steps: Sequence[RecordedStep | Snapshot]) -> Iterator[Snapshot]:
    """Yields the snapshots of what was recorded, some of which are snapshots already."""
    for is_ready, group in itertools.groupby(steps, lambda one: isinstance(one, Snapshot)):
        together: list[Any] = list(group)
        yield from together if is_ready else snapshots(together)
