"""Runs: turns what TensorBoard has read of a run into a `History`."""

import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from tensorboard import errors
from tensorboard.context import RequestContext
from tensorboard.data import provider as providers
from tensorboard.plugins.histogram import metadata as histogram_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.plugins.text import metadata as text_metadata

from gradlog.events.decoding import table_names
from gradlog.history import names
from gradlog.history.history import History, Series
from gradlog.history.joining import join
from gradlog.tensorboard import metadata

MAX_SAMPLES = 100_000  # of one tag: more than TensorBoard keeps
_MAX_VARIABLES, _MAX_HEADER = 50_000, 4 << 20  # of a run to show; and bytes of their names
_NUM_LOCKS = 64
_MOMENT, _MOMENTS = 0.02, 100  # seconds, and how many of them TensorBoard is waited for
_BYTES_PER_RUN = 20_000  # for names and everything else that is kept
_OF_ALL = (f"gradient_norm/{names.GLOBAL}", f"gradient_norm/{names.GLOBAL}_clipped")
_MAX_BYTES_KEPT = 1 << 29  # of all runs' statistics; a run is kept until it grows


class Runs:
    """The runs that TensorBoard shows, through its data provider.

    Args:
        provider: TensorBoard's `DataProvider`.
    """

    def __init__(self, provider: providers.DataProvider):
        self._provider = provider
        self._kept: dict = {}
        self._lock = threading.Lock()
        self._reading = [threading.Lock() for _ in range(_NUM_LOCKS)]  # requests for the same run wait for each other

    def list(self, ctx: RequestContext, experiment: str) -> list[dict]:
        """Returns a dictionary for each run with gradlog's statistics, in TensorBoard's order.

        Each has `run`, `color` (the run's number among all runs, from which TensorBoard picks its colour), `last_step`
        and `wall_time`, which increase as the run goes on, and `has_attention`, whether its attention was logged.
        """
        described = self._tables(ctx, experiment)
        with_attention = self._tables(ctx, experiment, tag=names.ATTENTION_TAG)
        runs = sorted(self._provider.list_runs(ctx, experiment_id=experiment), key=_order)
        return [
            {
                "run": run.run_name,
                "color": number,
                "last_step": described[run.run_name].max_step,
                "wall_time": float(np.nan_to_num(described[run.run_name].max_wall_time)),
                "has_attention": run.run_name in with_attention,
            }
            for number, run in enumerate(runs)
            if run.run_name in described
        ]

    def history(self, ctx: RequestContext, experiment: str, run: str, with_scalars: bool = True) -> History:
        """Returns what TensorBoard has read and kept of a run, without histograms.

        Args:
            ctx: TensorBoard's `RequestContext`.
            experiment: String, TensorBoard's name for the log directory.
            run: String, the run's name.
            with_scalars: Whether to read the scalars, which takes longer than everything else.

        Raises:
            NotFoundError: If there is no such run, or it has none of gradlog's statistics.
            InvalidArgumentError: If its table does not name its variables.
        """
        described = self._tables(ctx, experiment, run).get(run)
        if described is None:
            raise errors.NotFoundError(f"No run with gradlog's statistics is called {run!r}.")
        version, key = (described.max_step, described.max_wall_time), (experiment, run)
        with self._reading[hash(key) % _NUM_LOCKS]:
            kept_version, history, has_scalars = self._kept.get(key, (None, None, False))
            if kept_version != version:
                history, has_scalars = self._read(ctx, experiment, run, described.plugin_content)
            if with_scalars and not has_scalars:
                history, has_scalars = replace(history, scalars=self._scalars(ctx, experiment, run)), True
            self._keep(key, (version, history, has_scalars))
        return history

    def histograms(self, ctx: RequestContext, experiment: str, run: str, tag: str) -> Series:
        """Returns the rows [k, 3] of a histogram over the steps; no steps if it was not logged.

        Raises:
            InvalidArgumentError: If the tag is not a histogram.
        """
        data = self._read_tensors(ctx, experiment, run, tag, histogram_metadata.PLUGIN_NAME)
        try:
            by_step = {datum.step: np.asarray(datum.numpy, np.float64).reshape(-1, 3) for datum in data}
            if not all(np.isfinite(rows).all() for rows in by_step.values()):
                raise ValueError("it contains a number that is not finite")
        except ValueError as error:
            raise errors.InvalidArgumentError(f"{tag!r} of run {run!r} is not a histogram: {error}.") from error
        return Series(np.array(sorted(by_step), np.int64), [by_step[step] for step in sorted(by_step)])

    def attention(self, ctx: RequestContext, experiment: str, run: str) -> tuple[bytes, dict[int, np.ndarray]]:
        """Returns the metadata of a run's attention, and the tensors by step.

        Raises:
            NotFoundError: If the run's attention was not logged.
        """
        described = self._tables(ctx, experiment, run, names.ATTENTION_TAG).get(run)
        if described is None:
            raise errors.NotFoundError(f"The attention of run {run!r} was not logged.")
        read = self._read_tensors(ctx, experiment, run, names.ATTENTION_TAG, metadata.PLUGIN_NAME)
        return described.plugin_content, {datum.step: np.asarray(datum.numpy) for datum in read}

    def _keep(self, key, content):
        with self._lock:  # requests come in several threads
            self._kept.pop(key, None)
            self._kept[key] = content
            while sum(_num_bytes(history) for _, history, _ in self._kept.values()) > _MAX_BYTES_KEPT:
                del self._kept[next(iter(self._kept))]  # the least recently used

    def _tables(self, ctx, experiment, run=None, tag=names.STATISTICS_TAG):
        chosen = providers.RunTagFilter(runs=None if run is None else [run], tags=[tag])
        of_plugin = {"experiment_id": experiment, "plugin_name": metadata.PLUGIN_NAME}
        listed = _listed(self._provider.list_tensors, ctx, **of_plugin, run_tag_filter=chosen)
        return {name: tags[tag] for name, tags in listed.items() if tag in tags}

    def _read_tensors(self, ctx, experiment, run, tag, plugin_name):
        chosen = providers.RunTagFilter(runs=[run], tags=[tag])
        try:
            data = self._provider.read_tensors(
                ctx,
                experiment_id=experiment,
                plugin_name=plugin_name,
                downsample=MAX_SAMPLES,
                run_tag_filter=chosen,
            )
        except (ValueError, TypeError, AttributeError, KeyError, MemoryError) as error:  # bytes unlike the shape
            raise errors.InvalidArgumentError(f"{tag!r} of run {run!r} cannot be read: {error}.") from error
        return data.get(run, {}).get(tag, [])

    def _read(self, ctx, experiment, run, content):
        """Returns a `History`, and whether it includes the run's scalars."""
        try:
            variables, columns = _names(content)
        except ValueError as error:
            raise errors.InvalidArgumentError(f"The statistics of run {run!r} cannot be read: {error}.") from error
        tables, others = {}, set()
        for datum in self._read_tensors(ctx, experiment, run, names.STATISTICS_TAG, metadata.PLUGIN_NAME):
            table = np.asarray(datum.numpy)
            if table.shape == (len(variables), len(columns)) and table.dtype.kind == "f":
                tables[datum.step] = variables, columns, table
            else:
                others.add(datum.step)
        scalars = self._scalars(ctx, experiment, run, everything=True) if others else {}
        tables |= _tables_of_scalars(scalars, others)
        texts = self._texts(ctx, experiment, run)
        return History(*join(dict(sorted(tables.items()))), scalars=scalars, texts=texts), bool(others)

    def _texts(self, ctx, experiment, run):
        """Reads what the run was made of; nothing where it does not say."""
        data = self._read_tensors(ctx, experiment, run, names.RUN_TAG, text_metadata.PLUGIN_NAME)
        texts = {datum.step: np.asarray(datum.numpy).ravel()[:1].tolist() for datum in data}
        texts = {step: text[0].decode(errors="replace") for step, text in texts.items() if _is_text(text)}
        return (
            {names.RUN_TAG: Series(np.array(sorted(texts)), [texts[step] for step in sorted(texts)])} if texts else {}
        )

    def _scalars(self, ctx, experiment, run, everything=False):
        """Reads the scalars of a run; those that are also in the table only if `everything` is true."""
        of_run = {"experiment_id": experiment, "plugin_name": scalar_metadata.PLUGIN_NAME}
        listed = _listed(self._provider.list_scalars, ctx, **of_run, run_tag_filter=providers.RunTagFilter(runs=[run]))
        tags = [tag for tag in listed.get(run, {}) if everything or not _is_in_table(tag)]
        if not tags:
            return {}
        chosen = providers.RunTagFilter(runs=[run], tags=tags)
        read = self._provider.read_scalars(ctx, **of_run, downsample=MAX_SAMPLES, run_tag_filter=chosen)
        return {
            tag: _series(data) for tag, data in sorted(read.get(run, {}).items(), key=lambda item: _natural(item[0]))
        }


