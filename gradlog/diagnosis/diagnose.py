"""Diagnosis: a run held against the rules."""

from collections.abc import Sequence

import numpy as np

from gradlog.diagnosis.finding import Finding
from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Rule, finding_of
from gradlog.diagnosis.rules.table import RULES
from gradlog.history.history import History


def diagnose(history: History, rules: Sequence[Rule] | None = None) -> list[Finding]:
    """Says what is wrong with a run.

    Args:
        history: The `History` of one run, as `gradlog.read` returns it; of a run that lacks something, such as the
            loss, the rules that need it are silent.
        rules: The rules to hold it against. Defaults to `gradlog.rules.RULES`.

    Returns:
        A list of `Finding`, worst first; empty where nothing is wrong, or nothing can be told.

    Raises:
        TypeError: `history` is something else than a `History`.

    Example:
    ```python
    for finding in gradlog.diagnose(gradlog.read("logs/sigmoid")):
        print(finding)
    ```
    """
    if not isinstance(history, History):
        raise TypeError(
            "`diagnose` looks at one run. Expected a History, as gradlog.read returns it for the directory of a run; "
            f"of several runs, diagnose each: diagnose(runs[name]). Received: {type(history).__name__}"
        )
    return sorted(findings_by_sign(history, rules).values(), key=lambda finding: finding.rank)


def findings_by_sign(history: History, rules: Sequence[Rule] | None = None) -> dict[tuple[str, int], Finding]:
    """Returns what `diagnose` does, as a dictionary by the rule's code and the number of its sign.

    So that one can tell the same finding in a run that has gone on.
    """
    if not len(history.steps):
        return {}
    evidence, findings = Evidence(history), {}
    with np.errstate(all="ignore"):
        for rule in RULES if rules is None else rules:
            for number, sign in enumerate(rule.signs(evidence)):
                findings[rule.code, number] = finding_of(rule, sign, evidence)
    return {key: finding for key, finding in findings.items() if finding is not None}
