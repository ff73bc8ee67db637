"""Another learning rate."""

import math

from gradlog.diagnosis.changes.of_run import number
from gradlog.diagnosis.finding import Finding
from gradlog.history.run import Run

_TARGET_RATIO = 3e-3  # of a step to the weights; about 1e-3 is usual (Karpathy, cs231n notes)
_DEFAULT_RATES = {"SGD": 0.01, "Adagrad": 0.001, "Ftrl": 0.001, "Adadelta": 0.001, "Lion": 1e-4}  # Keras'; else 0.001
_MAX_RATES = {"SGD": 0.1}  # that a change proposes; else ten times the default


def lower_rate(finding: Finding, run: Run) -> str:
    """Proposes a learning rate at which a step is about 0.003 of the weights."""
    rate = number(run.optimizer, "learning_rate")
    if not rate or not finding.measured > 0:
        return ""
    return _rate(run, _rounded(rate * min(_TARGET_RATIO / finding.measured, 1 / 3)))


def tenth_of_rate(finding: Finding, run: Run) -> str:
    """Proposes a tenth of the learning rate, where something went wrong after the first step."""
    rate = number(run.optimizer, "learning_rate")
    return _rate(run, _rounded(rate / 10)) if rate and finding.first_step > 0 else ""


def usual_rate(finding: Finding, run: Run) -> str:
    """Proposes Keras' default where the learning rate is ten times as large or more, of SGD a hundred times."""
    rate, kind = number(run.optimizer, "learning_rate"), run.optimizer.get("class", "")
    default = _DEFAULT_RATES.get(kind, 0.001)
    is_unusual = rate and rate >= 10 * _MAX_RATES.get(kind, default)
    return _rate(run, default) if is_unusual and finding.first_step > 0 else ""


def raise_rate(finding: Finding, run: Run) -> str:
    """Proposes a larger learning rate, at most ten times Keras' default."""
    rate, kind = number(run.optimizer, "learning_rate"), run.optimizer.get("class", "")
    default = _DEFAULT_RATES.get(kind, 0.001)
    if rate is None or rate >= default:
        return ""
    limit = _MAX_RATES.get(kind, default)
    wanted = rate * 1e-3 / finding.measured if finding.measured > 0 and rate > 0 else limit
    return _rate(run, _rounded(min(max(wanted, 10 * rate), limit)))


def _rate(run, rate):
    name = run.optimizer.get("class", "the optimizer")
    return f"keras.optimizers.{name}(learning_rate={rate:g}) (it is {run.optimizer['learning_rate']:g})"


def _rounded(number):
    """Returns a number as one writes a learning rate: 1 or 3 times a power of ten."""
    if not number > 0:
        return 0.001
    exponent = math.floor(math.log10(number) + 1e-9)
    return float(f"{3 if number / 10**exponent > 2 else 1}e{exponent}")
