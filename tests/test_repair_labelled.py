"""`gradlog.repair` on the labelled networks: it heals the sick ones, and leaves the healthy ones as they are.

`pytest -m labelled -s tests/test_repair_labelled.py` prints a line for each; it takes twenty minutes.
"""

import keras
import labelled
import pytest

import gradlog
from gradlog.repair.repair import HEALTHY, REPAIRED

pytestmark = pytest.mark.labelled
EPOCHS = 10
# Whose layers can be made anew; backbones of keras-hub cannot.
SICK, WELL = ([case for case in cases if not case.probe] for cases in (labelled.SICK, labelled.HEALTHY))
HEALED = 0.5  # of the way from guessing to perfect


def repaired(case):
    keras.utils.set_random_seed(1)
    model = case.build()
    x, y = (case.data or labelled.digits)()
    if case.prepare:
        model.optimizer.build(model.trainable_variables)
        case.prepare(model, x, y)
    return gradlog.repair(model, x, y, epochs=max(EPOCHS, case.epochs), trainings=12, verbose=0)


def line(case, found):
    changes = " + ".join(one.name for one in found.changes)
    scores = [f"{sum(each) / len(each):.2f}" for each in (found.proof.before, found.proof.after)] if found.proof else []
    first = found.tried[0].outcome.score
    return (
        f"{case.name}: {found.verdict} {changes} {' -> '.join(scores) or f'{first:.2f}'}, {found.spent:.1f} trainings"
    )


def test_nine_in_ten_of_the_sick_are_healed():
    healed, spent = [], []
    for case in SICK:
        found = repaired(case)
        print(line(case, found), flush=True)
        after = found.proof.after if found.verdict == REPAIRED else ()
        if found.verdict == HEALTHY:  # with more epochs than in the set it has learned
            after = (found.tried[0].outcome.score,)
        if after and sum(after) / len(after) >= found.chance + HEALED * (1 - found.chance):
            healed.append(case.name)
            spent.append(found.spent)
    print(f"healed {len(healed)} of {len(SICK)}, with {sum(spent) / len(spent):.1f} trainings on average")
    assert len(healed) >= 0.9 * len(SICK)


def test_the_healthy_are_left_as_they_are():
    disturbed = []
    for case in WELL:
        found = repaired(case)
        print(line(case, found), flush=True)
        if (found.verdict, found.changes, found.spent) != (HEALTHY, (), 1):
            disturbed.append(case.name)
    assert disturbed == []
