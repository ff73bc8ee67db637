"""Diagnose: applies the rules to a run."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gradlog.diagnosis.causes import KINDS_OF_CHECKS, SETUP, in_reading_order
from gradlog.diagnosis.changes.table import applicable, change_for
from gradlog.diagnosis.finding import NOTE, WARNING, Finding
from gradlog.diagnosis.rules.evidence import Evidence
from gradlog.diagnosis.rules.rule import Diagnosed, Rule, finding_of
from gradlog.diagnosis.rules.table import RULES
from gradlog.history.history import History


def diagnose(history: History, rules: Sequence[Rule] | None = None) -> list[Finding]:
    """Finds what is wrong with a run.

    Args:
        history: The `History` of one run, as `gradlog.read` returns it. If the run lacks something, such as the
            loss, rules that need it find nothing.
        rules: The rules to apply. Defaults to `gradlog.rules.RULES`.

    Returns:
        A list of `Finding` in the order to read them: causes, worst first, each followed by the findings that it
        explains; then notes. Empty if nothing is wrong or the run has too little to judge.

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
    return list(findings_by_symptom(history, rules).values())


def findings_by_symptom(history: History, rules: Sequence[Rule] | None = None) -> dict[tuple[str, int], Finding]:
    """Returns the findings of `diagnose`, in its order, by the rule's code and the number of its symptom.

    The key identifies the same finding as the run goes on. Whatever the rules are, mistakes in the set-up that the
    run itself tells are among them.
    """
    if not len(history.steps):
        return {}
    evidence = Evidence(history)
    found = _mistakes(evidence)
    with np.errstate(all="ignore"):
        for rule in RULES if rules is None else rules:
            for number, symptom in enumerate(rule.symptoms(evidence)):
                finding = finding_of(rule, symptom, evidence)
                if finding is not None:
                    kind, remedies = symptom.kind or rule.code, applicable(finding.remedies, evidence)
                    finding = replace(finding, remedies=remedies, change=change_for(kind, finding, evidence))
                    found[rule.code, number] = Diagnosed(finding, kind, symptom.is_initial, symptom.is_hint)
    return in_reading_order(found, evidence)


def _mistakes(evidence):
    """Returns what is wrong with the set-up, as far as the run says; a warning is a note where the run has learned."""
    found, has_learned = {}, bool(evidence.is_learned[-1:].any())
    for number, values in enumerate(evidence.run.mistakes if evidence.run is not None else ()):
        with contextlib.suppress(TypeError, ValueError, KeyError, AttributeError):  # of a damaged or a foreign log
            finding = Finding.from_dict(values)
            kind = KINDS_OF_CHECKS.get(finding.code, SETUP)
            finding = replace(finding, change=change_for(kind, finding, evidence) or finding.change)
            if has_learned and finding.severity == WARNING:
                finding = replace(finding, severity=NOTE)
            found[finding.code, number] = Diagnosed(finding, kind, is_initial=True)
    return found