def _listed(function: Callable, *args, **kwargs):
    """Returns what a provider lists: while TensorBoard reads a run, it may know a tag, and no value of it yet."""
    for _ in range(_MOMENTS):
        try:
            return function(*args, **kwargs)
        except KeyError:
            time.sleep(_MOMENT)
    raise errors.NotFoundError("TensorBoard is still reading these runs. Ask again in a moment.")


def _order(run):
    return float("inf") if run.start_time is None else run.start_time, run.run_name


def _names(content):
    """Returns what `table_names` does, unless the table is too large to show."""
    if len(content) <= _MAX_HEADER:
        variables, columns = table_names(content)
        if len(variables) <= _MAX_VARIABLES:
            return variables, columns
    raise ValueError(f"it has more than {_MAX_VARIABLES:,} variables, or {_MAX_HEADER >> 20} MB of names")


def _is_text(values):
    return len(values) == 1 and isinstance(values[0], bytes)


def _num_bytes(history):
    """Returns roughly how much memory a run without histograms takes."""
    scalars = sum(series.steps.nbytes + series.values.nbytes for series in history.scalars.values())
    return history.statistics.nbytes + scalars + _BYTES_PER_RUN


def _natural(tag):
    """Returns a sort key for tags that puts layer10 after layer9; TensorBoard's own order is arbitrary."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"([0-9]+)", tag)]


def _is_in_table(tag):
    return tag.partition("/")[0] in names.SCALAR_TAGS.values()


def _series(data):
    by_step = {datum.step: datum.value for datum in data}
    steps = sorted(by_step)
    return Series(np.array(steps, np.int64), np.array([by_step[step] for step in steps], np.float32))


def _tables_of_scalars(scalars: dict[str, Series], steps: Iterable[int]) -> dict:
    """Returns tables, as `join` takes them, for steps with other variables than the first step.

    TensorBoard keeps only the names that came with a tag's first value, so those of a later table are unknown.
    """
    cells: dict[int, dict] = {step: {} for step in steps}
    for column, prefix in names.SCALAR_TAGS.items():
        for tag, series in scalars.items():
            if tag.startswith(f"{prefix}/") and tag not in _OF_ALL:
                for step, value in zip(series.steps.tolist(), map(float, series.values), strict=True):
                    if step in cells:
                        cells[step][tag.removeprefix(f"{prefix}/"), column] = value
    return {step: _table(of_step) for step, of_step in cells.items() if of_step}


def _table(cells):
    """Returns variables, columns and the table [V, S] of their numbers."""
    variables, columns = (tuple(dict.fromkeys(key[index] for key in cells)) for index in (0, 1))
    table = [[cells.get((variable, column), np.nan) for column in columns] for variable in variables]
    return variables, columns, np.array(table, np.float32)
