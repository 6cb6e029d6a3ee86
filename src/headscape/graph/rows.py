"""One attention call as entries: one per head, query and key that attention joins."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from headscape.graph.columns import Flags, Floats, Ints, Rows, Table
from headscape.graph.scales import FLAT_SPREAD
from headscape.graph.sorting import falling_order, order_of, places, starts_of
from headscape.trace.call import AttentionCall

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Entries(Table):
    """Attention above 0 between real tokens, in order of head, query, key."""

    head: Ints
    query: Ints
    key: Ints
    weight: Floats
    contribution: Floats


@dataclass(frozen=True, eq=False)
class CallRows:
    """The entries of a call, its rows, and what was left out.

    ``row`` is each entry's place in ``rows``; ``nan`` tells for each (head, query) whether the model made
    the row NaN; ``lost`` is attention, in rows, that the model gives to padded keys.
    """

    entries: Entries
    rows: Rows
    row: Longs
    nan: Flags
    lost: float


def read_call(
    call: AttentionCall, example: int, heads: Longs, padded: tuple[Flags, Flags], *, mean: bool
) -> CallRows:
    """Read one call's attention between real tokens.

    Parameters
    ----------
    call, example
        What to read.
    heads : (head,) int array
        Heads to read.
    padded : ((query,) bool array, (key,) bool array)
        Tokens that take no part.
    mean : bool
        Average over the heads; rows that are NaN in one head are averaged over the others.

    Returns
    -------
    CallRows
        ``rows.call`` is 0 and ``head`` is as in the call, or -1 for the mean.
    """
    real_query, real_key = ~padded[0], ~padded[1]
    read = _read_dense if call.k is None else _read_top
    entries, nan, total = read(call, example, heads)
    nan = nan & real_query
    to_padding = real_query[entries.query] & ~real_key[entries.key]
    lost = float(entries.weight[to_padding].sum())
    entries = entries.select(real_query[entries.query] & real_key[entries.key])
    visible = call.visible(example)[heads].astype(np.int32)
    alive = real_query & ~nan
    if mean:
        entries = _average(entries, alive, heads)
        count = alive.sum(0)
        total = np.where(alive, total, 0).sum(0)[None] / np.maximum(count, 1)
        visible, alive, heads = visible.max(0)[None], (count > 0)[None], np.array([-1])
    head_place, query = np.nonzero(alive)
    number = np.full(alive.shape, -1, dtype=np.int64)
    number[head_place, query] = np.arange(len(query))
    row = number[np.searchsorted(heads, entries.head), entries.query]
    rows = Rows(
        call=np.zeros(len(query), dtype=np.int32),
        head=heads[head_place].astype(np.int32),
        query=query.astype(np.int32),
        visible=visible[head_place, query],
        total=total[head_place, query].astype(np.float32),
        kept=np.bincount(row, entries.weight, len(query)).astype(np.float32),
        flat=np.zeros(len(query), dtype=bool),
    )
    rows = replace(rows, flat=_flat(entries, rows, row))
    return CallRows(entries, rows, row, nan, lost)


def _read_dense(call: AttentionCall, example: int, heads: Longs) -> tuple[Entries, Flags, Floats]:
    weights = call.weights(example)[heads]
    nan = np.asarray(~np.isfinite(weights).all(axis=-1))
    weights = np.where(nan[..., None], np.float32(0), weights)
    head, query, key = np.nonzero(weights > 0)
    contribution = np.full(len(head), np.nan, dtype=np.float32)
    if call.has_values:
        contribution = call.contribution(example)[heads[head], query, key]
    entries = _entries(heads[head], query, key, weights[head, query, key], contribution)
    return entries, nan, weights.sum(axis=-1)


def _read_top(call: AttentionCall, example: int, heads: Longs) -> tuple[Entries, Flags, Floats]:
    keys, weights = call.top(example)
    keys, weights = keys[heads], weights[heads]
    entropy = call.stats.entropy[example][heads]
    nan = np.asarray(~np.isfinite(weights).all(axis=-1) | ~np.isfinite(entropy))
    there = (keys >= 0) & ~nan[..., None] & (weights > 0)
    head, query, place = np.nonzero(there)
    contribution = np.full(len(head), np.nan, dtype=np.float32)
    if call.has_values:
        contribution = call.contribution(example)[heads[head], query, place]
    key = keys[head, query, place]
    entries = _entries(heads[head], query, key, weights[head, query, place], contribution)
    entries = entries.select(np.lexsort((entries.key, entries.query, entries.head)))
    kept = call.kept_mass(example)[heads]
    there = np.where(nan, np.float32(0), weights.sum(axis=-1))
    total = np.divide(there, kept, out=np.zeros_like(there), where=kept > 0)
    return entries, nan, total


def _entries(
    head: npt.NDArray[np.integer],
    query: npt.NDArray[np.integer],
    key: npt.NDArray[np.integer],
    weight: Floats,
    contribution: Floats,
) -> Entries:
    return Entries(
        head.astype(np.int32),
        query.astype(np.int32),
        key.astype(np.int32),
        weight.astype(np.float32),
        contribution.astype(np.float32),
    )


def _average(entries: Entries, alive: Flags, heads: Longs) -> Entries:
    """Mean over heads; a key that a head does not list counts as 0 there."""
    keys = int(entries.key.max(initial=0)) + 1
    pair, place = np.unique(entries.query.astype(np.int64) * keys + entries.key, return_inverse=True)
    query, key = np.divmod(pair, keys)
    count = np.maximum(alive.sum(0)[query], 1)
    weight = np.bincount(place, entries.weight, len(pair)) / count
    contribution = np.bincount(place, entries.contribution, len(pair)) / count
    return _entries(np.full(len(pair), -1), query, key, weight, contribution)


def _flat(entries: Entries, rows: Rows, row: Longs) -> Flags:
    """Which rows tell their keys apart by noise only; see ``Rows.flat``."""
    largest, smallest = np.zeros(len(rows)), np.full(len(rows), np.inf)
    order = order_of(row)
    starts = starts_of(row[order])
    if len(starts):
        weight, named = entries.weight[order], row[order[starts]]
        largest[named] = np.maximum.reduceat(weight, starts)
        smallest[named] = np.minimum.reduceat(weight, starts)
    unseen = rows.visible - np.bincount(row, minlength=len(rows))
    # Keys in sight that are not listed share what is left of the row: nothing in a dense row (they are 0),
    # the tail of a top-k row.
    rest = np.maximum(rows.total - rows.kept, 0) / np.maximum(unseen, 1)
    smallest = np.where(unseen > 0, np.minimum(smallest, rest), smallest)
    spread = np.where(np.isfinite(smallest), largest - smallest, 0)
    # One key in sight has no spread, so it tells nothing either.
    return np.asarray(spread < FLAT_SPREAD / np.maximum(rows.visible, 1))


def ranks(entries: Entries, row: Longs) -> Ints:
    """Place of each entry in its row by weight: 1 = strongest, ties in order of key."""
    order = falling_order(row, entries.weight)  # entries are in order of key
    out = np.empty(len(order), dtype=np.int32)
    out[order] = places(row[order]) + 1
    return out
