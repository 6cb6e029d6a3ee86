"""Attention that the model writes by hand: from a product of two states to the product with the values.

A product of two tensors that both follow from the input is a grid of scores. It stays one through whatever
keeps its elements apart (scale, mask, bias, cap, reshape, mixing of heads); a softmax or another bend makes
weights of it; and when the weights are multiplied with a third such tensor, that is attention. What is
recorded is the very matrix that met the values.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from headscape.intercept.layout import Axes
from headscape.intercept.ops import BENDS, DROPS, MIXES, PRODUCTS
from headscape.intercept.places import Places, einsum_letters, factors, lettered
from headscape.intercept.rows import MASKED, forbids
from headscape.intercept.shadows import Beside, is_constant, moved, moves, tensors_in

_SUM_TOLERANCE = 1e-2  # how far a row may be from 1 where only a softmax would make it one (bfloat16)


@dataclass(frozen=True)
class Grid:
    """What is known of a tensor of scores or weights; shadows have its shape.

    ``rows`` and ``keys`` are places of the two factors' tokens, ``hidden`` is True where a mask forbids.
    ``bent`` tells weights from scores; ``whole`` are the weights before dropout; ``is_half``: one factor was
    learned, not made from the input; ``pieces`` tells a product of several grids.
    """

    rows: Tensor | None
    keys: Tensor | None
    hidden: Tensor | None = None
    bent: bool = False
    whole: Tensor | None = None
    is_half: bool = False
    pieces: bool = False
    query_from: int = -1
    key_from: int = -1


@dataclass(frozen=True)
class Meeting:
    """A matrix of weights that met values.

    ``rows`` has axes ``axes.others``, ``keys`` the shared ones of them and then ``axes.keys``; ``result``
    names the axes of the product, ``value`` those of the values.
    """

    grid: Grid
    axes: Axes
    weights: Tensor
    hidden: Tensor | None
    values: Tensor
    value_axes: tuple[str, ...]
    result_axes: tuple[str, ...]
    rows: Tensor | None
    keys: Tensor | None


class Grids:
    """The grids of one pass."""

    def __init__(self, places: Places, newest_call: Callable[[Sequence[Tensor]], int]) -> None:
        self._places = places
        self._newest = newest_call
        self._grids: Beside[Grid] = Beside()
        self.straight = 0  # products of scores with values without a bend between

    def of(self, tensor: Any) -> Grid | None:
        """Return the grid of a tensor, if it is one."""
        return self._grids.get(tensor)

    def follow(
        self, name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> Meeting | None:
        """Carry grids through one function; return the meeting if it was a product of weights with values."""
        inputs = list(tensors_in((*args, *kwargs.values())))
        there = [t for t in inputs if self._grids.get(t) is not None]
        results = list(tensors_in((result,)))
        for tensor in results:
            if not any(tensor is t for t in there):
                self._grids.drop(tensor)
        if name in PRODUCTS and len(inputs) >= 2 and results:
            return self._product(name, args, inputs, results[0])
        if not there or not results:
            return None
        if moves(name):
            self._move(name, func, args, kwargs, result, results)
            return None
        mixing = name in ("conv2d", "linear") and self._places.is_fixed(inputs[-1])
        if name in MIXES and not mixing:
            for tensor in results:
                self._grids.drop(tensor)
            return None
        if name == "conv2d":
            self._mix_heads_by_convolution(inputs, results[0])
            return None
        for tensor in results:
            self._carry(name, args, kwargs, there, tensor)
        return None

    # through functions

    def _move(
        self, name: str, func: Callable[..., Any], args: Any, kwargs: Any, result: Any, results: list[Tensor]
    ) -> None:
        first = next((g for t in tensors_in((args[0],)) if (g := self.of(t)) is not None), None)
        if first is None:
            return

        def fact(field: str) -> Callable[[Tensor], Tensor | None]:
            return lambda t: getattr(g, field) if (g := self.of(t)) is not None else None

        columns: dict[str, list[Tensor | None]] = {}
        for field, missing in (("rows", -1), ("keys", -1), ("hidden", 0), ("whole", 0)):
            columns[field] = moved(name, func, args, kwargs, result, fact(field), missing)
        if name in ("cat", "stack") and columns["rows"][0] is not None:
            columns["rows"] = [self._fill_rows(columns["rows"][0])]
        for place, tensor in enumerate(results):
            known: Any = {field: column[place] for field, column in columns.items()}
            self._grids.put(tensor, replace(first, **known))

    @staticmethod
    def _fill_rows(rows: Tensor) -> Tensor:
        """Give a column put beside the others (a sink) its row's place."""
        return rows.amax(-1, keepdim=True).expand(rows.shape) if bool((rows < 0).any()) else rows

    def _carry(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], there: list[Tensor], tensor: Tensor
    ) -> None:
        if not tensor.is_floating_point():
            self._grids.drop(tensor)
            return
        source = max(there, key=lambda t: (t.dim(), t.numel(), not self.of(t).is_half))  # type: ignore[union-attr]
        grid = self.of(source)
        if grid is None or not _spreads(source.shape, tensor.shape):
            self._grids.drop(tensor)
            return
        if name in DROPS:
            # What is recorded are the weights before dropout.
            if tensor is not source and grid.whole is None:
                grid = replace(grid, whole=source.detach())
        elif grid.whole is not None:
            grid = replace(grid, whole=None)
        rows, keys = (None if s is None else s.expand(tensor.shape) for s in (grid.rows, grid.keys))
        hidden = self._hidden(name, args, kwargs, source, tensor)
        grid = replace(grid, bent=grid.bent or name in BENDS, rows=rows, keys=keys, hidden=hidden)
        for other in there:
            if other is not source and (more := self.of(other)) is not None:
                grid = replace(grid, bent=grid.bent or more.bent, is_half=grid.is_half and more.is_half)
        self._grids.put(tensor, grid)

    def _hidden(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], source: Tensor, result: Tensor
    ) -> Tensor | None:
        """Which keys a mask forbids so far."""
        grid = self.of(source)
        known = None if grid is None or grid.hidden is None else grid.hidden.expand(result.shape)
        new = self._forbidden(name, args, kwargs, source, result)
        if new is None or not bool(new.any()):
            return known
        new = new.detach().to(torch.bool).expand(result.shape)
        return new if known is None else known | new

    def _forbidden(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], source: Tensor, result: Tensor
    ) -> Tensor | None:
        """Which keys this function forbids: a large negative number added, filled in, or chosen instead."""
        if name in ("add", "add_", "sub", "sub_"):
            mask = next((t for t in args[:2] if isinstance(t, Tensor) and self.of(t) is None), None)
            if mask is not None and mask.is_floating_point() and _spreads(mask.shape, result.shape):
                return forbids(mask if name[0] == "a" else -mask)
        elif name in ("masked_fill", "masked_fill_"):
            grid, value = self.of(source), kwargs.get("value", args[2] if len(args) > 2 else 0)
            if float(value) <= MASKED or (grid is not None and grid.bent and float(value) == 0):
                mask = kwargs.get("mask", args[1] if len(args) > 1 else None)
                return mask if isinstance(mask, Tensor) else None
        elif name == "where" and len(args) == 3 and isinstance(args[0], Tensor):
            other = args[2] if args[1] is source else args[1]
            if float(torch.as_tensor(other).max()) <= MASKED:
                return ~args[0] if args[1] is source else args[0]
        return None

    def _mix_heads_by_convolution(self, inputs: list[Tensor], result: Tensor) -> None:
        grid, kernel = self.of(inputs[0]), inputs[1]
        one_by_one = kernel.dim() == 4 and tuple(kernel.shape[2:]) == (1, 1)
        if grid is None or not one_by_one or result.shape[2:] != inputs[0].shape[2:]:
            self._grids.drop(result)
            return
        self._grids.put(result, self._mixed(grid, 1, result))

    def _mixed(self, grid: Grid, axis: int, result: Tensor) -> Grid:
        """Return a grid whose heads, along ``axis``, were mixed."""
        rows, keys, hidden = (
            None if shadow is None else shadow.narrow(axis, 0, 1).expand(result.shape)
            for shadow in (grid.rows, grid.keys, grid.hidden)
        )
        return replace(grid, whole=None, rows=rows, keys=keys, hidden=hidden)

    # products

    def _product(
        self, name: str, args: tuple[Any, ...], inputs: list[Tensor], result: Tensor
    ) -> Meeting | None:
        names = product_axes(name, args, inputs, result)
        if names is None:
            return None
        (left, right), (own_left, own_right, made) = factors_of(name, inputs), names
        grids = self.of(left), self.of(right)
        for tensor, own, other, own_other in (
            (left, own_left, right, own_right), (right, own_right, left, own_left)
        ):  # fmt: skip
            grid = self.of(tensor)
            if grid is None:
                continue
            if self._places.is_fixed(other):
                if self._mix(grid, own, made, result):
                    return None
                continue
            both = self.of(other)
            if both is not None and grid.bent and both.bent:
                self._grids.put(result, Grid(None, None, bent=True, pieces=True))
                return None
            if both is None and (meeting := self._meet(grid, tensor, own, other, own_other, made)):
                return meeting
        if not any(g is not None and g.bent and not g.is_half for g in grids):
            self._begin(name, (left, right), (own_left, own_right, made), result)
        return None

    def _begin(
        self, name: str, pair: tuple[Tensor, Tensor], names: tuple[Sequence[str], ...], result: Tensor
    ) -> None:
        """See whether a product makes scores: both factors from the input, no token axis summed over."""
        fixed = [self._places.is_fixed(t) for t in pair]
        if all(fixed) or not result.is_floating_point() or result.dim() < 2:
            return
        if any(fixed) and not _may_be_query(name, pair, fixed):
            return
        summed = [a for a in names[0] if a in names[1] and a not in names[2]]
        ends: list[Tensor | None] = []
        for tensor, own, is_fixed in zip(pair, names[:2], fixed, strict=True):
            codes = None if is_fixed else self._places.of(tensor)
            if codes is not None and any(not is_constant(codes, list(own).index(a)) for a in summed):
                return  # sums over tokens: no grid of scores
            ends.append(None if codes is None else lettered(codes, list(own), list(names[2]), result.shape))
        calls = [self._newest([t]) for t in pair]
        self._grids.put(
            result, Grid(ends[0], ends[1], is_half=any(fixed), query_from=calls[0], key_from=calls[1])
        )

    def _mix(self, grid: Grid, own: Sequence[str], made: Sequence[str], result: Tensor) -> bool:
        """Carry a grid through a product with something learned, if only its heads are mixed."""
        if grid.is_half or grid.rows is None or grid.keys is None:
            return False
        lost = [n for n, a in enumerate(own) if a not in made]
        if any(not is_constant(shadow, n) for shadow in (grid.rows, grid.keys) for n in lost):
            return False
        rows, keys, hidden = (
            None if shadow is None else lettered(shadow, list(own), list(made), result.shape)
            for shadow in (grid.rows, grid.keys, grid.hidden)
        )
        self._grids.put(result, replace(grid, whole=None, rows=rows, keys=keys, hidden=hidden))
        return True

    def _meet(
        self, grid: Grid, tensor: Tensor, own: Sequence[str], values: Tensor, own_values: Sequence[str],
        made: Sequence[str],
    ) -> Meeting | None:  # fmt: skip
        summed = tuple(a for a in own if a in own_values and a not in made)
        if not summed or not values.is_floating_point():
            return None
        at = [list(own).index(a) for a in summed]
        rows, keys, calls = grid.rows, grid.keys, (grid.query_from, grid.key_from)
        along = [s is not None and any(not is_constant(s, n) for n in at) for s in (rows, keys)]
        if along[0] and not along[1]:  # scores were computed as key times query
            rows, keys, calls = keys, rows, calls[::-1]
        elif along[0] and along[1]:
            rows = keys = None
        elif None not in (rows, keys) and not along[1] and any(tensor.shape[n] > 1 for n in at):
            return None  # sums over something else than tokens
        whole = tensor if grid.whole is None else grid.whole
        if grid.is_half and (keys is None or not _adds_up(whole, at)):
            return None
        if not grid.bent:
            self.straight += 1
            return None
        sizes = {a: int(n) for a, n in zip(own, tensor.shape, strict=True)}
        shared = frozenset(
            a for a, n in zip(own_values, values.shape, strict=True)
            if a in own and a not in summed and (n > 1 or sizes[a] == 1)
        )  # fmt: skip
        axes = Axes(tuple(own), sizes, summed, shared)
        others = list(axes.others)
        grid = replace(grid, query_from=calls[0], key_from=calls[1])
        ends = (
            None if rows is None else lettered(rows, list(own), others, [sizes[a] for a in others]),
            None if keys is None else _keys_of(keys, axes),
        )
        return Meeting(
            grid, axes, whole.detach(), grid.hidden, values, tuple(own_values), tuple(made), ends[0], ends[1]
        )


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


def _keys_of(keys: Tensor, axes: Axes) -> Tensor | None:
    wanted = [a for a in axes.others if a in axes.shared] + list(axes.keys)
    return lettered(keys, list(axes.weights), wanted, [axes.sizes[a] for a in wanted])


def _may_be_query(name: str, pair: tuple[Tensor, Tensor], fixed: list[bool]) -> bool:
    """Whether the learned factor of a product can be learned queries rather than a linear map."""
    if name == "linear":
        return False
    if fixed[0] or name == "einsum":
        return True
    return pair[1].dim() == 1 or pair[1].shape[-1] == 1


def _adds_up(weights: Tensor, at: list[int]) -> bool:
    """Whether the weights add up to 1 along the summed axes, as only a softmax makes them."""
    total = weights.detach().float().sum(at)
    return bool(((total - 1).abs() < _SUM_TOLERANCE).all())


def _spreads(small: Sequence[int], large: Sequence[int]) -> bool:
    return len(small) <= len(large) and all(
        a in (1, b) for a, b in zip(reversed(small), reversed(large), strict=False)
    )
