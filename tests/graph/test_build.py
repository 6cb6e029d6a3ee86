import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscape.errors import NotKeptError, OptionError
from headscape.graph.build import build_graph
from headscape.graph.columns import EdgeKind, NodeKind
from headscape.trace.synthetic import example_trace

HAND = [[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.0, 0.25, 0.75]]


def edge(graph, kind, query, key, head=0):
    e = graph.edges
    (found,) = np.flatnonzero((e.kind == kind) & (e.query == query) & (e.key == key) & (e.head == head))
    return {name: column[found].item() for name, column in e.columns().items()}


def test_summed_edges_hold_both_directions_and_name_the_one_that_attends_more(build_trace):
    graph = build_graph(build_trace(HAND, norms=[1, 2, 4]))
    attention = graph.edges.select(graph.edges.kind == EdgeKind.ATTENTION)
    assert sorted(zip(attention.query.tolist(), attention.key.tolist(), strict=True)) == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 1),
        (1, 2),
        (2, 2),
    ]
    pair = edge(graph, EdgeKind.ATTENTION, 1, 2)
    assert pair["weight"] == pytest.approx(0.3)
    assert pair["reverse"] == pytest.approx(0.25)
    assert pair["mass"] == pytest.approx(0.55)
    assert pair["lift"] == pytest.approx(0.9)  # 0.3 x 3 keys beats 0.25 x 2 keys in sight
    assert pair["contribution"] == pytest.approx(0.3 * 4 + 0.25 * 2)
    assert pair["rank"] == 2
    masked = edge(graph, EdgeKind.ATTENTION, 0, 2)
    assert (masked["weight"], masked["reverse"]) == pytest.approx((0.2, 0.0))
    assert edge(graph, EdgeKind.ATTENTION, 1, 1)["mass"] == pytest.approx(0.6)


def test_directed_edges_run_from_query_to_key_and_values_back_to_the_next_plane(build_trace):
    graph = build_graph(build_trace(HAND, norms=[1, 2, 4]), direction="directed")
    assert (graph.edges.kind == EdgeKind.ATTENTION).sum() == 8
    attends = edge(graph, EdgeKind.ATTENTION, 1, 2)
    assert (attends["source"], attends["target"]) == (1, 2)
    assert attends["reverse"] == pytest.approx(0.25)
    assert attends["mass"] == attends["weight"]
    carries = edge(graph, EdgeKind.VALUE, 1, 2)
    assert (carries["source"], carries["target"]) == (2, 3 + 1)
    assert carries["contribution"] == pytest.approx(0.3 * 4)


def test_mean_over_heads_is_the_mean_matrix(build_trace, random_rows):
    weights = random_rows(4, 5, 5)
    graph = build_graph(build_trace(weights), heads="mean", direction="directed")
    attention = graph.edges.select(graph.edges.kind == EdgeKind.ATTENTION)
    assert set(attention.head.tolist()) == {-1}
    np.testing.assert_allclose(attention.weight, weights.mean(0)[attention.query, attention.key], rtol=1e-6)


def test_heads_and_layers_can_be_chosen(build_trace, random_rows):
    graph = build_graph(build_trace(*random_rows(3, 4, 5, 5)), heads=[1, -1], layers=[2, 0])
    assert set(graph.edges.head[graph.edges.is_prunable].tolist()) == {1, 3}
    assert [call.layer for call in graph.calls] == [0, 2]
    assert set(graph.edges.layer.tolist()) == {0, 2}
    # planes keep their places: layer 2 lies in plane 2, five tokens each
    last = graph.edges.select((graph.edges.layer == 2) & (graph.edges.kind == EdgeKind.ATTENTION))
    assert set(graph.nodes.plane[last.source].tolist()) == {2}


def test_residual_edges_carry_the_share_of_the_residual(build_trace):
    flow = np.full((1, 4, 3), np.nan)
    flow[0, 0], flow[0, 1], flow[0, 2], flow[0, 3] = [3, 1, 2], [1, 1, 0], [2, 2, 2], [2, 6, 0]
    graph = build_graph(build_trace(HAND, flow=flow))
    residual = graph.edges.select(graph.edges.kind == EdgeKind.RESIDUAL)
    np.testing.assert_allclose(residual.weight, [0.75, 0.5, 1.0])
    np.testing.assert_allclose(residual.strength, [0.75, 0.5, 1.0])
    np.testing.assert_array_equal(residual.target - residual.source, 3)
    np.testing.assert_allclose(graph.nodes.feed_forward[3:], [0.5, 0.75, 0.0])
    assert np.isnan(graph.nodes.feed_forward[:3]).all()


