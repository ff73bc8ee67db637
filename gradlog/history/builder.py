"""Builds a `History` step by step, from a training or from a file."""

from collections.abc import Iterable

import numpy as np

from gradlog.history import attention, names
from gradlog.history.growing import Attentions, Growing, Histograms, RowStore, Scalars, Tables, Texts
from gradlog.history.history import History, Snapshot
from gradlog.history.joining import join


class HistoryBuilder:
    """Builds the `History` of one run: for the reader, for the monitor, and for a writer in memory.

    If a tag comes twice at one step, as after a resumed training, the last value stands. Threads that share a builder
    need a lock.

    Example:
    >>> builder = HistoryBuilder()
    >>> builder.add(Snapshot(0, ("a/kernel",), ("gradient_norm",), np.array([[2.0]]), scalars={"train/loss": 0.5}))
    >>> builder.history().statistic("gradient_norm", "a/kernel").tolist()
    [2.0]
    >>> builder.history().scalars["train/loss"].values.tolist()
    [0.5]
    """

    def __init__(self):
        self._growing, self._rows = {}, RowStore()

    def add(self, snapshot: Snapshot) -> None:
        """Adds the statistics, the scalars and the attention of a `Snapshot`."""
        table = snapshot.variables, snapshot.columns, np.array(snapshot.statistics, np.float32)
        self.series(names.STATISTICS_TAG, Tables).add(snapshot.step, table)
        self.add_scalars(snapshot.step, snapshot.scalars)
        if snapshot.attention is not None:
            of_heads = snapshot.attention_layers, np.array(snapshot.attention, np.float32)
            self.series(names.ATTENTION_TAG, Attentions).add(snapshot.step, of_heads)

    def add_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Adds numbers, a dictionary by tag, at a step."""
        with np.errstate(over="ignore"):
            numbers = [np.float32(number).tobytes() for number in scalars.values()]
        for tag, number in zip(scalars, numbers, strict=True):
            self.series(tag, Scalars).add(step, number)

    def add_histogram(self, step: int, tag: str, rows: np.ndarray) -> None:
        """Adds the rows of a histogram, float64 [k, 3], at a step."""
        self.series(tag, Histograms).add(step, rows)

    def add_text(self, step: int, tag: str, text: str) -> None:
        """Adds a text at a step."""
        self.series(tag, Texts).add(step, text)

    def series(self, tag: str, kind: type[Growing]) -> Growing:
        """Returns the series of a kind under a tag, to add to; a new one where there is none yet."""
        if (tag, kind) not in self._growing:
            self._growing[tag, kind] = kind(self._rows) if kind is Histograms else kind()
        return self._growing[tag, kind]

    @property
    def num_steps(self) -> int:
        """How many tables of statistics were added."""
        return len(self.series(names.STATISTICS_TAG, Tables).steps)

    @property
    def steps(self) -> list[int]:
        """The steps of the tables of statistics, in the order in which they came."""
        return self.series(names.STATISTICS_TAG, Tables).steps.tolist()

    def keep(self, steps: Iterable[int]) -> None:
        """Forgets all steps but these."""
        steps = set(steps)
        for growing in self._growing.values():
            growing.keep(steps)

    def history(self, notes: Iterable[str] = ()) -> History:
        """Returns what was added so far as a `History`, which does not change when more is added."""
        tables = self.series(names.STATISTICS_TAG, Tables).series()
        return History(
            *join(dict(zip(tables.steps.tolist(), tables.values, strict=True))),
            scalars=self._all(Scalars),
            histograms=self._all(Histograms),
            texts=self._all(Texts),
            notes=tuple(notes),
            attention=self._attention(),
        )

    def _attention(self):
        growing = self._growing.get((names.ATTENTION_TAG, Attentions))
        series = growing and growing.series()
        return attention.joined(series.steps, series.values) if series else None

    def _all(self, wanted):
        return {tag: growing.series() for (tag, kind), growing in self._growing.items() if kind is wanted}
