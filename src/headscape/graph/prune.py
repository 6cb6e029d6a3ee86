"""Prunings: which edges of a graph are shown, and what was dropped.

Rows are rows of attention: an undirected edge stands in two of them, its query's and its key's, and stays
if either keeps it. Value edges are judged by contribution where it is known, all others by weight.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from headscape.errors import OptionError, expect_option
from headscape.graph.columns import Edges, Flags, Rows
from headscape.graph.forest import spanning_forest
from headscape.graph.row_entries import Entries, row_entries, row_shares
from headscape.graph.sorting import falling_order, order_of, places, starts_of

Longs = npt.NDArray[np.int64]
# Weights are float32: what misses a bar by this share of it has reached it.
ROUNDING = 1e-6


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
        # The share of 1 is everything, also what is less than rounding.
        chosen = before < p * whole * (1 - ROUNDING) if p < 1 else np.ones(len(edge), dtype=bool)
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


def keep_lift(edges: Edges, rows: Rows, *, factor: float = 2.0) -> Flags:
    """Keep edges with at least ``factor`` times what a row that looks at all its keys alike gives each.

    An entry's lift is its weight times the number of keys its row may see, so that rows of any length (those
    of causal heads) are held to the same. A row that is uniform has lift 1 throughout and, with a factor
    above 1, nothing left.
    """
    if not factor > 0:
        raise OptionError(f"lift was asked for factor={factor}; pass a number above 0, such as 2.")
    entries = row_entries(edges)
    share, visible = row_shares(edges, rows, entries)
    keep = np.zeros(len(edges), dtype=bool)
    keep[entries.edge[share * visible >= factor * (1 - ROUNDING)]] = True
    return keep


def keep_disparity(edges: Edges, rows: Rows, *, a: float = 0.05) -> Flags:
    """Keep edges that a row with its attention strewn at random over its keys would seldom have.

    Of a row that may see k keys, an entry with the share p of it has ``alpha = (1 - p)^(k - 1)``, the chance
    of a share that large or larger when the row is cut at k - 1 random places. Kept is what has
    ``alpha < a`` (Serrano, Boguñá, Vespignani 2009, "Extracting the multiscale backbone of complex weighted
    networks", doi:10.1073/pnas.0808904106); an undirected edge where it has so at either end. A row that may
    see one key has alpha = 1 and keeps nothing.

    Within one head whose rows may all see k keys this is no more than a threshold on the weight, at
    ``1 - a^(1 / (k - 1))``, some 3 / k for a = 0.05. It differs where rows see different numbers of keys.
    """
    if not 0 < a <= 1:
        raise OptionError(f"disparity was asked for a={a}; a is a chance above 0 and up to 1, such as 0.05.")
    entries = row_entries(edges)
    share, visible = row_shares(edges, rows, entries)
    alpha = (1 - np.minimum(share, 1)) ** np.maximum(visible - 1, 0)  # 0 ** 0 is 1
    keep = np.zeros(len(edges), dtype=bool)
    keep[entries.edge[alpha < a]] = True
    return keep


PRUNINGS: dict[str, Callable[..., Flags]] = {
    "top_k": keep_top_k,
    "nucleus": keep_nucleus,
    "skeleton": keep_skeleton,
    "strongest": keep_strongest,
    "lift": keep_lift,
    "disparity": keep_disparity,
}
PRUNING_OPTIONS = {
    "top_k": ("k",),
    "nucleus": ("p",),
    "skeleton": ("strongest",),
    "strongest": ("n",),
    "lift": ("factor",),
    "disparity": ("a",),
}
# Those that have to know of a row how many keys it may see, and how much it gives in all.
OF_ROWS = ("lift", "disparity")


def choose_edges(name: str, edges: Edges, options: dict[str, float], rows: Rows) -> Flags:
    """Return which edges the named pruning keeps; residual and class edges always stay.

    ``rows`` are those of the whole graph.

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
    given = (rows,) if name in OF_ROWS else ()
    if len(pruned):
        some = edges if len(pruned) == len(edges) else edges.select(pruned)
        keep[pruned] = PRUNINGS[name](some, *given, **options)
    return keep
