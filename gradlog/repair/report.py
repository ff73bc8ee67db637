"""Report: what a repair has found, in words and a table."""

import dataclasses
import math
import textwrap


def text(repair) -> str:
    """Returns the report of a `Repair`: the verdict, the change as code, the proof, and all that was tried."""
    head = f"gradlog.repair · {repair.verdict} · {_trainings(repair.spent)}, {repair.seconds:.0f} s"
    parts = [head, _found(repair), _changed(repair), _proof(repair), _tried(repair), repair.note]
    return "\n\n".join(filter(None, parts))


def to_dict(repair) -> dict:
    """Returns a `Repair` without its model as a dictionary for JSON."""
    proof = repair.proof
    return {
        "verdict": repair.verdict,
        "changes": [{"name": one.name, **dataclasses.asdict(one)} for one in repair.changes],
        "code": list(repair.code),
        "findings": [one.to_dict() for one in repair.findings],
        "findings_after": [one.to_dict() for one in repair.findings_after],
        "score": repair.score_name,
        "chance": _finite(repair.chance),
        "proof": None
        if proof is None
        else {
            "seeds": list(proof.seeds),
            "before": list(map(_finite, proof.before)),
            "after": list(map(_finite, proof.after)),
            "p_value": proof.p_value,
        },
        "tried": [
            {
                "what": one.name,
                "seed": one.seed,
                "score": _finite(one.outcome.score),
                "findings": one.outcome.codes,
                "trainings": one.cost,
                "failure": one.outcome.failure,
                "log_dir": one.log_dir,
            }
            for one in repair.tried
        ],
        "trainings": repair.spent,
        "seconds": repair.seconds,
        "note": repair.note,
    }


def _found(repair):
    """Returns the findings of the original, each in a line; those that another explains are left out."""
    causes = [one for one in repair.findings if not one.cause and not one.is_note]
    failure = next((one.outcome.failure for one in repair.tried if not one.changes), "")
    fails = [f"The training fails: {failure}"] if failure else []
    found = ["Found:", *(f"  {one.title}" for one in causes)] if causes else []
    if not fails and not found and repair.verdict != "nothing to repair":
        found = ["Nothing was found, but not all was learned."]
    return "\n".join([*fails, *found])


def _changed(repair):
    if not repair.code:
        return ""
    lines = [line for code in repair.code for line in code.splitlines()]
    return "\n".join(["Change:", *(f"  {line}" for line in lines)])


def _proof(repair):
    proof = repair.proof
    if proof is None:
        return ""
    rows = [
        [str(seed), _score(one), _score(other)]
        for seed, one, other in zip(proof.seeds, proof.before, proof.after, strict=True)
    ]
    rows.append(["mean", _mean(proof.before), _mean(proof.after)])
    better = int((proof.differences > 0).sum())
    test = f"p = {proof.p_value:.3g}"
    if proof.p_value <= proof.smallest_p_value:
        test += f", the smallest that {len(proof.seeds)} pairs can show"
    said = f"{better} of {len(proof.seeds)} pairs improve (exact paired permutation test, one-sided: {test})."
    after = ", ".join(dict.fromkeys(one.code for one in repair.findings_after if not one.is_note)) or "none"
    before = ", ".join(dict.fromkeys(one.code for one in repair.findings if not one.is_note)) or "none"
    guessing = f"; guessing gets {repair.chance:.3f}" if math.isfinite(repair.chance) else ""
    head = f"Proof: {repair.score_name} on rows held out, higher is better{guessing}"
    table = _table(["seed", "original", "changed"], rows)
    return "\n".join([head, table, f"  {said}", f"  Findings before: {before}; after: {after}"])


def _tried(repair):
    rows = [
        [
            textwrap.shorten(one.name, 60, placeholder="…"),
            str(one.seed),
            f"{one.cost:.2f}",
            (one.outcome.failure and "failed") or _score(one.outcome.score),
            (one.outcome.failure and textwrap.shorten(one.outcome.failure, 40, placeholder="…")) or one.outcome.codes,
        ]
        for one in repair.tried
    ]
    headers = ["training", "seed", "trainings", repair.score_name, "findings at the end"]
    return "\n".join(["Tried:", _table(headers, rows)])


def _table(headers, rows):
    """Returns a table; the first and the last column of five are text, the others numbers."""
    widths = [max(len(row[place]) for row in [headers, *rows]) for place in range(len(headers))]

    def line(cells):
        padded = [
            cell.ljust(width) if place in (0, 4) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"  {'  '.join(padded)}".rstrip()

    return "\n".join(map(line, [headers, *rows]))


def _trainings(number):
    said = f"{number:.2f}".rstrip("0").rstrip(".")
    return f"{said} training" if said == "1" else f"{said} trainings"


def _score(number):
    return f"{number:.3f}" if math.isfinite(number) else "failed"


def _mean(scores):
    finite = [one for one in scores if math.isfinite(one)]
    if not finite:
        return "failed"
    mean = sum(finite) / len(finite)
    return f"{mean:.3f} ({min(finite):.3f} to {max(finite):.3f})"


def _finite(number):
    return number if math.isfinite(number) else None
