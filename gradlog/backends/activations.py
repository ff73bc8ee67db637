"""Activations: which of them have flat parts, and how much of a layer's output lies there.

Where an activation is flat no gradient passes. A unit of a ReLU that is zero for every example learns nothing any more:
it is dead. A sigmoid or tanh near its ends passes next to nothing: it is saturated (Glorot and Bengio, "Understanding
the difficulty of training deep feedforward neural networks", 2010, section 3). ELU, SELU, GELU, Swish and leaky ReLU
have no flat part that a unit cannot leave, so there is nothing to count; a softmax says how sure it is, no more.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras import ops

# |tanh| > 0.97 as in Karpathy's "makemore", part 3; there its slope is below 6 % of its largest. A sigmoid is a tanh
# of half the argument, moved to [0, 1]; its ends are taken at the same 3 %.
TANH_END = 0.97
SIGMOID_ENDS = (0.03, 0.97)
RELU6_END = 6.0


class Kind(NamedTuple):
    """What can be wrong with the outputs of an activation.

    Attributes:
        can_die: Boolean, whether everything below a threshold becomes zero, as with ReLU.
        is_saturated: Function of a tensor of outputs that tells, element by element, which lie in a flat end; `None`
            where there are no such ends.
    """

    can_die: bool = False
    is_saturated: Callable | None = None


def at_most(end: float) -> Callable:
    """Returns the `is_saturated` of an activation that does not rise beyond `end`."""
    return lambda outputs: outputs >= ops.cast(end, outputs.dtype)


def outside(low: float, high: float) -> Callable:
    """Returns the `is_saturated` of an activation whose flat ends lie below `low` and above `high`."""

    def is_saturated(outputs):
        outputs = ops.cast(outputs, "float32")  # a half-precision 0.97 is another number
        return ops.logical_or(outputs < low, outputs > high)

    return is_saturated


def clipped_to(low: float, high: float) -> Callable:
    """Returns the `is_saturated` of an activation whose outputs stay at `low` and at `high`."""
    return lambda outputs: ops.logical_or(outputs <= low, outputs >= high)


# By the name of the function; what is not here is only drawn as a histogram.
KINDS = {
    "relu": Kind(can_die=True),
    "relu6": Kind(can_die=True, is_saturated=at_most(RELU6_END)),
    "tanh": Kind(is_saturated=outside(-TANH_END, TANH_END)),
    "sigmoid": Kind(is_saturated=outside(*SIGMOID_ENDS)),
    "hard_sigmoid": Kind(is_saturated=clipped_to(0.0, 1.0)),
    "hard_tanh": Kind(is_saturated=clipped_to(-1.0, 1.0)),
}


def kind(activation: Callable) -> Kind:
    """Returns the `Kind` of an activation function, which is known by its name.

    Example:
    >>> kind(ops.relu).can_die, kind(ops.elu).can_die
    (True, False)
    """
    return KINDS.get(getattr(activation, "__name__", ""), Kind())


def relu_kind(negative_slope: float, max_value: float | None) -> Kind:
    """Returns the `Kind` of a ReLU layer: a slope on the negative side keeps it alive, a maximum saturates it."""
    return Kind(can_die=negative_slope == 0, is_saturated=None if max_value is None else at_most(max_value))


def dead_fraction(calls: Sequence, axis: int = -1, same_units: bool = True) -> Any:
    """Returns the fraction of units that are zero for every example.

    Args:
        calls: The outputs of a layer, one tensor for each time that it was called, of rank 1 or more.
        axis: Integer, where the units stand (of a convolution, the channels); all other axes are examples. Of rank 1
            there is one unit.
        same_units: Boolean, whether the calls have their units in common, as those of one dense layer have; then a
            unit is dead where it is zero in all of them. Else each call has units of its own.

    Returns:
        Float32 scalar in [0, 1].

    Example:
    >>> outputs = ops.array([[0.0, 0.0, 1.0, 0.0], [0.0, 2.0, 3.0, 0.0]])
    >>> float(dead_fraction([outputs]))
    0.5
    """
    is_dead = [_is_zero_everywhere(outputs, axis) for outputs in calls]
    units = ops.all(ops.stack(is_dead), 0) if same_units else ops.concatenate(is_dead, 0)
    return _fraction([units])


def saturated_fraction(calls: Sequence, is_saturated: Callable) -> Any:
    """Returns the fraction of elements, over examples and units, that lie in a flat end of the activation.

    Args:
        calls: The outputs of a layer, one tensor of any shape for each time that it was called.
        is_saturated: As in `Kind`.

    Returns:
        Float32 scalar in [0, 1].

    Example:
    >>> float(saturated_fraction([ops.array([0.5, -0.98, 0.99, 0.0])], KINDS["tanh"].is_saturated))
    0.5
    """
    return _fraction([is_saturated(outputs) for outputs in calls])


def _is_zero_everywhere(outputs, axis):
    outputs = outputs[:, None] if len(outputs.shape) == 1 else outputs  # one unit
    rank = len(outputs.shape)
    return ops.all(ops.equal(outputs, 0), [index for index in range(rank) if index != axis % rank])


def _fraction(conditions):
    """Returns which part of the elements is true; counted in integers, since a float32 ends counting at 2**24."""
    number = sum(ops.count_nonzero(condition) for condition in conditions)
    size = sum(ops.size(condition) for condition in conditions)
    return ops.cast(number / size, "float32")
