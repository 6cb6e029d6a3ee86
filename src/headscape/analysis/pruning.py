"""What a pruning costs: attention that is lost, and what is left of the graph's shape."""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.analysis.route_graph import prune_to_routes
from headscape.analysis.routes import find_routes
from headscape.analysis.rows import whole_rows
from headscape.analysis.topology.bottleneck import h0_bottleneck
from headscape.analysis.topology.distances import bipartite_weights
from headscape.analysis.topology.forest import h0_deaths
from headscape.errors import OptionError, expect_index, expect_option
from headscape.graph.build import DIRECTIONS, build_graph
from headscape.graph.columns import EdgeKind
from headscape.graph.graph import Graph, Pruning, percent
from headscape.graph.kept import kept_entries
from headscape.trace.call import AttentionCall
from headscape.trace.trace import Trace

Doubles: TypeAlias = npt.NDArray[np.float64]
Longs: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CallCost:
    """What a pruning did to one attention call.

    Attributes
    ----------
    layer, site
        Which call.
    row_mass : (head, query) float64 array
        Share of each row that stays, 0 to 1; NaN for padded queries and rows the model made NaN.
    edges, edges_before : int
        Edges that stay, of how many: weights above 0, or, of a graph with both directions summed, pairs.
    h0 : (head,) float64 array
        Bottleneck distance between the H0 diagrams of the head's tokens before and after, in distances of 0
        to 1 (1 - weight). NaN where a graph of tokens cannot be made; ``note`` says why.
    note : str
        What could not be told.
    """

    layer: int
    site: str
    row_mass: Doubles
    edges: int
    edges_before: int
    h0: Doubles
    note: str = ""

    @property
    def mass(self) -> float:
        """Mean over rows of the share that stays, NaN without rows."""
        return _mean(self.row_mass)

    @property
    def worst(self) -> tuple[float, int, int]:
        """The least share that a row keeps, and that row's head and query."""
        if not np.isfinite(self.row_mass).any():
            return float("nan"), -1, -1
        head, query = np.unravel_index(int(np.nanargmin(self.row_mass)), self.row_mass.shape)
        return float(self.row_mass[head, query]), int(head), int(query)

    @property
    def empty_rows(self) -> int:
        """Rows that lose everything."""
        return int((self.row_mass == 0).sum())


@dataclass(frozen=True, eq=False)
class PruningReport:
    """What a pruning costs, call by call. Make one with :func:`report`; ``print`` it for a table.

    Attributes
    ----------
    pruning : str
        As ``"nucleus p=0.9"``; several that followed each other are joined by ", ".
    direction : str
        ``"sum"`` or ``"directed"``: what an edge is.
    example : int
        Of the batch.
    calls : tuple of CallCost
        In order of execution.
    """

    pruning: str
    direction: str
    example: int
    calls: tuple[CallCost, ...] = field(repr=False)

    @property
    def mass(self) -> float:
        """Mean over all rows of the share of their attention that stays, 0 to 1."""
        return _mean(np.concatenate([call.row_mass.reshape(-1) for call in self.calls]))

    @property
    def worst_mass(self) -> float:
        """The least share that any row keeps."""
        return float(np.fmin.reduce([call.worst[0] for call in self.calls]))

    @property
    def edges(self) -> int:
        """Edges that stay."""
        return sum(call.edges for call in self.calls)

    @property
    def edges_before(self) -> int:
        """Edges there were."""
        return sum(call.edges_before for call in self.calls)

    @property
    def h0(self) -> Doubles:
        """Bottleneck distances of all heads, (head of any call,)."""
        return np.concatenate([call.h0 for call in self.calls])

    @property
    def h0_max(self) -> float:
        """Largest bottleneck distance among heads, NaN where none is known."""
        known = self.h0[np.isfinite(self.h0)]
        return float(known.max()) if len(known) else float("nan")

    @property
    def h0_median(self) -> float:
        """Median bottleneck distance of heads, NaN where none is known."""
        known = self.h0[np.isfinite(self.h0)]
        return float(np.median(known)) if len(known) else float("nan")

    def __str__(self) -> str:
        lines = [
            f"{self.pruning}: {self.edges:,} of {self.edges_before:,} edges, {percent(self.mass)} of the "
            f"attention (worst row {percent(self.worst_mass)}), H0 moved by {self.h0_median:.3f} in the "
            f"median head and {self.h0_max:.3f} at most"
        ]
        for call in self.calls:
            worst, head, query = call.worst
            h0 = call.h0[np.isfinite(call.h0)]
            moved = f"H0 {np.median(h0):.3f} / {h0.max():.3f}" if len(h0) else "H0 unknown"
            line = (
                f"  layer {call.layer} {call.site}: {call.edges:,} of {call.edges_before:,} edges, mass "
                f"{call.mass:.3f}, worst {worst:.3f} (head {head}, query {query}), {moved}"
            )
            if call.empty_rows:
                line += f", {call.empty_rows} rows lose everything"
            lines.append(line + (f". {call.note}" if call.note else ""))
        return "\n".join(lines)


