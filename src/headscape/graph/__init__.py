"""Traces as graphs: columns of nodes and edges, weight scales, prunings and layouts."""

from headscape.graph.build import build_graph
from headscape.graph.columns import EdgeKind, NodeKind
from headscape.graph.graph import Graph

__all__ = ["EdgeKind", "Graph", "NodeKind", "build_graph"]