def test_unknown_residual_shares_are_nan_and_drawn_half(build_trace):
    graph = build_graph(build_trace(HAND))
    residual = graph.edges.select(graph.edges.kind == EdgeKind.RESIDUAL)
    assert np.isnan(residual.weight).all()
    np.testing.assert_array_equal(residual.strength, 0.5)


def test_class_edges_add_up_to_the_score():
    graph = build_graph(example_trace(padding=4), 1)
    classes = np.flatnonzero(graph.nodes.kind == NodeKind.CLASS)
    edges = graph.edges.select(graph.edges.kind == EdgeKind.CLASS)
    assert len(edges) == 3 * 12  # padding joins nothing
    for node in classes:
        added = edges.weight[edges.target == node].sum() + graph.nodes.base[node]
        assert added == pytest.approx(graph.nodes.score[node], abs=1e-5)
    assert set(graph.nodes.plane[edges.source].tolist()) == {3}
    assert edges.strength.max() == 1


def test_padding_has_no_edges_and_changes_no_strength(build_trace, random_rows):
    small = random_rows(2, 4, 4)
    large = np.zeros((2, 6, 6), np.float32)
    large[:, :4, :4] = small
    large[:, 4:, :4] = 0.25
    for scale in ("rank", "minmax", "lift", "log"):
        bare = build_graph(build_trace(small), scale=scale)
        padded = build_graph(build_trace(large, padded=(4, 5)), scale=scale)
        assert len(padded.edges) == len(bare.edges)
        np.testing.assert_array_equal(padded.edges.strength, bare.edges.strength)
        np.testing.assert_allclose(padded.edges.mass, bare.edges.mass)
    assert padded.nodes.padded.reshape(2, 6)[0].tolist() == [False] * 4 + [True] * 2
    assert padded.summary() == bare.summary()


def test_attention_to_padding_is_reported(build_trace):
    graph = build_graph(build_trace([[0.5, 0.5], [0.5, 0.5]], padded=(1,)))
    assert graph.notes == ("attention worth 0.5 rows goes to padding and is left out",)
    assert graph.share() == (1, 1, 0.5)


def test_nan_rows_are_counted_marked_and_dropped(build_trace):
    weights = np.array([HAND, HAND], dtype=np.float32)
    weights[1, 2] = np.nan
    graph = build_graph(build_trace(weights), direction="directed")
    assert graph.calls[0].nan_rows == 1
    assert graph.notes == ("1 rows are NaN and left out (layers 0)",)
    assert graph.nodes.nan.tolist() == [False, False, True, False, False, False]
    attention = graph.edges.select(graph.edges.kind == EdgeKind.ATTENTION)
    assert not ((attention.head == 1) & (attention.query == 2)).any()
    assert len(attention) == 8 + 6
    assert np.isfinite(graph.edges.strength).all()
    assert graph.share()[2] == pytest.approx(1)
    mean = build_graph(build_trace(weights), heads="mean", direction="directed")
    assert edge(mean, EdgeKind.ATTENTION, 2, 1, head=-1)["weight"] == pytest.approx(0.25)


def test_top_k_rows_keep_their_lost_mass_in_sight(build_trace):
    graph = build_graph(build_trace([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]], k=2))
    np.testing.assert_allclose(graph.rows.kept, [0.9, 0.9, 0.9], atol=1e-6)
    assert graph.share()[2] == pytest.approx(0.9)
    assert graph.notes == ("capture kept the top 2 keys of each row: 90.0% of the attention",)
    pair = edge(graph, EdgeKind.ATTENTION, 2, 0)
    assert pair["weight"] == pytest.approx(0.1)
    assert np.isnan(pair["reverse"])  # not kept is not zero


def test_top_k_with_all_keys_gives_the_same_edges_as_dense(build_trace, random_rows):
    weights, norms = random_rows(3, 6, 6), np.arange(18) + 1
    for heads in ("each", "mean"):
        dense = build_graph(build_trace(weights, norms=norms), heads=heads)
        top = build_graph(build_trace(weights, norms=norms, k=6), heads=heads)
        for name, column in dense.edges.columns().items():
            np.testing.assert_allclose(top.edges.columns()[name], column, rtol=1e-5, err_msg=name)
        np.testing.assert_array_equal(top.rows.flat, dense.rows.flat)


def test_cross_edges_come_from_the_last_plane_of_the_other_side():
    graph = build_graph(example_trace(layers=2, decoder=True))
    cross = graph.edges.select(graph.edges.kind == EdgeKind.CROSS)
    nodes = graph.nodes
    assert set(nodes.side[cross.source].tolist()) == {0}
    assert set(nodes.plane[cross.source].tolist()) == {2}
    assert set(nodes.side[cross.target].tolist()) == {1}
    assert set(nodes.plane[cross.target].tolist()) == {2, 4}
    assert cross.weight.sum() == pytest.approx(2 * 2 * 5, rel=1e-5)  # calls x heads x queries


