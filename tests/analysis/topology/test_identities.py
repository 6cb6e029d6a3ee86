"""What is known exactly about attention of simple shapes, and about any."""

import numpy as np
import pytest
from tests.analysis.topology.shapes import cyclic, identity, parts, random_rows, sink, two_blocks, uniform

from headscape.analysis.topology.bottleneck import h0_bottleneck
from headscape.analysis.topology.curves import threshold_curves
from headscape.analysis.topology.cycles import token_cycles
from headscape.analysis.topology.distances import attention_distances, symmetric_weights
from headscape.analysis.topology.forest import h0_deaths, tree_weights


@pytest.mark.parametrize(
    ("shape", "tokens", "deaths", "cycles"),
    [
        (uniform, 6, [1 - 1 / 6] * 5, []),
        (identity, 5, [1] * 4, []),
        (sink, 7, [0] * 6, []),
        (cyclic, 4, [0] * 3, [(0, 1)]),
        (cyclic, 9, [0] * 8, [(0, 1)]),
        (cyclic, 3, [0] * 2, []),  # a triangle fills itself
        (two_blocks, 8, [1 - 2 / 8] * 6 + [1], []),
    ],
)
@pytest.mark.usefixtures("ripser")
def test_bars_of_simple_shapes(shape, tokens, deaths, cycles):
    weights = shape(tokens)
    np.testing.assert_allclose(h0_deaths(attention_distances(weights)), deaths, atol=1e-12)
    (bars,) = token_cycles(symmetric_weights(weights), share=0)
    assert list(zip(bars.birth.tolist(), bars.death.tolist(), strict=True)) == cycles


@pytest.mark.usefixtures("ripser")
def test_the_cut_leaves_a_cycle_open_and_keeps_edges_that_just_reach_it():
    (bars,) = token_cycles(symmetric_weights(cyclic(6)), share=2)
    assert (bars.birth.tolist(), bars.death.tolist()) == ([0.0], [np.inf])
    # Four tokens in a square of weight 2/tokens each, in float32, which rounds 2/6 up and 2/25 down.
    assert float(np.float32(2 / 6)) > 2 / 6
    assert float(np.float32(2 / 25)) < 2 / 25
    for tokens in (6, 25):
        ring = np.zeros((tokens, tokens), np.float32)
        for i in range(4):
            ring[i, (i + 1) % 4] = ring[(i + 1) % 4, i] = 2 / tokens
        assert len(token_cycles(ring)[0]) == 1
        assert len(token_cycles(ring, share=2.01)[0]) == 0


@pytest.mark.usefixtures("ripser")
def test_a_sink_fills_every_cycle_and_without_it_they_are_there():
    from headscape.analysis.topology.cycles import cycles_with_and_without

    tokens = 7
    weights = np.zeros((tokens, tokens))
    weights[1:, 1:] = 0.4 * cyclic(tokens - 1)
    weights[:, 0] = 0.6
    weights[0, 0] = 1
    both = cycles_with_and_without(symmetric_weights(weights), [0])
    assert len(both.whole[0]) == 0
    assert both.rest[0].birth.tolist() == pytest.approx([0.6])
    assert both.left_out.tolist() == [0]


@pytest.mark.parametrize("causal", [False, True])
def test_sum_of_h0_is_nodes_minus_the_heaviest_tree(causal):
    """Against SciPy's spanning tree, whose zero means no edge: every weight is lifted by 1 first."""
    csgraph = pytest.importorskip("scipy.sparse.csgraph")
    weights = symmetric_weights(random_rows(np.random.default_rng(0), 40, (3,), causal=causal))
    deaths = h0_deaths(1 - weights)
    for one, found in zip(weights, deaths, strict=True):
        tree = csgraph.minimum_spanning_tree(np.triu(2 - one, 1))
        assert found.sum() == pytest.approx((40 - 1) - (2 * 39 - tree.sum()))


def test_components_and_cycle_rank_follow_from_the_tree():
    weights = symmetric_weights(random_rows(np.random.default_rng(1), 25))
    steps = np.quantile(weights, np.linspace(0.5, 1, 20))
    curves = threshold_curves(weights, steps)
    tree = tree_weights(weights)
    for place, threshold in enumerate(steps):
        joined = (weights >= threshold) & ~np.eye(25, dtype=bool)
        assert curves.components[place] == 25 - (tree >= threshold).sum() == parts(joined)
        assert curves.edges[place] == joined.sum() // 2
        assert curves.cycle_rank[place] == joined.sum() // 2 - 25 + parts(joined)


@pytest.mark.parametrize("seed", range(5))
def test_diagrams_move_no_further_than_the_weights(seed):
    rng = np.random.default_rng(seed)
    one = symmetric_weights(random_rows(rng, 30))
    shift = np.triu(rng.uniform(-0.05, 0.05, one.shape), 1)
    other = np.clip(one + shift + shift.T, 0, 1)
    distance = h0_bottleneck(h0_deaths(1 - one), h0_deaths(1 - other))
    assert 0 < distance <= np.abs(one - other).max()


@pytest.mark.usefixtures("ripser")
def test_cycle_rank_is_not_h1():
    """Uniform attention: every triangle is a cycle of the edges, and none is left when they are filled."""
    weights = symmetric_weights(uniform(10))
    assert threshold_curves(weights, [0.1]).cycle_rank.tolist() == [45 - 10 + 1]
    assert len(token_cycles(weights, share=0)[0]) == 0


@pytest.mark.parametrize("causal", [False, True])
def test_ripser_networkx_and_gudhi_find_the_same_components(causal):
    weights = symmetric_weights(random_rows(np.random.default_rng(2), 24, causal=causal))
    deaths = h0_deaths(1 - weights - np.eye(24))
    ripser = pytest.importorskip("ripser").ripser
    found = ripser(1 - weights - np.eye(24), distance_matrix=True, maxdim=0)["dgms"][0][:, 1]
    np.testing.assert_allclose(np.sort(found[np.isfinite(found)]), deaths, atol=1e-6)
    gudhi = pytest.importorskip("gudhi")
    tree = gudhi.RipsComplex(distance_matrix=1 - weights - np.eye(24)).create_simplex_tree(max_dimension=1)
    tree.compute_persistence()
    found = tree.persistence_intervals_in_dimension(0)[:, 1]
    # gudhi leaves out bars of length 0
    np.testing.assert_allclose(np.sort(found[np.isfinite(found)]), deaths[deaths > 0], atol=1e-12)
    import networkx as nx

    spanning = nx.minimum_spanning_tree(nx.from_numpy_array(1 + 1 - weights - np.eye(24)))
    found = sorted(length - 1 for _, _, length in spanning.edges(data="weight"))
    np.testing.assert_allclose(found, deaths, atol=1e-12)


def test_bars_of_h0_sum_up_the_way_the_skeleton_of_a_graph_keeps_them():
    """The graph part finds its forest by Boruvka's rounds over edges: a second road in this package."""
    from headscape.graph.forest import spanning_forest

    weights = symmetric_weights(random_rows(np.random.default_rng(3), 20))
    source, target = np.triu_indices(20, 1)
    values = weights[source, target].astype(np.float32)
    kept = spanning_forest(np.zeros(len(source), np.int64), source, target, values)
    np.testing.assert_allclose(np.sort(values[kept]), tree_weights(weights), atol=1e-7)
