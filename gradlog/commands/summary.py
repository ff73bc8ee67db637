"""Summary: the key numbers of each run, side by side."""

import math
from dataclasses import asdict, dataclass

import numpy as np

import gradlog
from gradlog.commands import console, layers, precision, selection
from gradlog.history import names
from gradlog.history.history import History
from gradlog.history.tree import some

_MAX_FINDINGS = 3  # in a cell
_MAX_NAME_LENGTH, _WIDE = 32, 200  # characters of a run's name, on a terminal narrower than wide
_MAX_LAYER_LENGTH = 60  # characters of a layer's name
_GRADIENTS = ["first", "last", "ratio"]
_MAX_PLAIN = 1e5  # ratios from here on have an exponent
_LOSS = "train/loss"


@dataclass(frozen=True)
class Gradients:
    """Mean absolute gradients of the first and the last kernel, and the last over the first.

    Each is `None` if it is unknown: the gradient was not logged, or the ratio would divide by zero.
    """

    first: float | None = None
    last: float | None = None
    ratio: float | None = None


@dataclass(frozen=True)
class Row:
    """The summary of one run; `None` stands for what was not logged.

    Attributes:
        run: The run's name.
        num_steps: Integer, how many steps were logged.
        first_step: Integer.
        last_step: Integer.
        first_loss: Float, loss of the first logged batch.
        last_loss: Float, loss of the last logged batch.
        metric: String such as "accuracy".
        first_metric: Float, metric of the first logged batch.
        last_metric: Float, metric of the last logged batch.
        held_out: Dictionary of tags to the last values of `test/<metric>` and `validation/<metric>`.
        first_kernel: Name of a variable.
        last_kernel: Name of a variable.
        at_start: `Gradients` at the first logged step.
        over_run: `Gradients` averaged over the logged steps.
        findings: List of dictionaries, worst first, as in `gradlog diagnose --json`.
        has_statistics: Boolean, whether the run has gradlog's statistics.
        notes: List of strings, what could not be read.
    """

    run: str
    num_steps: int
    first_step: int | None
    last_step: int | None
    first_loss: float | None
    last_loss: float | None
    metric: str | None
    first_metric: float | None
    last_metric: float | None
    held_out: dict[str, float]
    first_kernel: str | None
    last_kernel: str | None
    at_start: Gradients
    over_run: Gradients
    findings: list[dict]
    has_statistics: bool
    notes: list[str]


def row(run: str, history: History, findings: list) -> Row:
    """Returns the `Row` of a run.

    Args:
        run: String, its name.
        history: Its `History`.
        findings: List of `Finding`, in any order.
    """
    metric = _metric(history)
    kernels = selection.kernels(history) if selection.has_statistics(history) else []
    at_start, over_run = _gradients(history, kernels)
    steps = history.steps if len(history.steps) else _steps(history)
    losses, metrics = _ends(history, _LOSS), _ends(history, f"train/{metric}")
    held_out = {tag: _ends(history, tag)[1] for tag in (f"test/{metric}", f"validation/{metric}")}
    return Row(
        run=run,
        num_steps=len(steps),
        first_step=int(steps[0]) if len(steps) else None,
        last_step=int(steps[-1]) if len(steps) else None,
        first_loss=losses[0],
        last_loss=losses[1],
        metric=metric,
        first_metric=metrics[0],
        last_metric=metrics[1],
        held_out={tag: value for tag, value in held_out.items() if value is not None},
        first_kernel=kernels[0] if kernels else None,
        last_kernel=kernels[-1] if kernels else None,
        at_start=at_start,
        over_run=over_run,
        findings=[finding.to_dict() for finding in sorted(findings, key=lambda finding: finding.rank)],
        has_statistics=selection.has_statistics(history),
        notes=list(history.notes),
    )


def show(
    runs: dict[str, History],
    findings: dict[str, list],
    as_json: bool,
    all_layers: bool = False,
    loss_scale: float | None = None,
) -> None:
    """Prints the summary of runs, a dictionary by name, with their findings, as a table or JSON.

    Below the table stand the blocks of networks that have many, or every layer of all networks if `all_layers` is true;
    with a loss scale, also what would be lost in fewer bits, as `gradlog.commands.precision` has it.
    """
    rows = [row(name, history, findings[name]) for name, history in runs.items()]
    lost = {} if loss_scale is None else {name: precision.shares(one, loss_scale) for name, one in runs.items()}
    if as_json:
        entries = [asdict(each) | ({"precision": lost[each.run]} if lost else {}) for each in rows]
        print(console.json_text({"version": gradlog.__version__, "runs": entries}))
        return
    of_precision = [] if loss_scale is None else [precision.text(lost, loss_scale, console.width())]
    print("\n\n".join([text(rows, console.width()), *_tables_of_layers(runs, all_layers), *of_precision]))


def text(rows: list[Row], columns: int) -> str:
    """Returns the rows as a table, at most `columns` wide if possible."""
    name_length = _MAX_NAME_LENGTH if columns < _WIDE else None
    parts = [
        ("", ["<run"], [[console.shortened(row.run, name_length)] for row in rows]),
        ("", ["steps"], [[_steps_text(row)] for row in rows]),
        ("", ["<loss"], [[_change(row.first_loss, row.last_loss)] for row in rows]),
        ("", *_metric_column(rows)),
        ("", *_held_out_column(rows)),
        ("|g| at start", _GRADIENTS, [_gradient_cells(row.at_start) for row in rows]),
        ("|g| over the run", _GRADIENTS, [_gradient_cells(row.over_run) for row in rows]),
        ("", ["<findings"], [[_codes(row)] for row in rows]),
    ]
    parts = [part for part in parts if any(cell != "-" for cells in part[2] for cell in cells)]
    lines = [[cell for cells in line for cell in cells] for line in zip(*(part[2] for part in parts), strict=True)]
    return console.table([part[:2] for part in parts], lines, columns)