def report(
    trace: Trace, name: str = "nucleus", *, example: int = 0, direction: str = "sum", **options: float
) -> PruningReport:
    """Say what a pruning of the graph of each head costs.

    Parameters
    ----------
    trace : Trace
        Captured with ``keep="all"``; for ``"routes"`` with ``states=True`` too.
    name : str
        A pruning of :meth:`headscape.graph.graph.Graph.prune`, or ``"routes"`` (``tau=0.04``): the edges by
        which information reached the answer (:func:`headscape.analysis.routes.find_routes`).
    example : int
        Which example of the batch.
    direction : str
        ``"sum"``: an edge is a pair of tokens with both directions, as ``trace.graph()`` has it;
        ``"directed"``: each weight is one, as ``trace.graph(direction="directed")`` has it.
    **options
        Of that pruning.

    Returns
    -------
    PruningReport

    Raises
    ------
    NotKeptError
        Not every weight was captured.
    OptionError
        No such pruning, option, direction or example.

    Notes
    -----
    Mass is the share of a row's weights that stays. H0 are the components of a head's tokens when edges enter
    by falling weight; the bottleneck distance [1]_ between its diagrams before and after tells by how much
    the weight at which some part joins has moved, at most. A pair's weight is the mean of its two directions
    for ``"sum"`` and the larger for ``"directed"``; edges that were dropped have weight 0. ``"skeleton"``
    keeps a maximum spanning tree and so has distance 0. A small distance says nothing about what the model
    computes: for that run it, :func:`headscape.probe.pruned.run_pruned`.

    References
    ----------
    .. [1] "Stability of Persistence Diagrams", D. Cohen-Steiner, H. Edelsbrunner and J. Harer, Discrete &
       Computational Geometry 37, 2007, doi:10.1007/s00454-006-1276-5

    Examples
    --------
    >>> import numpy as np
    >>> from headscape.trace.by_hand import trace_of
    >>> found = report(trace_of([[[0.7, 0.2, 0.1], [0.6, 0.4, 0.0], [0.5, 0.1, 0.4]]]), "top_k", k=1)
    >>> found.edges, found.edges_before, round(found.mass, 2), found.h0_max
    (3, 6, 0.7, 0.0)
    """
    index = expect_index("trace", "example", example, trace.batch)
    expect_option("graph", "direction", direction, DIRECTIONS)
    if name == "routes":
        routes = find_routes(trace, index, **options)  # type: ignore[arg-type]
        return of_graph(prune_to_routes(build_graph(trace, index, direction=direction), routes), trace, index)
    costs = []
    for call in trace.calls:
        kept = kept_entries(call, index, name, options, direction=direction)
        costs.append(cost_of(call, index, kept, direction=direction))
    return PruningReport(str(Pruning(name, dict(options))), direction, index, tuple(costs))


def of_graph(graph: Graph, trace: Trace, example: int = 0) -> PruningReport:
    """Say what the prunings of a graph cost, whatever they were.

    Parameters
    ----------
    graph : Graph
        With the edges of each head.
    trace : Trace
        That it was made of.
    example : int
        That it was made of.

    Raises
    ------
    OptionError
        The graph has mean edges of heads.
    NotKeptError
        Not every weight was captured.

    Examples
    --------
    >>> from headscape.trace.synthetic import example_trace
    >>> trace = example_trace()
    >>> small = trace.graph().prune("skeleton").prune("top_k", k=4)
    >>> of_graph(small, trace).pruning
    'skeleton, top_k k=4'
    """
    if any(info.heads == (-1,) for info in graph.calls):
        raise OptionError(
            'this graph has the mean of each layer\'s heads; a report needs a graph of heads="each".'
        )
    costs = []
    for number, info in enumerate(graph.calls):
        call = next(call for call in trace.calls if call.layer == info.layer)
        shift = trace.sides[call.query_side].length - call.shape[2]
        e = graph.edges
        e = e.select((e.call == number) & np.isin(e.kind, (EdgeKind.ATTENTION, EdgeKind.CROSS)))
        kept = np.zeros(call.shape[1:], dtype=bool)
        kept[e.head, e.query - shift, e.key] = True
        e = e.select(e.both_ways & (e.reverse > 0))
        kept[e.head, e.key - shift, e.query] = True
        cost = cost_of(call, example, kept, direction=graph.direction, heads=np.array(info.heads))
        costs.append(cost)
    named = ", ".join(map(str, graph.prunings)) or "not pruned"
    return PruningReport(named, graph.direction, example, tuple(costs))


