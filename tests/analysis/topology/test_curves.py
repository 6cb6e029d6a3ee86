import numpy as np
import pytest
from tests.analysis.topology.shapes import parts, random_rows, random_symmetric

from headscape.analysis.topology.curves import density_curves, threshold_curves
from headscape.analysis.topology.distances import symmetric_weights
from headscape.errors import OptionError, ShapeError


def test_counts_agree_with_spreading_names_over_each_graph():
    rng = np.random.default_rng(0)
    weights = symmetric_weights(random_rows(rng, 15, (2, 3)))
    steps = np.array([0.3, 0.0, 0.05, 0.9, 0.05])  # in any order, and twice
    curves = threshold_curves(weights, steps)
    assert curves.components.shape == (2, 3, 5)
    for place in np.ndindex(2, 3):
        for step, threshold in enumerate(steps):
            joined = (weights[place] >= threshold) & ~np.eye(15, dtype=bool)
            assert curves.edges[place][step] == joined.sum() // 2
            assert curves.components[place][step] == parts(joined)
            assert curves.cycle_rank[place][step] == joined.sum() // 2 - 15 + parts(joined)


def test_cycle_rank_is_that_of_networkx():
    import networkx as nx

    weights = random_symmetric(np.random.default_rng(1), 12)
    found = threshold_curves(weights, [0.7])
    graph = nx.from_numpy_array(weights >= 0.7)
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    assert found.cycle_rank.tolist() == [len(nx.cycle_basis(graph))]


def test_density_is_the_share_of_pairs():
    weights = random_symmetric(np.random.default_rng(2), 11, (2,))
    shares = np.linspace(0, 1, 12)
    curves = density_curves(weights, shares)
    assert (curves.edges == np.rint(shares * 55)).all()
    np.testing.assert_allclose(curves.density, np.broadcast_to(np.rint(shares * 55) / 55, (2, 12)))
    assert (curves.components[:, 0] == 11).all()
    assert (curves.components[:, -1] == 1).all()
    same = threshold_curves(weights[0], curves.threshold[0])
    np.testing.assert_array_equal(same.components, curves.components[0])


def test_pairs_of_equal_weight_come_together_and_pairs_without_weight_never():
    ring = np.zeros((6, 6))
    for i in range(6):
        ring[i, (i + 1) % 6] = ring[(i + 1) % 6, i] = 0.5
    curves = density_curves(ring, [0, 1 / 15, 0.4, 1])
    assert curves.edges.tolist() == [0, 6, 6, 6]
    assert curves.components.tolist() == [6, 1, 1, 1]
    assert curves.cycle_rank.tolist() == [0, 1, 1, 1]


def test_a_graph_with_nan_is_minus_one_and_its_neighbours_are_not():
    weights = random_symmetric(np.random.default_rng(3), 5, (2,))
    weights[0, 1, 2] = weights[0, 2, 1] = np.nan
    for curves in (threshold_curves(weights, [0.5]), density_curves(weights, [0.5])):
        assert (
            curves.components[0].tolist() == curves.edges[0].tolist() == curves.cycle_rank[0].tolist() == [-1]
        )
        assert np.isnan(curves.density[0]).all()
        assert (curves.components[1] > 0).all()


def test_one_node_is_one_component_without_pairs():
    curves = threshold_curves(np.zeros((1, 1)), [0.1, 0.5])
    assert (curves.components.tolist(), curves.cycle_rank.tolist()) == ([1, 1], [0, 0])
    assert np.isnan(curves.density).all()
    assert density_curves(np.zeros((1, 1)), [0.1]).components.tolist() == [1]


def test_wrong_input_is_said():
    with pytest.raises(ShapeError, match="symmetric_weights"):
        threshold_curves(np.array([[0, 1.0], [0, 0]]), [0.5])
    with pytest.raises(OptionError, match="to 40"):
        density_curves(np.zeros((2, 2)), [1, 40])
