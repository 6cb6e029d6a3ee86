"""The forms that products of two tensors take, with names for their axes."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from headscape.intercept.layout import Axes
from headscape.intercept.shadows import tensors_in

_SUM_TOLERANCE = 1e-2  # how far a row may be from 1 where only a softmax would make it one (bfloat16)
Names = list[str]


def spreads(small: Sequence[int], large: Sequence[int]) -> bool:
    """Whether a shape broadcasts to another."""
    return len(small) <= len(large) and all(
        a in (1, b) for a, b in zip(reversed(small), reversed(large), strict=False)
    )


def factors(name: str, inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the two factors of a matrix product, left and right, from its tensors in order."""
    if name in ("addmm", "baddbmm", "baddbmm_", "addbmm"):
        return inputs[1], inputs[2]
    return (inputs[1], inputs[0]) if name == "rmatmul" else (inputs[0], inputs[1])


def einsum_letters(args: tuple[Any, ...]) -> list[list[str]] | None:
    """Return the axis names of each operand of an einsum and of its result; None where not understood."""
    if not args or not isinstance(args[0], str):
        return None
    operands = list(tensors_in(args[1:]))
    left, arrow, right = args[0].replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(operands):
        return None
    most = max(t.dim() - len(p.replace("...", "")) for t, p in zip(operands, parts, strict=True))

    def spell(part: str, axes: int) -> list[str]:
        before, dots, after = part.partition("...")
        return [*before, *[f".{most - axes + n}" for n in range(axes)], *after] if dots else list(part)

    spelt = [spell(p, t.dim() - len(p.replace("...", ""))) for t, p in zip(operands, parts, strict=True)]
    if not arrow:
        every = "".join(p.replace("...", "") for p in parts)
        right = ("..." if "..." in left else "") + "".join(
            c for c in sorted(set(every)) if every.count(c) == 1
        )
    return [*spelt, spell(right, most if "..." in right else 0)]


def lettered(shadow: Tensor, own: list[str], wanted: list[str], shape: Sequence[int]) -> Tensor | None:
    """Lay out a shadow with axes ``own`` as ``wanted``: lost axes are read at 0, new ones say the same."""
    if len(set(own)) != len(own) or len(set(wanted)) != len(wanted):
        return None
    kept = [letter for letter in own if letter in wanted]
    for axis in reversed(range(len(own))):
        if own[axis] not in wanted:
            shadow = shadow.select(axis, 0)
    order = [kept.index(letter) for letter in wanted if letter in kept]
    shadow = shadow.permute(order)
    for axis, letter in enumerate(wanted):
        if letter not in kept:
            shadow = shadow.unsqueeze(axis)
    return shadow.expand(tuple(shape)) if spreads(shadow.shape, shape) else None


def factors_of(name: str, inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the two factors of a product."""
    return (inputs[0], inputs[1]) if name == "einsum" else factors(name, inputs)


def product_axes(
    name: str, args: tuple[Any, ...], inputs: list[Tensor], result: Tensor
) -> tuple[list[str], list[str], list[str]] | None:
    """Name the axes of the two factors of a product and of its result; None where it has another form."""
    if name == "einsum":
        found = einsum_letters(args)
        if found is None or len(found) != 3:
            return None
        if any(len(set(part)) != len(part) for part in found):
            return None
        return found[0], found[1], found[2]
    left, right = factors(name, inputs)
    if name == "linear":
        ahead = [f"a{n}" for n in range(left.dim() - 1)]
        return ([*ahead, "c"], ["n", "c"], [*ahead, "n"]) if right.dim() == 2 else None
    if name == "cdist":
        ahead = [f"a{n}" for n in range(left.dim() - 2)]
        return (
            ([*ahead, "m", "c"], [*ahead, "n", "c"], [*ahead, "m", "n"])
            if left.dim() == right.dim()
            else None
        )
    if name == "addbmm" or left.dim() < 2 or right.dim() < 1:
        return None
    if right.dim() == 1 or name == "mv":
        ahead = [f"a{n}" for n in range(left.dim() - 1)]
        return [*ahead, "c"], ["c"], ahead
    if name == "inner":
        return None
    most = max(left.dim(), right.dim()) - 2
    before_left = [f"a{n}" for n in range(most - left.dim() + 2, most)]
    before_right = [f"a{n}" for n in range(most - right.dim() + 2, most)]
    return [*before_left, "m", "c"], [*before_right, "c", "n"], [*[f"a{n}" for n in range(most)], "m", "n"]


def keys_of(keys: Tensor, axes: Axes) -> Tensor | None:
    """Lay out the places of keys, with all axes of the matrix, as its shared axes and then its keys'."""
    wanted = [a for a in axes.others if a in axes.shared] + list(axes.keys)
    return lettered(keys, list(axes.weights), wanted, [axes.sizes[a] for a in wanted])


def may_be_query(name: str, pair: tuple[Tensor, Tensor], fixed: list[bool]) -> bool:
    """Whether the learned factor of a product can be learned queries rather than a linear map."""
    if name == "linear":
        return pair[1].dim() == 2 and pair[1].shape[0] == 1
    if fixed[0] or name == "einsum":
        return True
    return pair[1].dim() == 1 or pair[1].shape[-1] == 1


def adds_up(weights: Tensor, at: list[int]) -> bool:
    """Whether the weights add up to 1 along the summed axes, as only a softmax makes them."""
    total = weights.detach().float().sum(at)
    return bool(((total - 1).abs() < _SUM_TOLERANCE).all())


def outer_axes(
    left: Tensor, right: Tensor, result: Tensor, *, both: bool = True
) -> tuple[Names, Names] | None:
    """Name the axes of two tensors of which each is spread along an axis that the other has; else None.

    An axis of length 1 that is spread gets a name of its own. With ``both`` false it is enough that one is
    spread.
    """
    most = result.dim()

    def own(tensor: Tensor, mark: str) -> Names:
        ahead = most - tensor.dim()
        spread = [n == 1 and result.shape[ahead + place] > 1 for place, n in enumerate(tensor.shape)]
        return [f"{mark}{place}" if lost else f"r{ahead + place}" for place, lost in enumerate(spread)]

    names = own(left, "x"), own(right, "y")
    only_left = [a for a in names[0] if a not in names[1] and a[0] == "r"]
    only_right = [a for a in names[1] if a not in names[0] and a[0] == "r"]
    fits = (only_left and only_right) if both else (only_left or only_right)
    return names if fits else None


def summed_axes(args: tuple[Any, ...], kwargs: dict[str, Any], axes: int) -> list[int] | None:
    """Return the axes that a call of ``sum`` takes, from 0; None for all."""
    given = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
    if given is None or kwargs.get("keepdim", args[2] if len(args) > 2 else False):
        return None
    return [n % axes for n in ([given] if isinstance(given, int) else given)]
