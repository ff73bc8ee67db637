"""Sums over the finite elements of tensors, in float32, and in float64 where its range does not do."""

from collections.abc import Callable, Sequence

import torch

# Between these norms the squares of float32 neither overflow nor lose what matters to underflow.
_SMALLEST_NORM, _LARGEST_NORM = 1e-12, 1e18
_SMALLEST_NORMAL = torch.finfo(torch.float32).tiny
_EXPONENT = 0x7F800000  # the bits of a float32 that are all zero where it is smaller than that
_POWERS = {"absolute": 1, "squares": 2}
_ROW = 1 << 12  # elements that are summed in float32; the sums of such rows in float64
_BLOCK = 1 << 22  # elements of which differences are kept at once


def totals(tensors: Sequence[torch.Tensor], terms: Sequence[str] = tuple(_POWERS)) -> torch.Tensor:
    """Sums the absolute values and the squares of each tensor's finite elements.

    Args:
        tensors: List of V float tensors of any shapes and dtypes.
        terms: T of `"absolute"` and `"squares"`, the latter last. Defaults to both.

    Returns:
        Float64 tensor [V, T].

    Example:
    >>> totals([torch.tensor([1.0, -3.0, float("nan")]), torch.zeros([0])]).tolist()
    [[4.0, 10.0], [0.0, 0.0]]
    """
    quick = torch.stack([torch.stack([_QUICK[term](_wide(one)) for term in terms]) for one in tensors])
    if _is_ordinary(quick):
        return quick
    return torch.stack([torch.stack([_careful(one, _POWERS[term]) for term in terms]) for one in tensors])


def counted_totals(tensors: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns `totals` of V tensors and, as int64 `zeros` [V] and `nonfinite` [V], how many elements are such."""
    wide = list(map(_wide, tensors))
    zeros = torch.stack([_zeros(one) for one in wide])
    nonfinite = torch.zeros_like(zeros)
    if not bool(torch.isfinite(torch.stack([torch.sum(one) for one in wide])).all()):  # a sum is cheap, to count is not
        nonfinite = torch.stack([torch.sum(~torch.isfinite(one)) for one in wide])
    return {"totals": totals(tensors), "zeros": zeros, "nonfinite": nonfinite}


def end_to_end(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Returns the elements of V tensors one after the other, float32 [N]; a copy."""
    return torch.cat([one.to(torch.float32).reshape(-1) for one in tensors])


def square_distances(tensors: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> torch.Tensor:
    """Returns the squared L2 distances, float64 [V], between V tensors and as many others of the same shapes."""
    found = [_square_distance(one, other) for one, other in zip(tensors, others, strict=True)]
    quick = torch.stack(found)[:, None]
    if _is_ordinary(quick):
        return quick[:, 0]
    differences = [_wide(one) - _wide(other) for one, other in zip(tensors, others, strict=True)]
    return totals(differences, ["squares"])[:, 0]


def element_sums(function: Callable, *lists: Sequence[torch.Tensor]) -> torch.Tensor:
    """Returns the sums, float64 [V, K], of what a function returns of each element.

    Args:
        function: Function of tensors of one shape, one of each list, to a tuple of K tensors of that shape, of numbers
            or of booleans.
        *lists: Lists of V tensors; those at one place have one shape.

    Example:
    >>> element_sums(lambda x, y: (x * y, x > y), [torch.tensor([1.0, 3.0])], [torch.tensor([2.0, 2.0])]).tolist()
    [[8.0, 1.0]]
    """
    rows = [function(*tensors) for tensors in zip(*lists, strict=True)]
    return torch.stack([torch.stack([torch.sum(one).to(torch.float64) for one in row]) for row in rows])


def _absolute(tensor):
    return _row_norms(tensor.reshape(-1), 1).sum()


def _squares(tensor):
    return _row_norms(tensor.reshape(-1), 2).square().sum()


def _row_norms(flat, order):
    """Returns the norms of rows of a vector, float64.

    A norm needs no tensor of absolute values or squares; making one would take longer than summing it up.
    """
    whole = len(flat) // _ROW * _ROW
    rest = torch.linalg.vector_norm(flat[whole:], order)[None]
    if not whole:
        return rest.to(torch.float64)
    rows = torch.linalg.vector_norm(flat[:whole].view(-1, _ROW), order, dim=1)
    return torch.cat([rows, rest]).to(torch.float64)


def _square_distance(tensor, other):
    blocks = zip(tensor.reshape(-1).split(_BLOCK), other.reshape(-1).split(_BLOCK), strict=True)
    return torch.stack([_squares(_wide(one) - _wide(another)) for one, another in blocks]).sum()


def _zeros(tensor):
    """Returns how many elements are smaller than the smallest normal float32, int64."""
    if tensor.dtype == torch.float64:
        return torch.sum(torch.abs(tensor) < _SMALLEST_NORMAL)
    return tensor.numel() - torch.count_nonzero(tensor.view(torch.int32) & _EXPONENT)


_QUICK = {"absolute": _absolute, "squares": _squares}


def _careful(tensor, power):
    finite = torch.where(torch.isfinite(tensor), tensor, 0).to(torch.float64)
    return torch.sum(torch.abs(finite) ** power)


def _wide(tensor):
    return tensor if tensor.dtype == torch.float64 else tensor.to(torch.float32)


def _is_ordinary(quick):
    """Whether float32 was enough; false where anything is not finite, since then the squares are not.

    Squares that are nothing may have been too small; the absolute values, where they are summed, tell.
    """
    squares = quick[:, -1]
    is_in_range = (squares > _SMALLEST_NORM**2) & (squares < _LARGEST_NORM**2)
    if quick.shape[1] > 1:
        is_in_range |= (quick == 0).all(1)
    return bool(is_in_range.all())