def test_received_is_the_mean_over_heads_of_what_queries_give(build_trace, random_rows):
    weights = random_rows(3, 5, 5)
    graph = build_graph(build_trace(weights))
    np.testing.assert_allclose(graph.nodes.received[:5], weights.sum(1).mean(0), rtol=1e-5)
    assert np.isnan(graph.nodes.received[5:]).all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"direction": "both"}, "'sum', 'directed'"),
        ({"heads": "means"}, "Did you mean 'mean'"),
        ({"heads": [2]}, "no head 2"),
        ({"heads": []}, "at least one head"),
        ({"scale": "ranks"}, "Did you mean 'rank'"),
        ({"layers": [7]}, r"asks for \[7\]"),
        ({"layers": []}, "asks for nothing"),
    ],
)
def test_a_wrong_option_is_answered_with_those_there_are(options, says):
    with pytest.raises(OptionError, match=says):
        build_graph(example_trace(), **options)


def test_an_example_that_is_not_there_is_named():
    with pytest.raises(OptionError, match="no example 5"):
        build_graph(example_trace(), 5)


def test_contribution_scale_without_values_says_what_to_do(build_trace):
    with pytest.raises(NotKeptError, match=r"layers\.0 has none.*values=True"):
        build_graph(build_trace(HAND), scale="contribution")


@settings(max_examples=40, deadline=None)
@given(
    heads=st.integers(1, 4),
    length=st.integers(1, 9),
    seed=st.integers(0, 99),
    is_causal=st.booleans(),
    padding=st.integers(0, 3),
)
def test_masses_of_any_trace_add_up(build_trace, heads, length, seed, is_causal, padding):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(length), size=(heads, length))
    padded = range(length - min(padding, length - 1), length)
    weights[..., list(padded)] = 0
    if is_causal:
        weights = np.tril(weights)
    weights /= weights.sum(-1, keepdims=True)
    trace = build_trace(weights, padded=padded)
    real = length - len(padded)
    for direction in ("sum", "directed"):
        graph = build_graph(trace, direction=direction)
        inside = graph.edges.kind == EdgeKind.ATTENTION
        assert graph.edges.mass[inside].sum() == pytest.approx(heads * real, rel=1e-4)
        assert graph.share()[2] == pytest.approx(1, rel=1e-4)
        e = graph.edges.select(inside)
        matrix = np.zeros((heads, length, length))
        np.add.at(matrix, (e.head, e.query, e.key), e.weight)
        np.add.at(matrix, (e.head, e.key, e.query), np.where(e.both_ways & ~e.is_loop, e.reverse, 0))
        np.testing.assert_allclose(matrix[:, :real], weights[:, :real], atol=1e-6)
        assert ((graph.edges.strength >= 0) & (graph.edges.strength <= 1)).all()


def test_sum_is_symmetric_in_the_two_directions(build_trace, random_rows):
    weights = random_rows(2, 6, 6)
    graph, turned = (build_graph(build_trace(w)) for w in (weights, weights.swapaxes(1, 2)))

    def pairs(g):
        e = g.edges.select(g.edges.kind == EdgeKind.ATTENTION)
        low, high = np.minimum(e.query, e.key), np.maximum(e.query, e.key)
        order = np.lexsort((high, low, e.head))
        return e.head[order], low[order], high[order], e.mass[order]

    for one, other in zip(pairs(graph), pairs(turned), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_graph_is_shown_in_one_line_however_large_it_is(build_trace):
    assert repr(build_graph(build_trace(HAND))) == (
        "Graph('tokens' of 3 x 2 planes: 6 nodes, 17 edges, direction='sum', scale='rank')"
    )
    graph = build_graph(example_trace(decoder=True), direction="directed", scale="lift").prune("top_k", k=1)
    said = repr(graph)
    assert "\n" not in said
    assert len(said) < 200
    assert f"{len(graph.edges):,} edges, direction='directed', scale='lift'" in said
    for side in graph.sides:
        assert f"{side.name!r} of {side.length} x {side.planes} planes" in said


@pytest.mark.parametrize(("k", "reverse"), [(None, 0), (2, 0), (1, np.nan)])
def test_a_direction_without_attention_is_known_unless_keys_were_left_out(build_trace, k, reverse):
    graph = build_trace([[1, 0], [0.25, 0.75]] if k != 1 else [[1, 0], [0.75, 0.25]], k=k).graph()
    (between,) = np.flatnonzero((graph.edges.kind == EdgeKind.ATTENTION) & ~graph.edges.is_loop)
    np.testing.assert_equal(graph.edges.reverse[between], np.float32(reverse))
