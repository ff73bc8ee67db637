"""Diagnose: applies the rules to a run."""

from collections.abc import Sequence

import numpy as np

from gradlog.diagnosis.finding import Finding
from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Rule, finding_of
from gradlog.diagnosis.rules.table import RULES
from gradlog.history.history import History


def diagnose(history: History, rules: Sequence[Rule] | None = None) -> list[Finding]:
    """Finds what is wrong with a run.

    Args:
        history: The `History` of one run, as `gradlog.read` returns it. If the run lacks something, such as the
            loss, rules that need it find nothing.
        rules: The rules to apply. Defaults to `gradlog.rules.RULES`.

    Returns:
        A list of `Finding`, worst first; empty if nothing is wrong or the run has too little to judge.

    Raises:
        TypeError: If `history` is not a `History`.

    Example:
    ```python
    for finding in gradlog.diagnose(gradlog.read("logs/sigmoid")):
        print(finding)
    ```
    """
    if not isinstance(history, History):
        raise TypeError(
            "`diagnose` takes one run. Expected a History, as gradlog.read returns it for the directory of a run; "
            f"for several runs, call it on each: diagnose(runs[name]). Received: {type(history).__name__}"
        )
    return sorted(findings_by_symptom(history, rules).values(), key=lambda finding: finding.rank)


def findings_by_symptom(history: History, rules: Sequence[Rule] | None = None) -> dict[tuple[str, int], Finding]:
    """Returns the findings of `diagnose` by the rule's code and the number of its symptom.

    The key identifies the same finding as the run goes on.
    """
    if not len(history.steps):
        return {}
    evidence, findings = Evidence(history), {}
    with np.errstate(all="ignore"):
        for rule in RULES if rules is None else rules:
            for number, symptom in enumerate(rule.symptoms(evidence)):
                findings[rule.code, number] = finding_of(rule, symptom, evidence)
    return {key: finding for key, finding in findings.items() if finding is not None}
