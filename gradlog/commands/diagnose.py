"""Diagnose: prints the findings of several runs as text or JSON."""

import textwrap

import gradlog
from gradlog.commands import console, selection
from gradlog.history.history import History

_COLORS = {"alarm": "red", "warning": "yellow", "note": "dim"}


def findings(runs: dict[str, History], chosen: selection.Selection) -> dict[str, list]:
    """Returns the findings of each run, in the order of `gradlog.diagnose`.

    Rules compare layers and look back, so each run is diagnosed as a whole and from its beginning. Findings about other
    than the chosen variables, and those that ended before the first chosen step, are then dropped. A run without
    gradlog's statistics has no findings.
    """
    return {name: _of_run(history, chosen) for name, history in runs.items()}


def _of_run(history, chosen):
    found = gradlog.diagnose(history) if selection.has_statistics(history) else []
    first = chosen.steps[0] or 0
    found = [each for each in found if each.last_step is None or each.last_step >= first]
    if chosen.variables is not None:
        found = [each for each in found if not each.where or _is_about(each, history, chosen.variables)]
    return found


def _is_about(finding, history, variables):
    """Whether a finding names a chosen variable, or the layer of one."""
    meant = set(finding.where)
    meant.update(
        name for name in history.variables for place in finding.where if name.startswith((f"{place}/", f"{place}."))
    )
    return any(map(variables.search, meant))


def show(runs: dict[str, History], found: dict[str, list], as_json: bool) -> int:
    """Prints the findings of each run, a dictionary by its name; returns how many need action.

    Raises:
        CommandError: If none of the runs has statistics to diagnose.
    """
    without = [name for name, history in runs.items() if not selection.has_statistics(history)]
    if len(without) == len(runs):
        raise selection.CommandError(
            f"nothing to diagnose, since no run has gradlog's statistics: {console.listed(without)}"
        )
    print(console.json_text(content(runs, found)) if as_json else text(found, without))
    return num_findings(found)


def num_findings(found: dict[str, list]) -> int:
    """Returns how many findings of several runs need action."""
    return sum(not finding.is_note for each in found.values() for finding in each)


def content(runs: dict[str, History], found: dict[str, list]) -> dict:
    """Returns what `--json` prints."""
    return {
        "version": gradlog.__version__,
        "num_findings": num_findings(found),
        "num_notes": sum(map(len, found.values())) - num_findings(found),
        "runs": [
            {
                "run": name,
                "has_statistics": selection.has_statistics(history),
                "findings": [finding.to_dict() for finding in found[name]],
                "notes": list(history.notes),
            }
            for name, history in runs.items()
        ],
    }


def text(found: dict[str, list], without: list[str]) -> str:
    """Returns the report as text: the run with the worst finding first; clean runs are only counted.

    Args:
        found: Dictionary of lists of `Finding` by run, each in reading order.
        without: Names of the runs that have no statistics.
    """
    marked = {name: each for name, each in found.items() if each}
    worst_first = sorted(marked.items(), key=lambda item: min(finding.rank for finding in item[1]))
    parts = [_section(name, each) for name, each in worst_first]
    if without:
        runs = console.counted_noun(len(without), "run")
        parts.append(f"{runs} without gradlog's statistics, not diagnosed: {console.listed(without)}")
    parts.append(_count(marked, len(found) - len(without)))
    return "\n\n".join(parts)


def _count(marked, num_runs):
    number, runs = num_findings(marked), console.counted_noun(num_runs, "run")
    num_notes = sum(map(len, marked.values())) - number
    notes = f" {console.counted_noun(num_notes, 'note')}: no action needed." if num_notes else ""
    if number:
        num_marked = sum(not all(finding.is_note for finding in each) for each in marked.values())
        return f"{console.counted_noun(number, 'finding')} in {num_marked} of {runs}.{notes}"
    return console.colored(f"No findings in {runs}.{notes}", "green")


def _section(name, found):
    codes = {finding.code for finding in found if not finding.cause}
    parts = [_folded(each) if each.cause in codes else _colored(each) for each in found]
    return "\n".join([console.colored(name, "bold"), *(textwrap.indent(part, "  ") for part in parts)])


def _colored(finding):
    first, *rest = str(finding).split("\n")
    return "\n".join([console.colored(first, _COLORS.get(finding.severity, "bold")), *rest])


def _folded(finding):
    """Returns the one line of a finding that another one explains."""
    return f"  └ {console.colored(finding.title, _COLORS.get(finding.severity, 'bold'))}"
