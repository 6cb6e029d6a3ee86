"""Edges seen from the rows of attention they stand in."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.graph.columns import EdgeKind, Edges, Floats, Rows

Longs = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Entries:
    """Edges seen from their rows: an undirected edge gives two entries."""

    edge: Longs
    row: Longs  # numbers of rows, any order
    measure: Floats
    query: Longs  # whose row it is


def row_entries(edges: Edges) -> Entries:
    """Return the entries of all rows; loops and directed edges stand in one row, undirected ones in two."""
    is_value = edges.kind == EdgeKind.VALUE
    one_way = np.nan_to_num(np.where(is_value, edges.measure, edges.weight))
    other_way = np.where(edges.both_ways & ~edges.is_loop, np.nan_to_num(edges.reverse), 0)
    forward, back = np.flatnonzero(one_way > 0), np.flatnonzero(other_way > 0)
    edge = np.concatenate([forward, back])
    query = np.concatenate([edges.query[forward], edges.key[back]])
    row = edges.call[edge].astype(np.int64) * 8 + edges.kind[edge]
    row = row * (int(edges.head.max(initial=0)) + 2) + edges.head[edge] + 1
    row = row * (int(query.max(initial=0)) + 1) + query
    return Entries(edge, row, np.concatenate([one_way[forward], other_way[back]]), query.astype(np.int64))


def row_shares(edges: Edges, rows: Rows, entries: Entries) -> tuple[Doubles, Longs]:
    """Return each entry's share of its row, and how many keys that row may see.

    The share is of all that the row gives, also where capture or an earlier pruning dropped some of it. Value
    edges have the share of their contribution, where it is known, among those of the row's edges here.
    """
    heads = int(max(rows.head.max(initial=0), edges.head.max(initial=0))) + 2
    queries = int(max(rows.query.max(initial=0), entries.query.max(initial=0))) + 1

    def names(call: npt.ArrayLike, head: npt.ArrayLike, query: npt.ArrayLike) -> Longs:
        number = np.asarray(call, np.int64) * heads + np.asarray(head) + 1
        found: Longs = number * queries + np.asarray(query)
        return found

    known = names(rows.call, rows.head, rows.query)
    order = np.argsort(known)
    wanted = names(edges.call[entries.edge], edges.head[entries.edge], entries.query)
    at = order[np.searchsorted(known[order], wanted)]
    total = rows.total[at].astype(np.float64)
    by_contribution = (edges.kind == EdgeKind.VALUE) & np.isfinite(edges.contribution)
    if by_contribution.any():
        _, place = np.unique(entries.row, return_inverse=True)
        held = np.bincount(place, entries.measure)[place]
        total = np.where(by_contribution[entries.edge], held, total)
    share = np.divide(entries.measure, total, out=np.zeros(len(total)), where=total > 0)
    return share, rows.visible[at].astype(np.int64)
