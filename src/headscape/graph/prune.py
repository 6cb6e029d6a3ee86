"""Prunings: which edges of a graph are shown, and what was dropped.

Rows are rows of attention: an undirected edge stands in two of them, its query's and its key's, and stays
if either keeps it. Value edges are judged by contribution where it is known, all others by weight.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.errors import OptionError, expect_option
from headscape.graph.columns import EdgeKind, Edges, Flags, Floats
from headscape.graph.forest import spanning_forest
from headscape.graph.sorting import falling_order, order_of, places, starts_of

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Entries:
    """Edges seen from their rows: an undirected edge gives two entries."""

    edge: Longs
    row: Longs  # numbers of rows, any order
    measure: Floats


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
    return Entries(edge, row, np.concatenate([one_way[forward], other_way[back]]))


def _falling(entries: Entries) -> tuple[Longs, Longs, Longs]:
    """Order of the entries by row, then falling measure; each one's place in its row; where rows start."""
    order = order_of(entries.edge)
    order = order[falling_order(entries.row[order], entries.measure[order])]
    rows = entries.row[order]
    return order, places(rows), starts_of(rows)


def keep_top_k(edges: Edges, *, k: int = 3) -> Flags:
    """Keep the ``k`` strongest entries of each row (ties: the earlier key)."""
    if k < 1:
        raise OptionError(f"top_k was asked for k={k} edges a row; ask for at least 1.")
    entries = row_entries(edges)
    order, place, _ = _falling(entries)
    keep = np.zeros(len(edges), dtype=bool)
    keep[entries.edge[order[place < k]]] = True
    return keep


def keep_nucleus(edges: Edges, *, p: float = 0.9) -> Flags:
    """Keep each row's smallest set of entries that together hold at least the share ``p`` of the row.

    The row is what the graph holds of it: where capture kept only its top keys, ``p`` of those. The entry
    with which the share is reached is kept, so every row keeps its strongest.
    """
    if not 0 < p <= 1:
        raise OptionError(f"nucleus was asked for p={p}; p is a share above 0 and up to 1, such as 0.9.")
    return next(keep_nuclei(edges, (p,)))


def keep_nuclei(edges: Edges, shares: Sequence[float]) -> Iterator[Flags]:
    """Yield what :func:`keep_nucleus` keeps for each share; the rows are sorted once for all of them."""
    entries = row_entries(edges)
    order, _, starts = _falling(entries)
    measure = entries.measure[order].astype(np.float64)
    sizes = np.diff(np.append(starts, len(order)))
    before = np.cumsum(measure) - measure
    before -= np.repeat(before[starts], sizes)
    total = np.add.reduceat(measure, starts) if len(starts) else measure
    whole, edge = np.repeat(total, sizes), entries.edge[order]
    for p in shares:
        # Sums of float32 weights round: a share within 1e-6 of p counts as reached.
        chosen = before < p * whole * (1 - 1e-6)
        chosen[starts] = True
        keep = np.zeros(len(edges), dtype=bool)
        keep[edge[chosen]] = True
        yield keep


def keep_skeleton(edges: Edges, *, strongest: int | None = None) -> Flags:
    """Keep the maximum spanning tree of each head's edges, and each head's strongest edges beside it.

    The tree keeps the graph connected and its H0 bars (at which weight do parts join) exactly; it
    says nothing about the function of the model. ``strongest`` counts the further edges per call, head and
    kind; default: as many as the tree has.
    """
    if strongest is not None and strongest < 0:
        raise OptionError(f"skeleton was asked for strongest={strongest} edges; 0 is the least.")
    heads = int(edges.head.max(initial=0)) + 2
    group = (edges.call.astype(np.int64) * 8 + edges.kind) * heads + edges.head + 1
    measure = edges.measure
    keep = spanning_forest(group, edges.source, edges.target, measure)
    rest = np.flatnonzero(~keep & ~edges.is_loop)
    rest = rest[falling_order(group[rest], measure[rest])]
    place = places(group[rest])
    if strongest is None:
        names, counts = np.unique(group[keep], return_counts=True)
        known = np.searchsorted(names, group[rest])
        limit = counts[np.minimum(known, len(counts) - 1)] if len(counts) else np.zeros(len(rest), dtype=int)
        keep[rest[place < limit]] = True
    else:
        keep[rest[place < strongest]] = True
    return keep


def keep_strongest(edges: Edges, *, n: int = 60) -> Flags:
    """Keep the ``n`` strongest edges of each call and kind (ties: the earlier edge).

    One threshold for all rows and heads of a call: heads that spread their attention may vanish. Weights of
    rows that may see one key only are 1 whatever the model does, and come last.
    """
    if n < 1:
        raise OptionError(f"strongest was asked for n={n} edges a layer; ask for at least 1.")
    group = edges.call.astype(np.int64) * 8 + edges.kind
    order = falling_order(group, edges.telling)
    keep = np.zeros(len(edges), dtype=bool)
    keep[order[places(group[order]) < n]] = True
    return keep


PRUNINGS: dict[str, Callable[..., Flags]] = {
    "top_k": keep_top_k,
    "nucleus": keep_nucleus,
    "skeleton": keep_skeleton,
    "strongest": keep_strongest,
}
PRUNING_OPTIONS = {"top_k": ("k",), "nucleus": ("p",), "skeleton": ("strongest",), "strongest": ("n",)}


def choose_edges(name: str, edges: Edges, options: dict[str, float]) -> Flags:
    """Return which edges the named pruning keeps; residual and class edges always stay.

    Raises
    ------
    OptionError
        No such pruning, no such option of it, or an option out of its range.
    """
    expect_option("graph", "pruning", name, PRUNINGS)
    for option in options:
        expect_option(f"pruning {name!r}", "option", option, PRUNING_OPTIONS[name])
    pruned = np.flatnonzero(edges.is_prunable)
    keep = ~edges.is_prunable
    if len(pruned):
        keep[pruned] = PRUNINGS[name](edges.select(pruned), **options)
    return keep
