import networkx as nx
import numpy as np
import pytest

from headscape.errors import OptionError
from headscape.graph.build import build_graph
from headscape.graph.columns import EdgeKind, NodeKind
from headscape.graph.layouts import LAYOUTS
from headscape.trace.sides import Side
from headscape.trace.synthetic import example_trace
from headscape.trace.trace import Trace


@pytest.mark.parametrize("name", LAYOUTS)
def test_planes_stand_along_x_and_padding_nowhere(name):
    graph = build_graph(example_trace(padding=4), 1)
    positions = graph.layout(name, gap=2.0)
    assert positions.shape == (len(graph.nodes), 3)
    assert positions.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(positions).all(axis=1), graph.nodes.padded)
    real = ~graph.nodes.padded
    np.testing.assert_array_equal(positions[real, 0], 2.0 * graph.nodes.plane[real])
    assert np.abs(positions[real, 1:]).max() < 1.01


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_same_seed_gives_the_same_positions_and_no_two_tokens_share_one(name):
    graph = build_graph(example_trace(decoder=True))
    first, again = graph.layout(name, seed=3), graph.layout(name, seed=3)
    np.testing.assert_array_equal(first, again)
    tokens = first[graph.nodes.kind == NodeKind.TOKEN]
    assert len(np.unique(tokens.round(4), axis=0)) == len(tokens)


def test_ring_starts_at_the_top(build_trace):
    graph = build_graph(build_trace(np.full((4, 4), 0.25)))
    np.testing.assert_allclose(
        graph.layout("ring")[:4], [[0, 0, 1], [0, 1, 0], [0, 0, -1], [0, -1, 0]], atol=1e-6
    )


def test_line_runs_down(build_trace):
    graph = build_graph(build_trace(np.full((3, 3), 1 / 3)))
    np.testing.assert_allclose(graph.layout("line")[:3], [[0, 0, 1], [0, 0, 0], [0, 0, -1]])


def test_grid_lays_patches_as_in_the_image_and_the_class_token_above():
    made = example_trace(layers=1, tokens=["[cls]", *"abcdef"])
    side = Side("tokens", 7, 2, made.sides[0].labels, grid=(2, 3))
    graph = build_graph(Trace(made.calls, (side,), None, (), "", None))
    y, z = graph.layout("grid")[:7, 1:].T
    np.testing.assert_allclose(y, [-1, -1, 0, 1, -1, 0, 1])
    np.testing.assert_allclose(z, [1, 0, 0, 0, -1, -1, -1])


def test_sides_stand_above_each_other_without_touching():
    graph = build_graph(example_trace(decoder=True))
    z = graph.layout("ring")[:, 2]
    assert z[graph.nodes.side == 0].max() < z[graph.nodes.side == 1].min()


def test_spring_puts_tokens_that_attend_to_each_other_close(build_trace):
    weights = np.full((6, 6), 0.01)
    weights[np.arange(6), [3, 4, 5, 0, 1, 2]] = 0.95
    graph = build_graph(build_trace(weights))
    tokens = graph.layout("spring")[:6]
    distance = np.linalg.norm(tokens[:, None] - tokens, axis=-1)
    pairs = distance[np.arange(6), [3, 4, 5, 0, 1, 2]]
    others = distance[~np.eye(6, dtype=bool) & (weights < 0.5)]
    assert pairs.max() < others.min()


def test_classes_stand_behind_the_last_plane_best_on_top():
    graph = build_graph(example_trace())
    positions = graph.layout()
    classes = positions[graph.nodes.kind == NodeKind.CLASS]
    assert (classes[:, 0] == 4).all()
    assert (np.diff(classes[:, 2]) < 0).all()


def test_a_layout_that_is_not_there_is_named():
    with pytest.raises(OptionError, match="Did you mean 'ring'"):
        build_graph(example_trace()).layout("rign")


@pytest.mark.parametrize(("direction", "made"), [("sum", nx.MultiGraph), ("directed", nx.MultiDiGraph)])
def test_networkx_graph_has_every_node_and_edge_with_its_columns(direction, made):
    graph = build_graph(example_trace(padding=4), 1, direction=direction)
    copy = graph.networkx()
    assert type(copy) is made
    assert copy.number_of_nodes() == int((~graph.nodes.padded).sum())
    assert copy.number_of_edges() == len(graph.edges)
    number = int(np.flatnonzero(graph.edges.kind == EdgeKind.VALUE)[7])
    source, target = graph.edges.source[number].item(), graph.edges.target[number].item()
    found = copy.edges[source, target, number]
    assert found["kind"] == "value"
    assert found["weight"] == pytest.approx(graph.edges.weight[number])
    assert found["source"] == source
    assert "reverse" not in found  # between planes there is none
    assert copy.nodes[source]["label"] == graph.nodes.label[source]
    assert type(found["head"]) is int
    assert nx.is_connected(copy.to_undirected())
