"""Attention that the model writes by hand: from a product of two states to the product with the values.

A product of two tensors that both follow from the input is a grid of scores. It stays one through whatever
keeps its elements apart (scale, mask, bias, cap, reshape, mixing of heads); a softmax or another bend makes
weights of it; and when the weights are multiplied with a third such tensor, that is attention. What is
recorded is the very matrix that met the values.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from headscape.intercept.factors import find_factors, move_factors
from headscape.intercept.grid import Grid, Meeting
from headscape.intercept.layout import Axes
from headscape.intercept.masks import forbidden_by
from headscape.intercept.ops import BENDS, DROPS, MIXES, PRODUCTS
from headscape.intercept.places import Places
from headscape.intercept.products import (
    Names,
    adds_up,
    factors_of,
    keys_of,
    lettered,
    may_be_query,
    outer_axes,
    product_axes,
    spreads,
    summed_axes,
)
from headscape.intercept.shadows import Beside, is_constant, moved, moves, tensors_in


class Grids:
    """The grids of one pass."""

    def __init__(
        self, places: Places, newest_call: Callable[[Sequence[Tensor]], int], *, with_factors: bool = False
    ) -> None:
        self._places = places
        self._with_factors = with_factors
        self._newest = newest_call
        self._grids: Beside[Grid] = Beside()
        self._outer: Beside[tuple[Tensor, Tensor, Names, Names]] = Beside()  # products waiting for their sum
        # Products that are near attention and none that could be shown, by what is to be said of them.
        self.said: dict[str, int] = {}

    def _say(self, what: str) -> None:
        self.said[what] = self.said.get(what, 0) + 1

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
            names = product_axes(name, args, inputs, results[0])
            meeting = None
            if names is not None:
                meeting = self._product(name, factors_of(name, inputs), names, results[0])
            grid = self.of(results[0])
            if grid is not None and grid.factors is not None and "alpha" in kwargs:
                scaled = grid.factors.scaled("mul", kwargs["alpha"])
                self._grids.put(results[0], replace(grid, factors=scaled))
            return meeting
        if name == "sum" and results and (outer := self._outer.get(inputs[0])) is not None:
            summed = summed_axes(args, kwargs, inputs[0].dim())
            made = [f"r{n}" for n in range(inputs[0].dim()) if summed is not None and n not in summed]
            return self._product(name, outer[:2], (*outer[2:], made), results[0]) if made else None
        if name in ("mul", "add", "sub") and len(inputs) == 2 and results:
            self._note_outer(name, inputs, results[0])
        if not there or not results:
            return None
        if name in ("linalg_pinv", "pinverse", "linalg_inv", "inverse"):
            self._grids.put(results[0], Grid(None, None, bent=True, pieces=True))
            return None
        if name in ("topk", "sort", "scatter", "scatter_"):
            self._pick(name, args, kwargs, inputs, results)
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
        there = [g.factors for t in tensors_in(args[:1]) if (g := self.of(t)) is not None]
        columns["factors"] = move_factors(name, func, args, kwargs, result, there, self.of)
        for place, tensor in enumerate(results):
            known: Any = {field: column[place] for field, column in columns.items()}
            self._grids.put(tensor, replace(first, **known))

    def _rank(self, tensor: Tensor) -> tuple[bool, int, int]:
        """Which of several grids tells more of their sum."""
        grid = self.of(tensor)
        poor = grid is None or grid.is_half or grid.is_added
        return not poor, tensor.dim(), tensor.numel()

    def _pick(self, name: str, args: Any, kwargs: Any, inputs: list[Tensor], results: list[Tensor]) -> None:
        """Follow the largest scores taken out of a grid, and put back as weights."""
        if name in ("topk", "sort"):
            grid, axis = self.of(inputs[0]), kwargs.get("dim", -1)
            axis = args[{"topk": 2, "sort": 1}[name]] if len(args) > {"topk": 2, "sort": 1}[name] else axis
            if grid is None or len(results) != 2:
                return
            rows, keys, hidden = (
                None if shadow is None else shadow.gather(axis, results[1])
                for shadow in (grid.rows, grid.keys, grid.hidden)
            )
            source = replace(grid, source=None)
            self._grids.put(results[0], Grid(rows, keys, hidden, grid.bent, source=source))
            return
        source_of = next((g for t in inputs if (g := self.of(t)) is not None and g.source is not None), None)
        if source_of is not None and source_of.source is not None:
            full = source_of.source
            if full.rows is None or full.rows.shape == results[0].shape:
                self._grids.put(results[0], replace(full, bent=full.bent or source_of.bent))

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
        source = max(there, key=self._rank)
        grid = self.of(source)
        if grid is None or not spreads(source.shape, tensor.shape):
            self._grids.drop(tensor)
            return
        if name in DROPS:
            # What is recorded are the weights before dropout.
            if tensor is not source and grid.whole is None:
                grid = replace(grid, whole=source.detach())
        elif grid.whole is not None:
            grid = replace(grid, whole=None)
        rows, keys = (None if s is None else s.expand(tensor.shape) for s in (grid.rows, grid.keys))
        known = None if grid.hidden is None else grid.hidden.expand(tensor.shape)
        new = forbidden_by(name, args, kwargs, (source, tensor), is_bent=grid.bent)
        if new is not None and bool(new.any()):
            new = new.detach().to(torch.bool).expand(tensor.shape)
            known = new if known is None else known | new
        factors = grid.factors
        if factors is not None:
            others = [a for a in (*args, *kwargs.values()) if a is not source]
            factors = factors.carried(name, others, tensor.shape, is_bent=grid.bent)
        grid = replace(grid, bent=grid.bent or name in BENDS, rows=rows, keys=keys, hidden=known)
        grid = replace(grid, factors=factors)
        if name in BENDS:
            grid = replace(grid, bend=name)
        for other in there:
            if other is not source and (more := self.of(other)) is not None:
                # A decay made of differences of states bends what it is made of, not the scores it scales.
                bends = more.bent and not (more.is_added or more.is_half)
                grid = replace(
                    grid,
                    bent=grid.bent or bends,
                    is_half=grid.is_half and more.is_half,
                    is_added=grid.is_added and more.is_added,
                )
        self._grids.put(tensor, grid)

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
        return replace(grid, whole=None, rows=rows, keys=keys, hidden=hidden, factors=None)

    # products

    def _product(
        self, name: str, pair: tuple[Tensor, Tensor], names: tuple[Names, Names, Names], result: Tensor
    ) -> Meeting | None:
        (left, right), (own_left, own_right, made) = pair, names
        grids = self.of(left), self.of(right)
        for tensor, own, other, own_other in (
            (left, own_left, right, own_right), (right, own_right, left, own_left)
        ):  # fmt: skip
            grid, both = self.of(tensor), self.of(other)
            if grid is None:
                continue
            if self._places.is_fixed(other):
                if self._mix(grid, own, made, result):
                    return None
                if grid.bent and grid.keys is not None and bool((grid.keys < 0).all()):
                    self._say("learned values")
            elif both is not None and both.bent and not (both.is_half or both.is_deep):
                if grid.bent and not (grid.is_half or grid.is_deep):
                    self._chain((grid, both), (own, own_other, made), result)
                    return None
            elif meeting := self._meet(grid, tensor, own, other, own_other, made):
                return meeting
        if not any(g is not None and g.bent and not (g.is_half or g.is_deep) for g in grids):
            self._begin(name, pair, names, result)
        return None

    def _chain(self, pair: tuple[Grid, Grid], names: tuple[Names, Names, Names], result: Tensor) -> None:
        """Note a product of two matrices of weights: rows of the one, keys of the other."""
        rows, keys = (
            None if shadow is None else lettered(shadow, own, names[2], result.shape)
            for shadow, own in ((pair[0].rows, names[0]), (pair[1].keys, names[1]))
        )
        chained = Grid(rows, keys, bent=True, pieces=True)
        self._grids.put(result, replace(chained, query_from=pair[0].query_from, key_from=pair[1].key_from))

    def _note_outer(self, name: str, inputs: list[Tensor], result: Tensor) -> None:
        """See two states spread against each other: scores, if they are summed (mul), or bent (add)."""
        left, right = inputs
        if any(self._places.is_fixed(t) or not t.is_floating_point() for t in inputs) or result.dim() < 3:
            return
        weighs = any(g is not None and g.bent for g in (self.of(left), self.of(right)))
        names = outer_axes(left, right, result, both=not (weighs and name == "mul"))
        if names is None:
            return
        if name == "mul":
            self._outer.put(result, (left, right, *names))
        elif self.of(left) is None and self.of(right) is None:
            every = [f"r{n}" for n in range(result.dim())]
            self._begin(name, (left, right), (*names, every), result)

    def _begin(
        self, name: str, pair: tuple[Tensor, Tensor], names: tuple[Sequence[str], ...], result: Tensor
    ) -> None:
        """See whether a product makes scores: both factors from the input, no token axis summed over."""
        fixed = [self._places.is_fixed(t) for t in pair]
        if all(fixed) or not result.is_floating_point() or result.dim() < 2:
            return
        if any(fixed) and not may_be_query(name, pair, fixed):
            return
        summed = [a for a in names[0] if a in names[1] and a not in names[2]]
        ends: list[Tensor | None] = []
        for tensor, own, is_fixed in zip(pair, names[:2], fixed, strict=True):
            codes = None if is_fixed else self._places.met(tensor)
            if codes is not None and any(not is_constant(codes, list(own).index(a)) for a in summed):
                # Sums over tokens: a grid of features, if anything.
                self._grids.put(result, Grid(None, None, is_deep=True))
                return
            ends.append(None if codes is None else lettered(codes, list(own), list(names[2]), result.shape))
        calls = [self._newest([t]) for t in pair]
        if name in ("add", "sub") and any(end is None for end in ends):
            return
        added = name in ("add", "sub")
        grid = Grid(ends[0], ends[1], is_half=any(fixed), is_added=added)
        if self._with_factors and not (added or any(fixed) or name == "cdist"):
            grid = replace(grid, factors=find_factors(pair, names, result))
        self._grids.put(result, replace(grid, query_from=calls[0], key_from=calls[1]))

    def _mix(self, grid: Grid, own: Sequence[str], made: Sequence[str], result: Tensor) -> bool:
        """Carry a grid through a product with something learned, if only its heads are mixed."""
        if grid.is_half or grid.rows is None or grid.keys is None:
            return False
        lost = [n for n, a in enumerate(own) if a not in made]
        if bool((grid.keys < 0).all()) or any(
            not is_constant(shadow, n) for shadow in (grid.rows, grid.keys) for n in lost
        ):
            return False
        rows, keys, hidden = (
            None if shadow is None else lettered(shadow, list(own), list(made), result.shape)
            for shadow in (grid.rows, grid.keys, grid.hidden)
        )
        mixed = replace(grid, whole=None, rows=rows, keys=keys, hidden=hidden, factors=None)
        self._grids.put(result, mixed)
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
            grid = replace(grid, factors=grid.factors and grid.factors.swapped())
        elif along[0] and along[1]:
            rows = keys = None
        elif None not in (rows, keys) and not along[1] and any(tensor.shape[n] > 1 for n in at):
            return None  # sums over something else than tokens
        if grid.is_deep:
            if grid.bent and adds_up(tensor, at):
                self._say("features")
            return None
        whole = tensor if grid.whole is None else grid.whole
        if (grid.is_half or grid.is_added) and (keys is None or not adds_up(whole, at)):
            return None
        if not grid.bent:
            self._say("straight")
            return None
        sizes = {a: int(n) for a, n in zip(own, tensor.shape, strict=True)}
        shared = frozenset(
            a for a, n in zip(own_values, values.shape, strict=True)
            if a in own and a not in summed and (n != 1 or sizes[a] == 1)
        )  # fmt: skip
        axes = Axes(tuple(own), sizes, summed, shared)
        others = list(axes.others)
        grid = replace(grid, query_from=calls[0], key_from=calls[1])
        ends = (
            None if rows is None else lettered(rows, list(own), others, [sizes[a] for a in others]),
            None if keys is None else keys_of(keys, axes),
        )
        return Meeting(
            grid, axes, whole.detach(), grid.hidden, values, tuple(own_values), tuple(made), ends[0], ends[1]
        )
