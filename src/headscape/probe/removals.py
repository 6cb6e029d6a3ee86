"""What a knock-out removes: heads, edges or tokens of a model, one by one or together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from headscape.errors import OptionError, expect_index
from headscape.trace.trace import Trace

Unit = Literal["heads", "edges", "tokens"]
# An edge of None for a head is that edge in every head of the layer.
Edge = tuple[int, int | None, int, int]
_SHAPES = {
    "heads": "(layer, head)",
    "edges": "(layer, head or None, query, key)",
    "tokens": "token, or (side, token)",
}


@dataclass(frozen=True)
class Removal:
    """One knock-out: what is removed at a time.

    Attributes
    ----------
    unit : str
        ``"heads"``, ``"edges"`` or ``"tokens"``.
    parts : tuple of tuple of int
        Heads as (layer, head), edges as (layer, head or None, query, key), tokens as (side, token).
    """

    unit: Unit
    parts: tuple[tuple[Any, ...], ...]

    def __str__(self) -> str:
        if not self.parts:
            return "nothing"
        first = ", ".join(_name(self.unit, part) for part in self.parts[:3])
        return first + (f" and {len(self.parts) - 3} more" if len(self.parts) > 3 else "")


def _name(unit: Unit, part: tuple[Any, ...]) -> str:
    if unit == "heads":
        return f"layer {part[0]} head {part[1]}"
    if unit == "tokens":
        return f"token {part[1]}" + (f" of side {part[0]}" if part[0] else "")
    head = "all heads" if part[1] is None else f"head {part[1]}"
    return f"layer {part[0]} {head} {part[2]} -> {part[3]}"


def read_removals(trace: Trace, given: dict[Unit, Any]) -> list[Removal]:
    """Return the knock-outs a caller asked for, checked against what the model has.

    Parameters
    ----------
    trace : Trace
        A pass of the model on the same inputs.
    given : dict
        By unit, of which exactly one is not None: ``"each"`` (one knock-out for every head or token), a list
        of parts (one knock-out each), or a list of lists of parts (removed together).

    Raises
    ------
    OptionError
        None or several units were given, a part is malformed, or there is no such layer, head or token.
    """
    asked = {unit: what for unit, what in given.items() if what is not None}
    if len(asked) != 1:
        raise OptionError(
            f"knock_out() was given {' and '.join(asked) or 'nothing to remove'}; pass exactly one of "
            "heads=, edges= or tokens=."
        )
    ((unit, what),) = asked.items()
    if isinstance(what, str):
        if what != "each" or unit == "edges":
            raise OptionError(
                f"knock_out() was given {unit}={what!r}; pass a list of {_SHAPES[unit]}"
                + (', or "each".' if unit != "edges" else "; there are too many edges for one run each.")
            )
        return [Removal(unit, (part,)) for part in every(trace, unit)]
    if not isinstance(what, Iterable):
        raise OptionError(f"knock_out() was given {unit}={what!r}; pass a list of {_SHAPES[unit]}.")
    groups = [list(one) if _is_group(unit, one) else [one] for one in what]
    return [Removal(unit, tuple(_checked(trace, unit, part) for part in group)) for group in groups]


def every(trace: Trace, unit: Unit) -> list[tuple[int, int]]:
    """Return all heads as (layer, head), or all real tokens as (side, token)."""
    if unit == "heads":
        return [(call.layer, head) for call in trace.calls for head in range(call.shape[1])]
    found = []
    for side in sorted({call.key_side for call in trace.calls}):
        hidden = np.all([trace.padded(e, side) for e in range(trace.batch)], axis=0)
        found += [(side, token) for token in np.flatnonzero(~hidden).tolist()]
    return found


def _is_group(unit: Unit, one: Any) -> bool:
    """Whether an entry of the list is itself a list of parts."""
    if isinstance(one, list):
        return True
    first = next(iter(one), None) if isinstance(one, Iterable) and not isinstance(one, str) else None
    return isinstance(first, (tuple, list))


def _checked(trace: Trace, unit: Unit, part: Any) -> tuple[Any, ...]:
    if unit == "tokens" and isinstance(part, (int, np.integer)):
        part = (0, part)
    wanted = {"heads": 2, "edges": 4, "tokens": 2}[unit]
    if not isinstance(part, Sequence) or len(part) != wanted or not _are_numbers(unit, part):
        raise OptionError(f"knock_out() was given {part!r} among its {unit}; each is {_SHAPES[unit]}.")
    if unit == "tokens":
        side = expect_index("the model", "side", int(part[0]), len(trace.sides))
        return side, expect_index(f"side {side}", "token", int(part[1]), trace.sides[side].length)
    layer = expect_index("the model", "layer", int(part[0]), len(trace.calls))
    call = trace.calls[layer]
    owner = f"layer {layer} ({call.site or 'the model itself'})"
    head = None if part[1] is None else expect_index(owner, "head", int(part[1]), call.shape[1])
    if unit == "heads":
        return layer, head
    query = expect_index(owner, "query", int(part[2]), call.shape[2])
    return layer, head, query, expect_index(owner, "key", int(part[3]), call.shape[3])


def _are_numbers(unit: Unit, part: Sequence[Any]) -> bool:
    may_be_none = {1} if unit == "edges" else set()
    return all(
        isinstance(number, (int, np.integer)) or (number is None and place in may_be_none)
        for place, number in enumerate(part)
    )
