"""The seam to NetworkX: the only file that imports it."""

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from headscape.graph.columns import EdgeKind, Edges, NodeKind, Nodes

if TYPE_CHECKING:
    import networkx as nx

# What stands in columns as a number and in NetworkX as a word.
WORDS = {NodeKind: [k.name.lower() for k in NodeKind], EdgeKind: [k.name.lower() for k in EdgeKind]}


def to_networkx(nodes: Nodes, edges: Edges, *, directed: bool) -> "nx.MultiGraph[Any]":
    """Return the tables as a NetworkX graph; see ``Graph.networkx``."""
    import networkx as nx

    graph: nx.MultiGraph[Any] = nx.MultiDiGraph() if directed else nx.MultiGraph()
    node_columns = _as_lists(nodes.columns())
    node_words = WORDS[NodeKind]
    for number in np.flatnonzero(~nodes.padded).tolist():
        attributes = _attributes(node_columns, number, node_words)
        graph.add_node(number, **attributes)
    edge_columns = _as_lists(edges.columns())
    edge_words = WORDS[EdgeKind]
    for number, (source, target) in enumerate(zip(edges.source.tolist(), edges.target.tolist(), strict=True)):
        graph.add_edge(source, target, key=number)
        graph.edges[source, target, number].update(_attributes(edge_columns, number, edge_words))
    return graph


def count_directed(adjacency: npt.NDArray[np.bool_], *, most: int) -> tuple[int, int]:
    """Count a directed graph's strong components and simple cycles, each up to ``most``.

    Parameters
    ----------
    adjacency : (node, node) bool array
        Edges from row to column; one on the diagonal is a cycle of length 1.
    most : int
        Where counting ends: simple cycles can be more than any computer counts.
    """
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(adjacency)))
    graph.add_edges_from(np.argwhere(adjacency).tolist())
    parts = itertools.islice(nx.strongly_connected_components(graph), most)
    cycles = itertools.islice(nx.simple_cycles(graph), most)
    return sum(1 for _ in parts), sum(1 for _ in cycles)


def spring_positions(
    pairs: npt.NDArray[np.float64], start: npt.NDArray[np.float64], *, rounds: int, seed: int
) -> npt.NDArray[np.float64]:
    """Return NetworkX's spring layout of a weighted graph, (node, 2), within a circle of radius 1.

    Parameters
    ----------
    pairs : (node, node) float array
        Symmetric attraction, >= 0.
    start : (node, 2) float array
        Where the nodes start.
    rounds, seed : int
        Of the layout.
    """
    import networkx as nx

    if len(pairs) < 2:
        return start
    graph = nx.from_numpy_array(pairs)
    places = nx.spring_layout(
        graph, pos=dict(enumerate(start)), iterations=rounds, weight="weight", seed=seed, method="force"
    )
    return np.array([places[number] for number in range(len(pairs))], dtype=np.float64)


def _as_lists(columns: dict[str, npt.NDArray[Any]]) -> dict[str, list[Any]]:
    return {name: column.tolist() for name, column in columns.items()}


def _attributes(columns: dict[str, list[Any]], number: int, words: list[str]) -> dict[str, Any]:
    values = {name: column[number] for name, column in columns.items()}
    values["kind"] = words[values["kind"]]
    return {name: value for name, value in values.items() if value == value}  # NaN is not equal to itself
