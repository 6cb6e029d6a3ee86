"""The vectors behind scores: queries and keys, and what their products are multiplied with.

A kernel is given them. Where a model multiplies them itself, each score is told which rows of the two factors
made it; that is moved about as the scores are, so that whatever the model does to fold heads or cut windows,
the vectors are found again when the weights meet their values.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headscape.intercept.products import lettered
from headscape.intercept.rows import Scores, Written
from headscape.intercept.settle import Standing
from headscape.intercept.shadows import moved

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Vectors:
    """Queries, (group, head, query, width), and keys, (group, key head, key, width), of one call.

    ``scale`` is what their products are multiplied with, None where that is not one number. A key that no
    vector stands behind (a sink) is NaN.
    """

    query: Tensor
    key: Tensor
    scale: float | None

    def settled(self, standing: Standing, heads: int) -> tuple[Floats, Floats]:
        """Return copies as (example, head, row, width) and (example, head, token, width) float32."""
        key = self.key
        if key.shape[1] != heads:
            key = key.repeat_interleave(heads // key.shape[1], dim=1)
        query, keys = (t.detach().to("cpu", torch.float32, copy=True).numpy() for t in (self.query, key))
        if standing.is_plain:
            return query, keys
        nan = np.float32(np.nan)
        spread = standing.spread_keys(np.moveaxis(keys, 2, 3), nan)
        return standing.spread_rows(query, nan), np.ascontiguousarray(np.moveaxis(spread, 2, 3))


def vectors_of(rows: Scores | Written, written: Vectors | None) -> Vectors | None:
    """Return the vectors of a call: a kernel's arguments, or what was found of a written product."""
    return Vectors(rows.query, rows.key, rows.factor) if isinstance(rows, Scores) else written


@dataclass(frozen=True, eq=False)
class Factors:
    """Two factors, (row, width) each, and which rows of them made each element of a grid (-1: none)."""

    query: Tensor
    key: Tensor
    query_at: Tensor
    key_at: Tensor
    scale: float | None = 1.0

    def swapped(self) -> "Factors":
        """Return the factors of a product of keys with queries."""
        return Factors(self.key, self.query, self.key_at, self.query_at, self.scale)

    def scaled(self, name: str, by: Any) -> "Factors":
        """Return the factors of a product that was multiplied (``mul``) or divided with one number."""
        if self.scale is None or (isinstance(by, Tensor) and by.numel() != 1):
            return replace(self, scale=None)
        by = float(by)
        return replace(self, scale=self.scale * by if name.startswith("mul") else self.scale / by)

    def carried(
        self, name: str, others: Sequence[Any], shape: torch.Size, *, is_bent: bool
    ) -> "Factors | None":
        """Return the factors after a function that keeps elements apart; ``others`` are its other arguments.

        None where elements are no longer one product each.
        """
        found = replace(self, query_at=self.query_at.expand(shape), key_at=self.key_at.expand(shape))
        numbers = [a for a in others if isinstance(a, (int, float, Tensor)) and not isinstance(a, bool)]
        if is_bent or name not in ("mul", "mul_", "div", "div_") or not numbers:
            return found
        return found.scaled(name, numbers[0])

    def laid(self, lay: Callable[[Tensor], Tensor]) -> Vectors | None:
        """Return the vectors of queries and keys; ``lay`` makes (group, head, query, key) of a grid.

        None where one row or column of the grid is made of several vectors.
        """
        query_at, key_at = lay(self.query_at), lay(self.key_at)
        if not query_at.numel():
            return None
        of_rows, of_keys = query_at.amax(3), key_at.amax(2)
        for at, best in ((query_at, of_rows.unsqueeze(3)), (key_at, of_keys.unsqueeze(2))):
            if bool(((at != best) & (at >= 0)).any()):
                return None
        return Vectors(_rows_of(self.query, of_rows), _rows_of(self.key, of_keys), self.scale)


def _rows_of(factor: Tensor, at: Tensor) -> Tensor:
    taken = factor[at.clamp_min(0).long()].float()
    return taken.masked_fill((at < 0).unsqueeze(-1), float("nan"))


def find_factors(
    pair: tuple[Tensor, Tensor], names: tuple[Sequence[str], ...], result: Tensor
) -> Factors | None:
    """Return the factors of a product; ``names`` are the axes of both and of the result."""
    made = list(names[2])
    summed = [a for a in names[0] if a in names[1] and a not in made]
    found = []
    for tensor, own in zip(pair, names[:2], strict=True):
        sizes = dict(zip(own, tensor.shape, strict=True))
        free = [a for a in own if a not in summed]
        if not summed or any(a not in made and sizes[a] > 1 for a in free):
            return None
        rows = tensor.detach().permute([list(own).index(a) for a in (*free, *summed)])
        rows = rows.reshape(-1, int(np.prod([sizes[a] for a in summed])))
        at = torch.arange(len(rows), dtype=torch.int32, device=tensor.device)
        laid = lettered(at.reshape([sizes[a] for a in free]), free, made, result.shape)
        if laid is None:
            return None
        found.append((rows, laid))
    (query, query_at), (key, key_at) = found
    return Factors(query, key, query_at, key_at)


def move_factors(
    name: str, func: Callable[..., Any], args: Any, kwargs: Any, result: Any,
    there: Sequence[Factors | None], grid_of: Callable[[Tensor], Any],
) -> list[Any]:  # fmt: skip
    """Move factors as a function moved the grids they belong to; ``there`` are those of its inputs."""
    count = len(result) if isinstance(result, (tuple, list)) else 1
    first = there[0] if there else None
    if first is None or any(f is None or f.query is not first.query for f in there):
        return [None] * count  # made of several products: no longer two factors

    def at(end: str) -> list[Tensor | None]:
        def shadow(tensor: Tensor) -> Tensor | None:
            grid = grid_of(tensor)
            return None if grid is None or grid.factors is None else getattr(grid.factors, end)

        return moved(name, func, args, kwargs, result, shadow)

    return [
        None if query is None or key is None else replace(first, query_at=query, key_at=key)
        for query, key in zip(at("query_at"), at("key_at"), strict=True)
    ]
