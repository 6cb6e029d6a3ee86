"""Which keys code written by hand hides, read from what it does to its scores."""

from typing import Any

from torch import Tensor

from headscape.intercept.products import spreads
from headscape.intercept.rows import FORBIDS, forbids


def forbidden_by(
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    change: tuple[Tensor, Tensor],
    *,
    is_bent: bool,
) -> Tensor | None:
    """Return which keys one function forbids, a bool that broadcasts to its result; None for none.

    A large negative number added, filled in, or chosen instead forbids; on weights (``is_bent``) a 0 filled
    in does.

    Parameters
    ----------
    name, args, kwargs
        The function and what it got.
    change : (Tensor, Tensor)
        Scores before and after.
    """
    before, after = change
    if name in ("add", "add_", "sub", "sub_"):
        mask = next((t for t in args[:2] if isinstance(t, Tensor) and t is not before), None)
        if mask is not None and mask.is_floating_point() and spreads(mask.shape, after.shape):
            return forbids(mask if name[0] == "a" else -mask)
    elif name in ("masked_fill", "masked_fill_"):
        value = float(kwargs.get("value", args[2] if len(args) > 2 else 0))
        if value <= FORBIDS or (is_bent and value == 0):
            mask = kwargs.get("mask", args[1] if len(args) > 1 else None)
            return mask if isinstance(mask, Tensor) else None
    elif name == "where" and len(args) == 3 and isinstance(args[0], Tensor):
        other = args[2] if args[1] is before else args[1]
        largest = float(other.max()) if isinstance(other, Tensor) else float(other)
        if largest <= FORBIDS:
            return ~args[0] if args[1] is before else args[0]
    return None
