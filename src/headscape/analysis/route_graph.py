"""Routes on a graph: which edges of it lie on them."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from headscape.analysis.routes import RouteKind, Routes
from headscape.errors import OptionError
from headscape.graph.columns import EdgeKind, Edges, Flags
from headscape.graph.graph import Graph, Pruning
from headscape.graph.scales import scale_edges

Longs = npt.NDArray[np.int64]


def keep_routes(edges: Edges, routes: Routes) -> Flags:
    """Return which edges of a graph lie on routes, (edge,) bool.

    Attention, value and cross edges stay where a route takes that key into that query in that call; of a
    graph with each head's edges, those heads that bring at least their fair part of it. Undirected edges stay
    if either direction does. Residual edges stay where a route passes them, class edges from the tokens that
    routes begin at to the best answer.

    Parameters
    ----------
    edges : Edges
        Of the same trace and example.
    routes : Routes
        What :func:`headscape.analysis.routes.find_routes` found.
    """
    r, e = routes.edges, edges
    span = 1 + max(int(one.max(initial=0)) for one in (e.query, e.key, r.query, r.key))
    is_attention = r.kind == RouteKind.ATTENTION
    names = _names(r.layer, r.query, r.key, span)
    on = np.flatnonzero(is_attention)
    on = on[np.argsort(names[on])]
    forward = _carries(names[on], r.heads[on], _names(e.layer, e.query, e.key, span), e.head)
    back = _carries(names[on], r.heads[on], _names(e.layer, e.key, e.query, span), e.head)
    past = names[r.kind == RouteKind.RESIDUAL]
    residual = np.isin(_names(e.layer, e.query, e.query, span), past)
    begins = np.zeros(span, dtype=bool)
    fed = np.flatnonzero(routes.answer.rows)
    begins[fed[fed < span]] = True
    keep = np.asarray(e.is_prunable & (forward | (e.both_ways & back)))
    keep |= (e.kind == EdgeKind.RESIDUAL) & residual
    keep |= (e.kind == EdgeKind.CLASS) & (e.query == 0) & begins[e.key]
    return keep


def prune_to_routes(graph: Graph, routes: Routes) -> Graph:
    """Return a graph with the edges that lie on routes.

    Other than the prunings of ``Graph.prune`` it drops residual and class edges too, so that what stays is
    joined from the answer down. ``graph.notes`` gets the routes' mass and notes.

    Raises
    ------
    OptionError
        No edge of the graph lies on the routes: they are of another trace, or nothing exceeded ``tau``.

    Examples
    --------
    ``trace.figure(prune=routes)`` draws the same.
    """
    keep = keep_routes(graph.edges, routes)
    if not keep.any():
        raise OptionError(
            f"no edge of this graph lies on the routes ({routes!r}). Find routes of the same trace, or with "
            "a smaller tau."
        )
    edges = graph.edges.select(keep)
    edges = replace(edges, strength=scale_edges(graph.scale, edges, graph.calls))
    says = f"routes above {routes.tau:g} bring {routes.mass:.1%} of the answer from the inputs"
    return replace(
        graph,
        edges=edges,
        prunings=(*graph.prunings, Pruning("routes", {"tau": routes.tau})),
        notes=(*graph.notes, says, *routes.notes),
    )


def _names(layer: npt.ArrayLike, query: npt.ArrayLike, key: npt.ArrayLike, span: int) -> Longs:
    """One number per (layer, query, key)."""
    ends = np.asarray(query, np.int64) * span + np.asarray(key, np.int64)
    found: Longs = np.asarray(layer, np.int64) * span * span + ends
    return found


def _carries(
    known: Longs, heads: npt.NDArray[np.float64], wanted: Longs, head: npt.NDArray[np.integer]
) -> Flags:
    """Tell for each wanted name whether it is known, and whether the head brings its fair part of it."""
    if not len(known):
        return np.zeros(len(wanted), dtype=bool)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    fair = heads.sum(-1) / np.maximum((heads > 0).sum(-1), 1)
    own = heads[at, np.maximum(head, 0)]
    return np.asarray((known[at] == wanted) & ((head < 0) | (own >= fair[at])))
