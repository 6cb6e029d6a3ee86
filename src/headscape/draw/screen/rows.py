"""Rows of a call as a state of the viewer chooses them (viewer/src/scene/rows.ts)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.draw.screen.state import Chosen
from headscape.graph.scales import FLAT_SPREAD
from headscape.trace.call import AttentionCall
from headscape.trace.trace import Trace

Floats = npt.NDArray[np.float32]
Longs = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

# A row whose entropy is so near to that of uniform attention tells its keys apart by noise only.
FLAT_ENTROPY = 0.999


@dataclass(frozen=True, eq=False)
class Rows:
    """Weights above 0 between real tokens of some heads of a call, in order of head, query and key."""

    call: AttentionCall
    number: int
    heads: Longs  # their numbers, -1: the mean
    head: Longs  # place in ``heads`` of each entry
    query: Longs
    key: Longs
    weight: Floats
    norm: Floats | None  # (head, key)
    visible: npt.NDArray[np.int32]  # (head, query)
    flat: Flags  # (head,)
    whole: float  # attention of all rows, 1 a row
    shift: int


def read_rows(trace: Trace, chosen: Chosen, number: int, heads: list[int]) -> Rows:
    """Read the weights of some heads of a call, or of their mean, that stand between real tokens."""
    call, example = trace.calls[number], chosen.example
    norms = call.value_norms(example)[heads] if call.has_values else None
    visible = call.visible(example)[heads]
    if call.k is None:
        table: Floats = np.nan_to_num(call.weights(example))[heads]
        keys: npt.NDArray[np.integer] = np.broadcast_to(np.arange(table.shape[-1]), table.shape)
    else:
        keys, table = call.top(example)
        keys, table = keys[heads], np.nan_to_num(table)[heads]
    names = np.array(heads)
    if chosen.merge == "mean" and len(heads) > 1:
        keys, table, norms = _mean(call, keys, table, norms)
        visible, names = visible[:1], np.array([-1])
    kept = np.nan_to_num(call.kept_mass(example))[heads] if call.k is not None and names[0] >= 0 else None
    flat = _flat_heads(table, visible)
    real = ~trace.padded(example, call.key_side)[: call.shape[3]]
    there = (table > 0) & (keys >= 0) & real[np.maximum(keys, 0)] & (visible > 0)[..., None]
    sums = np.where(there, table, 0).sum(-1, dtype=float)
    if kept is not None:
        sums = np.divide(sums, kept, out=np.zeros_like(sums), where=kept > 0)
    head, query, place = np.nonzero(there)
    return Rows(
        call,
        number,
        names,
        head,
        query,
        keys[head, query, place].astype(np.int64),
        table[head, query, place].astype(np.float32),
        norms,
        visible,
        flat,
        float(sums.sum()),
        trace.sides[call.query_side].length - call.shape[2],
    )


def _mean(
    call: AttentionCall, keys: npt.NDArray[np.integer], table: Floats, norms: Floats | None
) -> tuple[npt.NDArray[np.integer], Floats, Floats | None]:
    """Mean over heads as one dense head; a weight's norm is the mean of its heads', by weight."""
    heads, queries, _ = table.shape
    dense = np.zeros((heads, queries, call.shape[3]), np.float64)
    head, query, place = np.nonzero(keys >= 0)
    dense[head, query, keys[head, query, place]] = table[head, query, place]
    mean = (dense / heads).sum(0).astype(np.float32)[None]
    if norms is not None:
        mass = dense.sum(1)
        added = (mass * norms).sum(0)
        norms = np.divide(added, mass.sum(0), out=np.zeros_like(added), where=mass.sum(0) > 0)[None]
        norms = norms.astype(np.float32)
    return np.broadcast_to(np.arange(call.shape[3]), mean.shape), mean, norms


def _flat_heads(table: Floats, visible: npt.NDArray[np.int32]) -> Flags:
    """Which heads are uniform in each row over the keys that it may see."""
    above = table > 0
    low = np.where(above, table, np.inf).min(-1)
    low = np.where(np.isfinite(low), low, 0)
    spread = (np.where(above, table, 0).max(-1) - low) * visible
    is_whole = above.sum(-1) >= np.minimum(visible, table.shape[-1])
    tells = visible >= 2  # one key: nothing to tell apart
    logs = np.log2(table, out=np.zeros_like(table, dtype=float), where=above)
    bits = -(table * logs).sum(-1)
    near = (above.sum(-1) >= visible) & (bits >= FLAT_ENTROPY * np.log2(np.maximum(visible, 1)))
    is_even = is_whole & ((spread < FLAT_SPREAD) | near)
    return np.asarray((~tells | is_even).all(-1) & tells.any(-1))


def partners(rows: Rows) -> tuple[Longs, Floats]:
    """Entry with the other direction of each pair (-1: none), and its weight.

    The weight is 0 where it is known to be masked, and NaN where it was not kept or there is no such row.
    """
    call = rows.call
    queries, keys = call.shape[2:]
    wanted_query, wanted_key = rows.key - rows.shift, rows.query + rows.shift
    names = (rows.head * queries + rows.query) * keys + rows.key
    order = np.argsort(names, kind="stable")
    wanted = (rows.head * queries + wanted_query) * keys + wanted_key
    possible = (wanted_query >= 0) & (wanted_query < queries) & (wanted_key < keys)
    at = np.minimum(np.searchsorted(names[order], wanted), max(len(names) - 1, 0))
    found = possible & (names[order[at]] == wanted) if len(names) else possible
    partner = np.where(found, order[at], -1) if len(names) else np.zeros(0, np.int64)
    is_dense = call.is_whole or rows.heads[0] < 0
    missing = np.where(possible & is_dense, np.float32(0), np.float32(np.nan))
    return partner, np.where(found, rows.weight[partner], missing).astype(np.float32)