def cost_of(
    call: AttentionCall,
    example: int,
    kept: Flags,
    *,
    direction: str = "directed",
    heads: npt.NDArray[np.integer] | None = None,
) -> CallCost:
    """Say what is lost of one call where only the weights in ``kept``, (head, query, key) bool, stay.

    ``heads`` are those to look at; default all.
    """
    chosen = np.arange(call.shape[1]) if heads is None else heads
    rows = whole_rows(call, example, expect_sums=False)[chosen]
    kept = kept[chosen]
    real = np.where(call.padded_keys(example), 0, rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        mass = np.where(kept, rows, 0).sum(-1) / rows.sum(-1)
        there = real > 0
    in_pairs = direction == "sum" and call.kind != "cross"
    h0, note = _h0(call, example, chosen, kept, in_pairs)
    return CallCost(
        call.layer, call.site, mass, _count(kept & there, in_pairs), _count(there, in_pairs), h0, note
    )


def _count(there: Flags, in_pairs: bool) -> int:
    """Count weights, or pairs of tokens that have a weight either way."""
    if not in_pairs:
        return int(there.sum())
    keys = there.shape[2]
    square = np.zeros((len(there), keys, keys), dtype=bool)
    square[:, keys - there.shape[1] :] = there
    return int(np.triu(square | square.transpose(0, 2, 1)).sum())


def _h0(
    call: AttentionCall, example: int, heads: npt.NDArray[np.integer], kept: Flags, in_pairs: bool
) -> tuple[Doubles, str]:
    """Bottleneck distances of the heads, and why they are not known."""
    if call.kind != "cross" and call.shape[2] != call.shape[3]:
        note = (
            f"{call.shape[2]} queries for {call.shape[3]} keys are no graph of tokens: earlier queries ran "
            "in another pass, or keys were added"
        )
        return np.full(len(heads), np.nan), note
    # The weights as they are, in float32: a tree then keeps the very numbers.
    weights = call.weights(example)[heads]
    is_broken = np.isnan(weights).any(-1) & ~call.padded(example)
    queries, keys = (np.flatnonzero(~hidden) for hidden in (call.padded(example), call.padded_keys(example)))
    if call.kind != "cross":
        queries = keys = np.intersect1d(queries, keys)
    if len(queries) == 0 or len(keys) == 0:
        return np.full(len(heads), np.nan), "no real tokens"
    here = np.ix_(np.arange(len(heads)), queries, keys)
    before = np.nan_to_num(weights[here])
    after = np.where(kept[here], before, np.float32(0))
    found = np.empty(len(heads))
    for head in range(len(heads)):
        deaths = [h0_deaths(_distances(one[head], call.kind == "cross", in_pairs)) for one in (before, after)]
        found[head] = h0_bottleneck(deaths[0], deaths[1])
    found[is_broken.any(-1)] = np.nan
    return found, "rows are NaN" if is_broken.any() else ""


def _distances(weights: npt.NDArray[np.float32], is_cross: bool, in_pairs: bool) -> npt.NDArray[np.float32]:
    """One minus the weight of each pair of tokens, (token, token), as graphs of that direction have it."""
    if is_cross:
        pairs = bipartite_weights(weights)
    else:
        pairs = (weights + weights.T) / 2 if in_pairs else np.maximum(weights, weights.T)
    found: npt.NDArray[np.float32] = 1 - np.minimum(pairs, 1).astype(np.float32)
    np.fill_diagonal(found, 0)
    return found


def _mean(values: npt.NDArray[np.floating]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
