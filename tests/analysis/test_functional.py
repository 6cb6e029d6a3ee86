"""The functional graph: what moves nothing, what each bar is, and when the rule says to stop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscape.analysis.functional import (
    correlate_units,
    functional_topologies,
    functional_topology,
    legacy_midlife,
    stop_at,
)
from headscape.errors import MissingExtraError, OptionError, ShapeError


def mixed_signals(seed=0, units=24, samples=400, sources=5):
    """Units that share a few sources: correlations from 0 to nearly 1."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(units, sources)) @ rng.normal(size=(sources, samples))
    return shared + rng.normal(size=(units, samples))


def ring(nodes, weight=0.8, across=0.1):
    weights = np.full((nodes, nodes), across)
    for node in range(nodes):
        other = (node + 1) % nodes
        weights[node, other] = weights[other, node] = weight
    np.fill_diagonal(weights, 1)
    return weights


def bottleneck(some, others):
    """Bottleneck distance of two diagrams, by trying limits on a matching that scipy finds."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    a, b = (np.stack([bars.birth, bars.death], axis=1) for bars in (some, others))
    apart = np.abs(a[:, None] - b[None]).max(axis=-1)
    own_a, own_b = (a[:, 1] - a[:, 0]) / 2, (b[:, 1] - b[:, 0]) / 2
    cost = np.zeros((len(a) + len(b), len(a) + len(b)))  # the diagonal's copies match each other for nothing
    cost[: len(a), : len(b)] = apart
    cost[: len(a), len(b) :] = own_a[:, None]
    cost[len(a) :, : len(b)] = own_b[None]
    for limit in np.unique(cost):
        if (maximum_bipartite_matching(csr_array(cost <= limit), perm_type="column") >= 0).all():
            return limit
    raise AssertionError("no matching at any limit")


def test_weights_are_absolute_correlations():
    signals = mixed_signals()
    weights = correlate_units(signals)
    np.testing.assert_allclose(weights, np.abs(np.corrcoef(signals)), atol=1e-12)
    assert (weights == weights.T).all()
    assert (np.diag(weights) == 1).all()
    assert weights.min() >= 0
    assert weights.max() <= 1


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(1e-6, 1e6), st.booleans(), st.floats(-100, 100))
def test_scaling_flipping_and_shifting_a_unit_changes_no_weight(seed, scale, flips, shift):
    signals = mixed_signals(seed, units=5, samples=60)
    other = signals.copy()
    other[2] = signals[2] * (-scale if flips else scale) + shift * scale
    np.testing.assert_allclose(correlate_units(other), correlate_units(signals), atol=1e-9)


def test_a_unit_that_never_changes_goes_with_nothing():
    signals = mixed_signals(units=4)
    signals[1] = 0.1  # its mean is not exactly 0.1, so a variance worked out from it is not 0
    weights = correlate_units(signals)
    assert weights[1].tolist() == [0, 1, 0, 0]
    assert weights[:, 1].tolist() == [0, 1, 0, 0]
    assert weights[0, 2] > 0


def test_tiny_and_huge_activations_keep_their_correlation():
    signals = mixed_signals(units=3)
    np.testing.assert_allclose(
        correlate_units(signals * [[1e-200], [1e200], [1]]), correlate_units(signals), atol=1e-12
    )


@pytest.mark.parametrize(
    ("signals", "says"),
    [
        (np.ones(5), r"shape \(5,\)"),
        (np.ones((1, 5)), "at least two"),
        (np.ones((5, 1)), "at least two"),
        ([[1, 2], [3, np.nan]], "unit 1 hold NaN"),
    ],
)
def test_signals_that_have_no_correlation_are_refused(signals, says):
    with pytest.raises(ShapeError, match=says):
        correlate_units(signals)


def test_a_ring_has_one_cycle_from_its_last_edge_to_its_filling():
    pytest.importorskip("ripser")
    found = functional_topology(ring(6, 0.8, 0.1))
    np.testing.assert_allclose((found.cycles.birth, found.cycles.death), [[0.2], [0.9]])
    assert (found.life, found.midlife, found.bars) == pytest.approx((0.7, 0.55, 1))
    assert legacy_midlife(found.cycles) == pytest.approx(1.0)
    np.testing.assert_allclose(found.components.death, [0.2] * 5)
    # 6 of 15 edges are the ring, all of one weight: from the first on all six are in, up to density 0.4.
    first = found.densities >= 0.5 / 15
    assert (found.beta_1 == first).all()
    assert (found.beta_0 == np.where(first, 1, 6)).all()
    assert found.peak == found.densities[first][0]


def test_betti_numbers_are_those_of_the_graph_with_that_share_of_edges():
    pytest.importorskip("ripser")
    networkx = pytest.importorskip("networkx")
    weights = correlate_units(mixed_signals(3, units=14))
    found = functional_topology(weights, densities=np.arange(92) / 91)  # after each single edge
    pairs = sorted(((weights[i, j], i, j) for i in range(14) for j in range(i)), reverse=True)
    for density, b0, b1 in zip(found.densities, found.beta_0, found.beta_1, strict=True):
        graph = networkx.empty_graph(14)
        graph.add_edges_from((i, j) for _, i, j in pairs[: round(density * len(pairs))])
        assert b0 == networkx.number_connected_components(graph)
        assert b1 == cycles_by_ranks(graph, networkx)


def cycles_by_ranks(graph, networkx):
    """b1 = edges - rank of the boundary of edges - rank of the boundary of triangles, over two elements."""
    edges = [tuple(sorted(edge)) for edge in graph.edges]
    place = {edge: row for row, edge in enumerate(edges)}
    triangles = [sorted(c) for c in networkx.enumerate_all_cliques(graph) if len(c) == 3]
    columns = [sum(1 << place[edge] for edge in ((a, b), (a, c), (b, c))) for a, b, c in triangles]
    components = networkx.number_connected_components(graph)
    return len(edges) - (len(graph) - components) - rank_of_bits(columns)


def rank_of_bits(columns):
    found = {}
    for start in columns:
        column = start
        while column and (top := column.bit_length()) in found:
            column ^= found[top]
        if column:
            found[column.bit_length()] = column
    return len(found)


def test_the_order_of_nodes_changes_nothing():
    pytest.importorskip("ripser")
    weights = correlate_units(mixed_signals())
    order = np.random.default_rng(1).permutation(len(weights))
    some, other = functional_topologies([weights, weights[np.ix_(order, order)]])
    assert (some.beta_1 == other.beta_1).all()
    assert (some.beta_0 == other.beta_0).all()
    assert (some.cycles.birth == other.cycles.birth).all()
    assert (some.cycles.death == other.cycles.death).all()
    assert len(some.cycles) > 3


def test_a_unit_twice_adds_one_component_bar_of_length_zero():
    pytest.importorskip("ripser")
    signals = mixed_signals()
    once, twice = functional_topologies(
        [correlate_units(signals), correlate_units(np.vstack([signals, -2 * signals[3]]))]
    )
    assert len(once.components) == len(signals) - 1
    assert len(twice.components) == len(signals)
    np.testing.assert_allclose(twice.components.death, [0, *once.components.death], atol=1e-9)
    np.testing.assert_allclose(twice.cycles.closed.life, once.cycles.closed.life, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_bars_move_no_further_than_the_weights(seed):
    pytest.importorskip("ripser")
    pytest.importorskip("scipy")
    rng = np.random.default_rng(seed)
    weights = correlate_units(mixed_signals(seed))
    noise = rng.uniform(-0.03, 0.03, weights.shape)
    moved = np.clip(weights + (noise + noise.T) / 2, 0, 1)
    np.fill_diagonal(moved, 1)
    some, other = functional_topologies([weights, moved])
    limit = np.abs(weights - moved).max()
    assert 0 < bottleneck(some.cycles, other.cycles) <= limit + 1e-12
    assert 0 < bottleneck(some.components, other.components) <= limit + 1e-12


def test_independent_units_join_at_distance_one_as_samples_grow():
    pytest.importorskip("ripser")
    rng = np.random.default_rng(0)
    few, many = functional_topologies(
        [correlate_units(rng.normal(size=(20, samples))) for samples in (100, 40_000)]
    )
    assert many.components.death.min() > 0.97
    assert few.components.death.min() < many.components.death.min()
    assert many.bars == 0  # cycles between numbers that all lie near 1 are shorter than what counts
    assert many.life != many.life


def test_a_filtration_that_stops_early_drops_what_lasts():
    pytest.importorskip("ripser")
    found = functional_topology(ring(6, 0.8, 0.1))
    assert found.below(0.9).bars == 1
    assert found.below(0.4).bars == 0


def test_a_graph_without_cycles_has_no_peak_and_no_life():
    pytest.importorskip("ripser")
    star = np.full((6, 6), 0.1)
    star[0] = star[:, 0] = 0.9
    found = functional_topology(star)
    assert (found.bars, found.beta_1.max()) == (0, 0)
    assert np.isnan([found.peak, found.life, found.midlife]).all()


def test_work_that_takes_too_long_gives_no_number():
    pytest.importorskip("ripser")
    noise = correlate_units(np.random.default_rng(0).normal(size=(220, 300)))
    found = functional_topology(noise, limit_s=0.05)
    assert "time limit" in found.cycles.stopped
    assert (found.beta_1 == -1).all()
    assert np.isnan([found.bars, found.life, found.midlife, found.peak]).all()


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        (np.ones((2, 3)), r"shape \(2, 3\)"),
        (np.ones((1, 1)), "at least two nodes"),
        ([[1, np.nan], [np.nan, 1]], "hold NaN"),
        ([[1, 1.5], [1.5, 1]], "from 1.5 to 1.5"),
        ([[1, 0.2], [0.4, 1]], "not symmetric"),
    ],
)
def test_weights_that_are_no_graph_are_refused(weights, says):
    with pytest.raises(ShapeError, match=says):
        functional_topology(weights)


def test_wrong_options_are_refused():
    with pytest.raises(OptionError, match="0 to 1"):
        functional_topology(ring(4), densities=[2.0])
    with pytest.raises(OptionError, match="most_nodes=12"):
        functional_topology(ring(12), most_nodes=10)
    with pytest.raises(OptionError, match="patience 0"):
        stop_at([0.1], patience=0)


def test_without_ripser_the_message_names_the_extra(monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"headscape\[topology\]"):
        functional_topology(ring(6))


NAN = float("nan")


@pytest.mark.parametrize(
    ("peaks", "patience", "check"),
    [
        ([0.3, 0.2, 0.1, 0.1, 0.1], 1, None),  # staying is no rise
        ([0.3, 0.2, 0.3], 1, 2),
        ([0.3, 0.2, 0.3, 0.1, 0.2, 0.2], 2, 5),  # a new minimum starts the count anew
        ([0.1, 0.2, 0.2, 0.2], 3, 3),
        ([0.1, 0.2, NAN, 0.2, 0.2], 2, 4),
        ([NAN, NAN], 1, None),
        ([], 1, None),
    ],
)
def test_the_rule_stops_where_it_does_by_hand(peaks, patience, check):
    assert stop_at(peaks, patience=patience) == check
