"""The graph of one example: tables of nodes and edges, and what can be done with them."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from headscape.graph.columns import CallInfo, EdgeKind, Edges, Floats, Ints, Nodes, Rows, SideInfo, Table
from headscape.graph.layouts import place_nodes
from headscape.graph.prune import choose_edges
from headscape.graph.scales import scale_edges

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, eq=False)
class Shares(Table):
    """What is shown of what there is: one entry per call and kind of edge that pruning may drop.

    ``shown`` and ``total`` count edges. ``mass_shown`` and ``mass_total`` are in rows of attention (a row
    sums to 1) for attention and cross edges, in norms of contribution for value edges. The mass of a top-k
    trace's rows is the whole of them, so what capture dropped is missing from ``mass_shown`` too.
    """

    kind: npt.NDArray[np.uint8]
    call: Ints
    layer: Ints
    shown: npt.NDArray[np.int64]
    total: npt.NDArray[np.int64]
    mass_shown: npt.NDArray[np.float64]
    mass_total: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pruning:
    """Which pruning made this graph from the whole one."""

    name: str
    options: dict[str, float]

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{name}={value:g}" for name, value in self.options.items())])


@dataclass(frozen=True, eq=False)
class Graph:
    """The attention of one example as a graph. Make one with ``trace.graph()``.

    Attributes
    ----------
    nodes, edges, rows : Nodes, Edges, Rows
        Columns; see there.
    calls : tuple of CallInfo
        The attention calls in the graph; ``edges.call`` counts in it.
    sides : tuple of SideInfo
        ``nodes.side`` counts in it.
    direction : str
        ``"sum"``: one undirected edge per pair of tokens, ``"directed"``: one per query and key.
    scale : str
        How ``edges.strength`` came about.
    totals : Shares
        The edges and their mass before any pruning.
    prunings : tuple of Pruning
        In the order they were applied.
    notes : tuple of str
        What could not be in the graph, in sentences: NaN rows, attention to padding, keys not kept...
    model : str
    answer : str
        ``"classes"``, ``"next tokens"`` or ``""``.
    method : str
        How class edges were worked out: ``"exact"``, ``"gradient x activation"``, ``"none"``.
    """

    nodes: Nodes
    edges: Edges
    rows: Rows
    calls: tuple[CallInfo, ...]
    sides: tuple[SideInfo, ...]
    direction: str
    scale: str
    totals: Shares
    prunings: tuple[Pruning, ...] = ()
    notes: tuple[str, ...] = ()
    model: str = ""
    answer: str = ""
    method: str = "none"

    def __repr__(self) -> str:
        sides = ", ".join(f"{side.name!r} of {side.length} x {side.planes} planes" for side in self.sides)
        return (
            f"Graph({sides}: {len(self.nodes):,} nodes, {len(self.edges):,} edges, "
            f"direction={self.direction!r}, scale={self.scale!r})"
        )

    @property
    def shares(self) -> Shares:
        """What the graph shows of the whole, per call and kind; see :class:`Shares`."""
        e, t = self.edges, self.totals
        code, wanted = e.call.astype(np.int64) * 8 + e.kind, t.call.astype(np.int64) * 8 + t.kind
        place = np.searchsorted(wanted, code)
        there = e.is_prunable
        mass = e.measure.astype(np.float64)
        return replace(
            t,
            shown=np.bincount(place[there], minlength=len(t)),
            mass_shown=np.bincount(place[there], mass[there], minlength=len(t)).astype(np.float64),
        )

    def share(self, *kinds: EdgeKind) -> tuple[int, int, float]:
        """Return edges shown, edges in all, and the share of the mass shown (NaN without edges).

        Parameters
        ----------
        kinds : EdgeKind
            Which edges to count. Default: attention and cross edges.
        """
        shares = self.shares
        shares = shares.select(np.isin(shares.kind, kinds or (EdgeKind.ATTENTION, EdgeKind.CROSS)))
        mass = float(shares.mass_total.sum())
        share = float(shares.mass_shown.sum()) / mass if mass > 0 else float("nan")
        return int(shares.shown.sum()), int(shares.total.sum()), share

    def summary(self) -> str:
        """Say how much attention is shown: ``"120 of 900 attention edges, 71 % of the attention"``."""
        shown, total, share = self.share()
        part = "" if np.isnan(share) else f", {percent(share)} of the attention"
        return f"{shown:,} of {total:,} attention edges{part}"

    def prune(self, name: str = "nucleus", **options: float) -> "Graph":
        """Return a graph with fewer edges; strengths are worked out again among those that stay.

        Parameters
        ----------
        name : str
            ``"top_k"`` (``k=3``: the strongest of each row), ``"nucleus"`` (``p=0.9``: each row's smallest
            set that holds the share p of it), ``"skeleton"`` (``strongest=``: the maximum spanning tree of
            each head, and that many strongest edges beside it; default as many as the tree has),
            ``"strongest"`` (``n=60``: of each layer, whatever the row and head), ``"lift"`` (``factor=2``:
            what has at least so many times the weight of a uniform row), ``"disparity"`` (``a=0.05``: what
            random rows would seldom have).
        **options
            Of that pruning.

        Returns
        -------
        Graph
            Residual and class edges all stay. :attr:`shares` tells per call what was dropped,
            :meth:`summary` in one line.

        Raises
        ------
        OptionError
            No such pruning or option; the message lists those there are.
        """
        keep = choose_edges(name, self.edges, options, self.rows)
        edges = self.edges.select(keep)
        edges = replace(edges, strength=scale_edges(self.scale, edges, self.calls))
        return replace(self, edges=edges, prunings=(*self.prunings, Pruning(name, dict(options))))

    def rescale(self, scale: str) -> "Graph":
        """Return the same edges under another weight scale; see :mod:`headscape.graph.scales`."""
        strength = scale_edges(scale, self.edges, self.calls)
        return replace(self, scale=scale, edges=replace(self.edges, strength=strength))

    def layout(self, name: str = "ring", *, seed: int = 0, gap: float = 1.0) -> Floats:
        """Return where each node stands.

        Parameters
        ----------
        name : str
            ``"ring"``, ``"line"``, ``"grid"`` (rows and columns of an image) or ``"spring"`` (NetworkX's
            spring layout: tokens that attend to each other stand close, plane by plane).
        seed : int
            The same seed gives the same positions; only ``"spring"`` uses it.
        gap : float
            Distance between planes; a plane is 2 wide.

        Returns
        -------
        (node, 3) float32 array
            x runs through the planes, y and z lie in them. Two sides stand above each other.

        Raises
        ------
        OptionError
            There is no such layout.
        """
        return place_nodes(name, self.nodes, self.edges, self.sides, seed=seed, gap=gap)

    def networkx(self) -> "nx.MultiGraph[Any]":
        """Return a NetworkX graph: ``MultiGraph`` for ``direction="sum"``, else ``MultiDiGraph``.

        Nodes are the numbers of :attr:`nodes` without padding, edges have the number in :attr:`edges` as key.
        Attributes are the columns by name (``label``, ``side``, ``weight``, ``strength``...) as Python
        values; ``kind`` is a word (``"token"``, ``"class"``; ``"attention"``, ``"value"``...) and NaN is left
        out. In a ``MultiGraph`` an edge's ``source`` and ``target`` tell which way value edges go.
        """
        from headscape.graph.export import to_networkx

        return to_networkx(self.nodes, self.edges, directed=self.direction == "directed")


def percent(share: float) -> str:
    """Write a share as per cent: never 0 or 100 unless it is."""
    percent = 100 * share
    if 0 < percent < 0.1:
        return "<0.1 %"
    if percent >= 99.95:
        return "100 %" if share > 1 - 1e-4 else ">99.9 %"
    return f"{percent:.1f} %" if percent < 10 or percent > 99 else f"{percent:.0f} %"
