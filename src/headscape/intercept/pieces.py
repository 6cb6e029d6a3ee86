"""Putting together what a module computed in pieces: query by query, head by head, block by block.

Calls of one module, none of which follows another, are one attention if their edges are different edges of
the same tokens. Where that cannot be shown, they stay apart and are said to be pieces.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headscape.intercept.recorder import Seen
from headscape.trace.call import CallArrays
from headscape.trace.listing import select_top, spread_rows
from headscape.trace.measure import row_bits

_FULL = 2e-2  # how far a row put together may be from 1 (bfloat16)
# A whole matrix is put together only up to this many bytes; beyond it pieces stay apart.
_MOST_BYTES = 1 << 30


def join_pieces(calls: list[Seen]) -> list[Seen]:
    """Return the calls with pieces put together."""
    made: list[Seen] = []
    number: list[int] = []
    start = 0
    while start < len(calls):
        end = start + 1
        while end < len(calls) and _goes_on(calls, start, end):
            end += 1
        group = calls[start:end]
        joined = _joined(group) if len(group) > 1 else None
        in_one_run = len({seen.origin.frame for seen in group}) == 1
        beside = joined is not None and joined.shape[1] == len(group) > 1
        for n, seen in enumerate(group):
            if joined is None:
                seen.origin = replace(seen.origin, of_pieces=len(group) if in_one_run else 1)
                made.append(seen)
            number.append(len(made) - 1 if joined is None else len(made))
            seen.place = number[-1], n if beside and seen.shape[1] == 1 else 0
        if joined is not None:
            made.append(joined)
        start = end
    for seen in made:
        query, key = (number[c] if c >= 0 else -1 for c in (seen.origin.query_from, seen.origin.key_from))
        seen.origin = replace(seen.origin, query_from=query, key_from=key)
    return made


def _goes_on(calls: list[Seen], first: int, n: int) -> bool:
    """Whether call ``n`` is another piece of what began with call ``first``."""
    a, b = calls[first].origin, calls[n].origin
    return (
        (a.path, a.source) == (b.path, b.source)
        and max(b.query_from, b.key_from) < first
        and a.standing.query_space is b.standing.query_space
        and a.standing.key_space is b.standing.key_space
        and a.padded_keys is None
    )


def _joined(group: list[Seen]) -> Seen | None:
    """Return one call for all, None if they are not different edges of the same tokens."""
    first = group[0]
    spread = [_at_all_rows(seen) for seen in group]
    rows = [s.visible.any(axis=1) for s in spread]  # (example, row)
    heads = {seen.shape[1] for seen in group}
    same_rows = all(np.array_equal(r, rows[0]) for r in rows)
    one_run = len({seen.origin.frame for seen in group}) == 1
    if (
        heads == {1}
        and one_run
        and same_rows
        and len({seen.shape for seen in group}) == 1
        and _are_alike(spread)
    ):
        return _made(first, group, _side_by_side(spread))
    if len(heads) > 1 or any(not seen.arrays.weights.size for seen in group):
        return None
    return _united(first, group, spread)


def _at_all_rows(seen: Seen) -> CallArrays:
    """Return a call's arrays with a row for every token of its queries' side."""
    arrays, length = seen.arrays, seen.origin.standing.query_space.length
    missing = length - seen.shape[2]
    if not missing:
        return arrays

    def grown(array: npt.NDArray[Any], axis: int, value: float) -> npt.NDArray[Any]:
        sizes = [(missing, 0) if n == axis else (0, 0) for n in range(array.ndim)]
        return np.pad(array, sizes, constant_values=value)

    rows: dict[str, Any] = {
        name: grown(getattr(arrays, name), 2, 0) for name in ("weights", "kept", "visible")
    }
    numbers = ("entropy", "distance", "first_key", "largest")
    rows |= {name: grown(getattr(arrays, name), 2, np.nan) for name in numbers}
    if arrays.query_vectors is not None:
        rows["query_vectors"] = grown(arrays.query_vectors, 2, np.nan)
    keys = None if arrays.keys is None else grown(arrays.keys, 2, -1)
    return replace(
        arrays, **rows, keys=keys, padded=grown(arrays.padded, 1, 1), flow=grown(arrays.flow, 2, np.nan)
    )


def _are_alike(spread: list[CallArrays]) -> bool:
    """Whether every piece is whole by itself: its rows add up to as much as those of the first."""
    totals = [_totals(arrays) for arrays in spread]
    return all(np.allclose(t, totals[0], atol=_FULL) for t in totals)


def _totals(arrays: CallArrays) -> npt.NDArray[Any]:
    kept = arrays.weights.sum(axis=-1)
    found: npt.NDArray[Any] = np.divide(kept, arrays.kept, out=np.zeros_like(kept), where=arrays.kept > 0)
    return found


def _side_by_side(spread: list[CallArrays]) -> CallArrays:
    """Put single heads beside each other."""
    first = spread[0]
    by_head = ("weights", "kept", "visible", "entropy", "distance", "first_key", "largest", "received")
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(s, name) for s in spread], axis=1) for name in by_head
    }
    for name in ("keys", "value_norms", "query_vectors", "key_vectors"):
        parts = [getattr(s, name) for s in spread]
        joined[name] = None if any(p is None for p in parts) else np.concatenate(parts, axis=1)
    return replace(first, **joined)


def _united(first: Seen, group: list[Seen], spread: list[CallArrays]) -> Seen | None:
    """Unite the edges of the pieces, if no edge comes twice and rows made of several add up to 1."""
    batch, heads = first.shape[:2]
    queries, keys = first.origin.standing.query_space.length, first.origin.standing.key_space.length
    if 4 * batch * heads * queries * keys > _MOST_BYTES or any(not s.is_whole for s in spread):
        return None
    matrix = np.zeros((batch, heads, queries, keys), np.float32)
    for arrays in spread:
        piece = _as_matrix(arrays, keys)
        if (matrix[piece != 0] != 0).any():
            return None
        matrix += piece
    several = np.sum([s.visible.any(axis=1) for s in spread], axis=0) > 1  # (example, row)
    totals = matrix.sum(axis=-1).transpose(0, 2, 1)[several]
    if len(totals) and np.abs(totals - 1).max() > _FULL:
        return None
    visible = np.sum([s.visible for s in spread], axis=0).astype(np.int32)
    most = int(visible.max(initial=1))
    listed = None
    if most < keys:
        pairs = [select_top(one, most) for one in matrix]
        listed, kept_weights = np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs])
    arrays = replace(
        spread[0],
        weights=matrix if listed is None else kept_weights,
        keys=listed,
        kept=(matrix.sum(-1) > 0).astype(np.float32),
        visible=visible,
        padded=np.all([s.padded for s in spread], axis=0),
        padded_keys=np.all([s.padded_keys for s in spread], axis=0),
        received=np.sum([s.received for s in spread], axis=0),
        value_norms=_largest_norms(spread),
        query_vectors=None,  # an edge of each piece has vectors of its own
        key_vectors=None,
        **_statistics(matrix, visible),
    )
    return _made(first, group, arrays)


def _as_matrix(arrays: CallArrays, keys: int) -> npt.NDArray[np.float32]:
    if arrays.keys is None:
        return np.nan_to_num(arrays.weights)
    return np.stack([spread_rows(k, w, keys) for k, w in zip(arrays.keys, arrays.weights, strict=True)])


def _largest_norms(spread: list[CallArrays]) -> npt.NDArray[np.float32] | None:
    norms = [s.value_norms for s in spread if s.value_norms is not None]
    most: npt.NDArray[np.float32] | None = np.max(norms, axis=0) if len(norms) == len(spread) else None
    return most


def _statistics(
    matrix: npt.NDArray[np.float32], visible: npt.NDArray[np.int32]
) -> dict[str, npt.NDArray[np.float32]]:
    """Work out the statistics of the rows of a whole matrix."""
    gaps = np.abs(np.arange(matrix.shape[2])[:, None] - np.arange(matrix.shape[3])).astype(np.float32)
    found = {
        "entropy": row_bits(matrix),
        "distance": np.einsum("bhqk,qk->bhq", matrix, gaps),
        "first_key": matrix[..., 0],
        "largest": matrix.max(-1),
    }
    return {
        name: np.where(visible == 0, np.float32(np.nan), v).astype(np.float32) for name, v in found.items()
    }


def _made(first: Seen, group: list[Seen], arrays: CallArrays) -> Seen:
    shape = (arrays.padded.shape[0], arrays.visible.shape[1], arrays.visible.shape[2], first.shape[3])
    flow = np.full((shape[0], 4, shape[2]), np.nan, np.float32)
    for seen in group:
        part = np.pad(seen.flow, ((0, 0), (0, 0), (shape[2] - seen.shape[2], 0)), constant_values=np.nan)
        flow = np.where(np.isnan(flow), part, flow)
    made = Seen(first.origin, shape, replace(arrays, flow=flow, gradient=None), gradients="pieces")
    made.self_check = max(seen.self_check for seen in group)
    made.scale = first.scale if len({seen.scale for seen in group}) == 1 else None
    made.size, made.half = max(seen.size for seen in group), first.half
    made.nan_rows = sum(seen.nan_rows for seen in group)
    return made
