"""Which changes are tried, and in which order, by what was found."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Sequence

from gradlog.diagnosis.finding import Finding
from gradlog.diagnosis.rules.rule import LARGE_STEPS, SMALL_STEPS
from gradlog.repair.changes import (
    activation,
    batch_size,
    class_numbers,
    class_weights,
    clipping,
    decay,
    depth,
    dropout,
    finite_rows,
    flatten,
    gates,
    initializer,
    input_scale,
    learning_rate,
    normalization,
    optimizer,
    output,
    shuffled_rows,
    skip,
    target_scale,
    unfrozen,
    units,
    warmup,
)
from gradlog.repair.changes.change import Change, Observed, Proposals
from gradlog.repair.surgery import can_be_made_anew

_OF_UNITS = (learning_rate, initializer.unusual, input_scale, activation, normalization)
# By the code of a finding, or the kind of its symptom. A module stands for its `proposals`.
FOR: dict[str, tuple] = {
    "GL101": (
        initializer.unusual,
        activation,
        gates,
        normalization,
        skip,
        depth,
        input_scale,
        optimizer,
        learning_rate,
        decay,
        units,
    ),
    "GL102": (input_scale, initializer.unusual, target_scale, learning_rate, optimizer, normalization, clipping),
    "GL103": (finite_rows, output, initializer.unusual, target_scale, learning_rate, optimizer, clipping),
    "GL104": (normalization, initializer.unusual),
    "GL201": (initializer.unusual, *_OF_UNITS),
    "GL202": (input_scale, initializer.unusual, *_OF_UNITS),
    **dict.fromkeys(("GL203", "GL204", "GL205"), (learning_rate, warmup, initializer.unusual, normalization)),
    LARGE_STEPS: (learning_rate, optimizer, warmup, clipping),
    SMALL_STEPS: (learning_rate, optimizer),
    "GL302": (output, activation.unusual, learning_rate, optimizer, activation, normalization),
    "GL303": (decay, learning_rate),
    "GL304": (optimizer, learning_rate),
    "GL401": (
        output,
        dropout,
        activation.unusual,
        learning_rate,
        optimizer,
        normalization,
        input_scale,
        initializer.unusual,
        units,
    ),
    "GL402": (dropout, learning_rate, optimizer, batch_size, clipping, normalization),
    "GL403": (clipping, learning_rate, warmup, optimizer),
    "GL404": (output, class_weights, learning_rate, optimizer, normalization),
    **dict.fromkeys(("GL501", "GL503", "GL505", "GL508"), (output,)),
    "GL504": (class_numbers, output),
    "GL502": (output, target_scale),
    "GL506": (finite_rows,),
    "GL507": (input_scale, normalization),
    "GL509": (shuffled_rows,),
    "GL510": (batch_size,),
    "GL512": (output, initializer.unusual, target_scale, normalization),
    "GL513": (initializer.unusual, normalization, activation, initializer),
    "GL514": (learning_rate, optimizer, warmup, clipping),
    "GL515": (learning_rate, optimizer),
    "GL516": (output,),
}
ALL: tuple = (
    flatten,
    finite_rows,
    class_numbers,
    output,
    input_scale,
    target_scale,
    shuffled_rows,
    unfrozen,
    dropout,
    initializer.unusual,
    learning_rate,
    optimizer,
    normalization,
    activation,
    units,
    gates,
    decay,
    skip,
    depth,
    batch_size,
    clipping,
    warmup,
    initializer,
    class_weights,
)
# What hardly anybody means to do, although a network may learn something with it.
UNUSUAL: tuple = (
    flatten,
    class_numbers,
    unfrozen,
    dropout,
    units,
    activation.unusual,
    gates.of_long,
    normalization.unusual,
    batch_size.unusual,
    learning_rate.unusual,
    clipping.unusual,
    target_scale,
    decay.unusual,
    initializer.unusual,
)
# Each makes something usual that is not; in this order, each sees what those before it have made of the training.
USUAL: tuple = (
    flatten,
    finite_rows,
    class_numbers,
    output,
    input_scale,
    target_scale,
    shuffled_rows,
    batch_size,
    optimizer.unusual,
    decay.unusual,
    unfrozen,
    dropout,
    units,
    gates.of_long,
    activation.to_relu,
    initializer.unusual,
    normalization.of_deep,
)


def proposed(observed: Observed) -> list[Change]:
    """Returns the changes to try: those for the first cause and the set-up, then those for the others, then all else.

    Of several findings, the first proposals of each come before the second ones.
    """
    led = _in_turn([made(FOR[kind], observed) for kind in kinds(observed.findings)])
    return list(dict.fromkeys([*led, *unusual_in(observed), *made(ALL, observed)]))


def unusual_in(observed: Observed) -> list[Change]:
    """Returns the changes of what is unusual in itself, whatever was found."""
    return made(UNUSUAL, observed)


def together(observed: Observed) -> list[Change]:
    """Returns the changes that make everything usual which is not, to be made one after the other."""
    found: list[Change] = []
    for source in USUAL:
        for change in made([source], observed)[:1]:
            with contextlib.suppress(ValueError, TypeError, AttributeError):  # of a layer that Keras cannot make so
                observed = dataclasses.replace(observed, training=change.applied(observed.training))
                found.append(change)
    return found


def left_out(observed: Observed) -> list[str]:
    """Returns the names of changes that were not proposed because the model is neither `Sequential` nor functional."""
    if can_be_made_anew(observed.training.model):
        return []
    return list(dict.fromkeys(one.name for one in _all(ALL, observed) if getattr(one, "changes_layers", False)))


def kinds(findings: Sequence[Finding]) -> list[str]:
    """Returns the kinds of findings that changes are known for: causes first, then what they explain, then notes."""
    causes = [one for one in findings if not one.cause and not one.is_note]
    following = [one for one in findings if one.cause and not one.is_note]
    notes = [one for one in findings if one.is_note]
    found = map(_kind, [*causes, *following, *notes])
    return [kind for kind in dict.fromkeys(found) if kind in FOR]


def _kind(finding):
    if finding.code != "GL301":
        return finding.code
    return LARGE_STEPS if finding.measured > finding.threshold else SMALL_STEPS


def made(sources: Iterable, observed: Observed) -> list[Change]:
    """Returns what sources of changes propose for a model: the first of each, then the others."""
    can_change_layers = can_be_made_anew(observed.training.model)
    found = _all(sources, observed)
    return [one for one in found if can_change_layers or not getattr(one, "changes_layers", False)]


def _all(sources, observed):
    return _in_turn([_function(source)(observed) for source in sources])


def _in_turn(lists):
    """Returns the first of each list, then the second of each, and so on."""
    rounds = itertools.zip_longest(*lists)
    return [change for each in rounds for change in each if change is not None]


def _function(source) -> Proposals:
    return source if callable(source) else source.proposals
