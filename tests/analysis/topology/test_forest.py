import itertools

import numpy as np
import pytest
from tests.analysis.topology.shapes import random_rows

from headscape.analysis.topology import forest
from headscape.analysis.topology.distances import attention_distances
from headscape.analysis.topology.forest import h0_deaths, tree_weights
from headscape.errors import ShapeError


def made_up(rng, nodes, graphs=()):
    d = rng.random((*graphs, nodes, nodes))
    return np.triu(d, 1) + np.swapaxes(np.triu(d, 1), -1, -2)


def joined_at(distances):
    """Deaths by merging sets, edge by edge: Kruskal's road, where the code takes Prim's."""
    nodes = len(distances)
    names = list(range(nodes))
    deaths = []
    for length, a, b in sorted((distances[a, b], a, b) for a, b in itertools.combinations(range(nodes), 2)):
        if names[a] != names[b]:
            deaths.append(length)
            names = [names[a] if name == names[b] else name for name in names]
    return deaths


def test_deaths_of_three_nodes_worked_out_by_hand():
    np.testing.assert_array_equal(h0_deaths(np.array([[0, 1, 4], [1, 0, 2], [4, 2, 0.0]])), [1, 2])


@pytest.mark.parametrize("nodes", [1, 2, 3, 8, 21])
def test_many_graphs_at_once_agree_with_merging_sets_one_by_one(nodes):
    graphs = made_up(np.random.default_rng(nodes), nodes, (2, 3))
    graphs = np.round(graphs, 1)  # with many ties
    found = h0_deaths(graphs)
    assert found.shape == (2, 3, nodes - 1)
    for place in np.ndindex(2, 3):
        np.testing.assert_array_equal(found[place], joined_at(graphs[place]))


def test_parts_that_never_meet_die_at_infinity_and_the_rest_as_ever():
    d = np.full((5, 5), np.inf)
    for a, b, length in ((0, 1, 0.2), (2, 3, 0.3), (3, 4, 0.1)):
        d[a, b] = d[b, a] = length
    np.testing.assert_array_equal(h0_deaths(d), [0.1, 0.2, 0.3, np.inf])


def test_the_diagonal_is_not_read():
    d = made_up(np.random.default_rng(0), 6)
    marred = d + np.diag(np.full(6, np.nan))
    np.testing.assert_array_equal(h0_deaths(marred), h0_deaths(d))


def test_order_of_nodes_does_not_matter():
    rng = np.random.default_rng(1)
    d, order = made_up(rng, 12), rng.permutation(12)
    np.testing.assert_array_equal(h0_deaths(d[np.ix_(order, order)]), h0_deaths(d))


def test_float32_stays_what_it_was_and_comes_out_as_float64():
    d = made_up(np.random.default_rng(2), 9).astype(np.float32)
    found = h0_deaths(d)
    assert found.dtype == np.float64
    assert set(found) <= set(d.astype(np.float64).ravel())


def test_a_graph_with_nan_is_nan_and_its_neighbours_are_not():
    d = made_up(np.random.default_rng(3), 5, (3,))
    d[1, 0, 2] = d[1, 2, 0] = np.nan
    found = h0_deaths(d)
    assert np.isnan(found[1]).all()
    assert not np.isnan(found[[0, 2]]).any()


def test_nodes_joined_from_the_start_cost_nothing():
    d = made_up(np.random.default_rng(4), 7)
    joined = np.array([1, 0, 1, 0, 0, 1, 0], bool)
    merged = d.copy()
    merged[np.ix_(joined, joined)] = 0
    np.testing.assert_allclose(np.sort(1 - tree_weights(1 - d, joined=joined)), joined_at(merged)[2:])


@pytest.mark.parametrize("by", ["max", "mean", "min"])
def test_straight_from_attention_it_is_the_same_in_blocks_of_any_size(monkeypatch, by):
    weights = random_rows(np.random.default_rng(5), 11, (2, 7)).astype(np.float32)
    weights[1, 3, 4] = np.nan
    weights[0, 0, 0] *= 1.004 / weights[0, 0, 0].max()  # rounding of bfloat16
    weights = np.minimum(weights, 1.004)
    want = h0_deaths(attention_distances(weights, by=by))
    np.testing.assert_allclose(forest.attention_h0(weights, by=by), want, atol=1e-6)
    monkeypatch.setattr(forest, "BLOCK_BYTES", 3 * 11 * 11 * 4)  # three heads at a time, of fourteen
    np.testing.assert_allclose(forest.attention_h0(weights, by=by), want, atol=1e-6)
    assert np.isnan(want[1, 3]).all()
    assert (forest.attention_h0(weights, by=by)[0] >= 0).all()


def test_straight_from_attention_what_is_none_is_refused():
    with pytest.raises(ShapeError, match="after softmax"):
        forest.attention_h0(np.full((2, 2), 3.0))
    with pytest.raises(ShapeError, match="bipartite_weights"):
        forest.attention_h0(np.full((2, 3), 0.3))


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (np.zeros((2, 3)), r"shape \(2, 3\).*bipartite_weights"),
        (np.zeros((0, 0)), "at least one node"),
        (np.zeros((2, 2), int), "int64; pass float32"),
        (np.array([[0, 1.0], [2.0, 0]]), r"not symmetric: 1 at \(0, 1\) but 2 at \(1, 0\)"),
        (np.array([[0, -1.0], [-1.0, 0]]), r"down to -1.*attention_distances"),
    ],
)
def test_what_is_no_distance_is_said(matrix, says):
    with pytest.raises(ShapeError, match=says):
        h0_deaths(matrix)