def _tables_of_layers(runs, all_layers):
    for name, history in runs.items():
        if selection.has_statistics(history) and (all_layers or layers.is_long(history)):
            yield _table_of_layers(name, history if all_layers else layers.folded(history), all_layers)


def _table_of_layers(run, history, all_layers):
    """Returns a run's kernels as a table: gradients and update ratios at the first step and over the run."""
    kernels, groups = (
        selection.kernels(history),
        [("", [f"<{run}: {'layers' if all_layers else 'largest of a block'}"])],
    )
    rows = [[layers.label(history, name, _MAX_LAYER_LENGTH)] for name in kernels]
    for title, statistic in (("|g|", "gradient_mean_abs"), ("update ratio", "update_ratio")):
        if statistic in history.columns and len(history.steps):
            groups.append((title, ["at start", "over the run"]))
            for row, name in zip(rows, kernels, strict=True):
                row.extend(_start_and_mean(history.statistic(statistic, name).astype(np.float64)))
    return console.table(groups, rows, console.width())


def _start_and_mean(values):
    known = [number if math.isfinite(number) else None for number in (float(values[0]), _mean(values))]
    return [_short_power(number) for number in known]


def _steps_text(row):
    return "-" if row.first_step is None else f"{row.first_step}-{row.last_step}"


def _metric_column(rows):
    """Returns the header and the cells of the metric; cells name it if the runs have different ones."""
    metrics = sorted({row.metric for row in rows if row.metric})
    cells = [_change(row.first_metric, row.last_metric, ".2f") for row in rows]
    if len(metrics) == 1:
        return [f"<{metrics[0]}"], [[cell] for cell in cells]
    named = [f"{row.metric} {cell}" if row.metric else "-" for row, cell in zip(rows, cells, strict=True)]
    return ["<metric"], [[cell] for cell in named]


def _held_out_column(rows):
    """Returns the header and the cells of the metric on a test set, or else in validation."""
    kinds = {next(iter(row.held_out)).partition("/")[0] for row in rows if row.held_out}
    cells = [f"{next(iter(row.held_out.values())):.3f}" if row.held_out else "-" for row in rows]
    return [kinds.pop() if len(kinds) == 1 else "held out"], [[cell] for cell in cells]


def _gradient_cells(gradients):
    return [_short_power(gradients.first), _short_power(gradients.last), _ratio_text(gradients.ratio)]


def _short_power(number):
    """Returns a number with two digits and a short exponent, such as 1.5e-3."""
    if number is None:
        return "-"
    digits, _, exponent = f"{number:.1e}".partition("e")
    return f"{digits}e{int(exponent)}"


def _ratio_text(number):
    if number is None or not 1e-3 <= number < _MAX_PLAIN:
        return _short_power(number)
    return f"{number:,.0f}" if number >= 100 else f"{number:.2g}"


def _change(first, last, form=".3g"):
    return "-" if first is None else f"{first:{form}} -> {last:{form}}"


def _codes(row):
    if not row.has_statistics:
        return "no statistics"
    short = [_short(finding) for finding in row.findings if finding["severity"] != "note"]
    return console.listed(short, _MAX_FINDINGS) or "none"


def _short(finding):
    if finding["place"] not in ("", some(tuple(finding["where"]))):  # it says blocks
        return f"{finding['code']} {finding['place']}"
    first, *others = [name.removesuffix("/kernel") for name in finding["where"]] or [""]
    return f"{finding['code']} {first}".rstrip() + (f" +{len(others)}" if others else "")


def _metric(history):
    """Returns the metric to show: an accuracy, if there is one."""
    tags = [tag.partition("/") for tag in history.scalars]
    kinds = ("train", "validation", "test")
    found = list(dict.fromkeys(name for kind, _, name in tags if kind in kinds and name not in names.NO_METRICS))
    return min(found, key=lambda name: (name != "accuracy", "accuracy" not in name), default=None)


def _ends(history, tag):
    values = history.scalars[tag].values if tag in history.scalars else ()
    return (float(values[0]), float(values[-1])) if len(values) else (None, None)


def _steps(history):
    """Returns the steps of a run without statistics, from its scalars."""
    steps = [series.steps for series in history.scalars.values()]
    return np.unique(np.concatenate(steps)) if steps else history.steps


def _gradients(history, kernels):
    """Returns the `Gradients` at the first logged step and averaged over the steps."""
    if not kernels or "gradient_mean_abs" not in history.columns or not len(history.steps):
        return Gradients(), Gradients()
    ends = [history.statistic("gradient_mean_abs", name).astype(np.float64) for name in (kernels[0], kernels[-1])]
    return _ratio(float(ends[0][0]), float(ends[1][0])), _ratio(*map(_mean, ends))


def _mean(values):
    is_finite = np.isfinite(values)
    return float(np.mean(values[is_finite])) if is_finite.any() else math.nan


def _ratio(first, last):
    known = [number if math.isfinite(number) else None for number in (first, last)]
    return Gradients(*known, last / first if None not in known and first > 0 else None)
