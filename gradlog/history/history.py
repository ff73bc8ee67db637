"""The data types that writing and reading share: a `Snapshot` of one step, and the `History` of a run."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gradlog.history import frames, html, names, precision
from gradlog.history.attention import Attention
from gradlog.history.inputs import Inputs
from gradlog.history.run import Run

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Snapshot:
    """What was recorded at one step.

    Attributes:
        step: Integer, the optimizer's iteration count before the update.
        variables: V names, in the model's order.
        columns: S names of statistics.
        statistics: Float32 array [V, S]; NaN where a variable had no gradient at this step.
        gradients: Integer array [V, `buckets.NUM_BUCKETS`] of counts, or `None` without histograms.
        weights: The same of the weights before the update.
        scalars: Dictionary of tags to numbers: loss, metrics, global norm, fractions of activations.
        layers: L names of layers whose activations were looked at.
        activations: Integer array [L, `buckets.NUM_BUCKETS`] of counts, or `None`.
        attention_layers: A names of layers whose attention was looked at.
        attention: Float32 array [A, H, 3] as in `Attention`, or `None`.
        batch_size: Integer, the rows of the batch, over all replicas; `None` if it is not known.
        targets: Float32 arrays [n, k] of the batch's first targets, one for each output; empty if they are not known.
        inputs: `Inputs` of the batch's first rows, of a model with one input; `None` if they are not known.
        wall_time: Float, when the step ended, in seconds since 1970; `None` for when it is written.
    """

    step: int
    variables: tuple[str, ...]
    columns: tuple[str, ...]
    statistics: np.ndarray
    gradients: np.ndarray | None = None
    weights: np.ndarray | None = None
    scalars: dict[str, float] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    activations: np.ndarray | None = None
    attention_layers: tuple[str, ...] = ()
    attention: np.ndarray | None = None
    batch_size: int | None = None
    targets: tuple[np.ndarray, ...] = ()
    inputs: Inputs | None = None
    wall_time: float | None = None


@dataclass
class Series:
    """One tag's values over the steps.

    Attributes:
        steps: Integer array [T], rising.
        values: List or array of T values: numbers, or [k, 3] arrays of (left edge, right edge, count).
    """

    steps: np.ndarray
    values: list | np.ndarray

    def __repr__(self):
        if isinstance(self.values, np.ndarray):
            return f"Series(steps={self.steps!r}, values={self.values!r})"
        return f"Series({_logged(self.steps)})"  # arrays of histograms, and texts, would fill the screen


@dataclass
class History:
    """Everything that one run wrote.

    Attributes:
        variables: V names, in the model's order.
        columns: S names of statistics.
        steps: Integer array [T] of the logged steps, rising.
        statistics: Float32 array [T, V, S]; NaN where a variable had no gradient at a step.
        scalars: Dictionary of tags to `Series` of numbers, such as `train/loss`. The scalars that an event file holds
            beside the table, such as `gradient_norm/layer1/kernel`, are in `statistics` alone.
        histograms: Dictionary of tags to `Series` of rows, such as `gradient/layer1/kernel`.
        texts: Dictionary of tags to `Series` of strings.
        notes: Sentences, each about something that could not be read or that was estimated.
        attention: `Attention` of each head; `None` if none was looked at.

    Example:
    >>> run = History(("a/kernel",), ("gradient_norm",), np.array([0]), np.array([[[2.0]]]))
    >>> run.statistic("gradient_norm").tolist()
    [[2.0]]
    """

    variables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    steps: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    statistics: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    scalars: dict[str, Series] = field(default_factory=dict)
    histograms: dict[str, Series] = field(default_factory=dict)
    texts: dict[str, Series] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    attention: Attention | None = None

    def statistic(self, name: str, variable: str | None = None) -> np.ndarray:
        """Returns one statistic over the steps: [T, V], or [T] of one variable.

        Raises:
            KeyError: This run has no such statistic or variable; the message lists those it has.
        """
        column = self.statistics[:, :, _index(self.columns, name, "statistic")]
        return column if variable is None else column[:, _index(self.variables, variable, "variable")]

    @property
    def run(self) -> Run | None:
        """What the run was made of: layers, optimizer, loss; `None` if that is not known."""
        series = self.texts.get(names.RUN_TAG)
        try:
            return Run.from_json(series.values[-1]) if series is not None and len(series.values) else None
        except ValueError:
            return None

    def kernels(self) -> list[str]:
        """Returns the names of the variables that are kernels, in the model's order.

        If none is named so, as in a log of another library, these are all variables but biases, embeddings and those of
        normalization.
        """
        return names.kernels(self.variables)

    def precision(self, dtype: str, kind: str = names.GRADIENT_HISTOGRAM, scale: float = 1.0) -> precision.Precision:
        """Returns how many elements would be lost in a format of fewer bits: become zero, or infinite or NaN.

        It is counted from the histograms, so the run must have been logged with them. An element counts where all of
        its bucket is lost, as `gradlog.history.precision.lost` says.

        Args:
            dtype: `"float16"`, `"bfloat16"`, `"float8_e4m3fn"` or `"float8_e5m2"`.
            kind: `"gradient"`, or `"weight"` for the weights before the update. Defaults to `"gradient"`.
            scale: Number, by which the elements are multiplied before, as loss scaling does. Defaults to 1.

        Returns:
            A `Precision` with the counts [T, V] by step and variable, and their fractions.

        Raises:
            ValueError: An argument is not one of these, or the scale is not positive.

        Example:
        >>> rows = np.array([[2.0**-26, 1.25 * 2.0**-26, 3.0], [1.0, 1.25, 1.0]])
        >>> run = History(("a/kernel",), histograms={"gradient/a/kernel": Series(np.array([0]), [rows])})
        >>> run.precision("float16").total()
        (0.75, 0.0)
        >>> run.precision("float16", scale=1024.0).total()
        (0.0, 0.0)
        """
        return precision.precision_of(self, dtype, kind, scale)

    def to_dataframe(self) -> "pandas.DataFrame":
        """Returns all numbers of the run as one long table.

        Returns:
            A `pandas.DataFrame` with a row a number and the columns `step` (int64), `variable`, `statistic` (strings)
            and `value` (float32). The statistics come first, by step, then by variable; what was not logged, such as
            the gradient of a frozen variable, has no row. The scalars follow: `variable` is empty and `statistic` is
            the tag, such as `train/loss`. A scalar of a layer, such as `activation_dead/layer1`, has the layer as its
            `variable`.

        Raises:
            ImportError: pandas is not installed.

        Example:
        ```python
        table = gradlog.read("logs/relu").to_dataframe()
        kernels = table[table.variable.str.endswith("/kernel") & (table.statistic == "gradient_mean_abs")]
        kernels.pivot(index="step", columns="variable", values="value").plot(logy=True)
        ```
        """
        return frames.dataframe(self)

    def plot(self) -> "Figure":
        """Returns a Matplotlib figure of the run, that of `gradlog.plot`; a notebook shows it."""
        import gradlog

        return gradlog.plot(self)

    def __repr__(self):
        return f"History({len(self.variables):,} variables, {_logged(self.steps)})"

    def _repr_html_(self):
        """Returns what a notebook shows: how much was logged, how loss and metrics went, and what was found."""
        import gradlog

        variables = f"{len(self.variables):,}, of which {len(self.kernels()):,} kernels"
        rows = [("logged", _logged(self.steps)), ("variables", variables)]
        for tag, series in self.scalars.items():
            if tag.startswith(("train/", "validation/", "test/")) and len(series.values):
                rows.append((tag, f"{series.values[0]:.3g} → {series.values[-1]:.3g}"))
        found = [one.title for one in gradlog.diagnose(self)] if len(self.steps) else []
        rows += [("findings", title) for title in found] or [("findings", "none")]
        return html.table([*rows, *(("note", note) for note in self.notes)])


def _logged(steps):
    return f"{len(steps):,} steps, {steps[0]:,} to {steps[-1]:,}" if len(steps) else "no steps"


def _index(known, name, kind):
    if name not in known:
        raise KeyError(f"This run has no {kind} {name!r}. It has: {', '.join(known) or 'none'}.")
    return known.index(name)
