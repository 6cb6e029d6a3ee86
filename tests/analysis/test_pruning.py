"""What prunings cost, held against costs worked out by hand and on other roads."""

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headscape.analysis.pruning import of_graph, report
from headscape.analysis.route_graph import prune_to_routes
from headscape.analysis.routes import find_routes
from headscape.errors import NotKeptError, OptionError
from headscape.graph.columns import EdgeKind
from headscape.intercept.run import capture
from headscape.trace.by_hand import trace_of
from headscape.trace.call import AttentionCall
from headscape.trace.measure import Facts, gather_rows
from headscape.trace.sides import Side
from headscape.trace.synthetic import example_trace
from headscape.trace.trace import Trace

HAND = [[0.7, 0.2, 0.1], [0.6, 0.4, 0.0], [0.5, 0.1, 0.4]]


def random_trace(length, heads=2, seed=0, spread=0.4):
    rows = np.random.default_rng(seed).dirichlet(np.full(length, spread), size=(heads, length))
    return trace_of(rows), rows.astype(np.float32)


def test_directed_costs_are_those_found_by_hand():
    found = report(trace_of([HAND]), "top_k", k=1, direction="directed")
    (call,) = found.calls
    np.testing.assert_allclose(call.row_mass, [[0.7, 0.6, 0.5]], rtol=1e-6)
    assert (found.edges, found.edges_before) == (3, 8)
    assert found.mass == pytest.approx(0.6)
    assert found.worst_mass == pytest.approx(0.5)
    assert call.worst[1:] == (0, 2)
    assert found.h0_max == 0  # 1 and 2 hang on 0 by 0.6 and 0.5, as before


def test_costs_of_pairs_are_those_found_by_hand():
    found = report(trace_of([HAND]), "top_k", k=1)
    # The pairs (0, 1) and (0, 2) stay with both directions, so row 0 is whole.
    np.testing.assert_allclose(found.calls[0].row_mass, [[1.0, 0.6, 0.5]], rtol=1e-6)
    assert (found.edges, found.edges_before) == (3, 6)
    assert found.h0_max == 0


def test_edges_that_are_gone_move_the_bars_as_found_by_hand():
    found = report(trace_of([HAND]), "lift", factor=1.8, direction="directed")
    # Only 0 -> 0 is left. Deaths were 0.4 and 0.5 and are 1 and 1: to match nothing costs half of 1.
    assert found.edges == 1
    assert found.h0_max == found.h0_median == pytest.approx(0.5)
    assert found.calls[0].empty_rows == 2
    assert "2 rows lose everything" in str(found)
    # One of two bars, from 0.4 to 1 (0 - 1 is gone) or left alone: the distance is the least of the two.
    rows = [[0.1, 0.9, 0.0], [0.05, 0.95, 0.0], [0.02, 0.58, 0.4]]
    found = report(trace_of([rows]), "top_k", k=1, direction="directed")
    assert found.h0_max == 0
    found = report(trace_of([rows]), "strongest", n=2, direction="directed")  # 0 -> 1 and 1 -> 1
    # Deaths 0.1 and 0.42; then 0.1 and 1: matched in order the second moves by 0.58, unmatched it costs 0.5.
    assert found.h0_max == pytest.approx(0.5)


def by_networkx(before, after):
    """Bottleneck distance of H0 by trees of NetworkX and every number of matched bars."""
    deaths = []
    for close in (before, after):
        graph = nx.Graph()
        graph.add_nodes_from(range(len(close)))
        graph.add_weighted_edges_from(
            (i, j, 1 - close[i, j]) for i in range(len(close)) for j in range(i) if i != j
        )
        tree = nx.minimum_spanning_tree(graph, algorithm="kruskal")
        deaths.append(sorted((w for _, _, w in tree.edges(data="weight")), reverse=True))
    x, y = deaths
    costs = []
    for matched in range(len(x) + 1):
        moved = [abs(a - b) for a, b in zip(x[:matched], y[:matched], strict=True)]
        costs.append(max([*moved, *(a / 2 for a in x[matched:]), *(b / 2 for b in y[matched:])]))
    return min(costs)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(2, 9), st.integers(0, 99), st.sampled_from(["sum", "directed"]),
    st.sampled_from([("top_k", {"k": 1}), ("nucleus", {"p": 0.5}), ("lift", {"factor": 2.0})]),
)  # fmt: skip
def test_h0_moves_by_what_another_road_finds(length, seed, direction, pruning):
    trace, rows = random_trace(length, seed=seed)
    name, options = pruning
    edges = trace.graph(direction=direction).prune(name, **options).edges
    edges = edges.select(edges.kind == EdgeKind.ATTENTION)
    found = report(trace, name, direction=direction, **options)
    for head in range(2):
        kept = np.zeros((length, length))
        e = edges.select(edges.head == head)
        kept[e.query, e.key] = e.weight
        if direction == "sum":
            kept[e.key, e.query] = np.where(e.is_loop, e.weight, np.nan_to_num(e.reverse))
        join = np.maximum if direction == "directed" else lambda a, b: (a + b) / 2
        before, after = (join(one, one.T) for one in (rows[head].astype(np.float64), kept))
        assert found.calls[0].h0[head] == pytest.approx(by_networkx(before, after), abs=1e-6)
        np.testing.assert_allclose(found.calls[0].row_mass[head], kept.sum(1) / rows[head].sum(1), rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(0, 99), st.sampled_from(["sum", "directed"]), st.integers(0, 3))
def test_a_skeleton_moves_no_bar(length, seed, direction, strongest):
    trace, _ = random_trace(length, heads=3, seed=seed)
    found = report(trace, "skeleton", strongest=strongest, direction=direction)
    assert found.h0_max == 0
    assert found.edges < found.edges_before


def test_a_skeleton_of_attention_across_moves_no_bar():
    trace = example_trace(decoder=True)
    assert "cross" in {call.kind for call in trace.calls}
    found = report(trace, "skeleton", strongest=0)
    assert np.isfinite(found.h0).all()
    assert found.h0_max == 0
    for call, cost in zip(trace.calls, found.calls, strict=True):
        if call.kind == "cross":
            _, heads, queries, keys = call.shape
            assert cost.edges == heads * (queries + keys - 1)


def test_a_whole_nucleus_costs_nothing():
    found = report(example_trace(padding=3), "nucleus", p=1.0, example=1)
    assert found.edges == found.edges_before
    assert found.mass == pytest.approx(1)
    assert found.h0_max == 0


def test_padding_costs_nothing_and_counts_for_nothing():
    trace, rows = random_trace(5)
    grown = np.zeros((2, 7, 7))
    grown[:, :5, :5], grown[:, 5:, 0] = rows, 1
    padded = trace_of(grown, padded=[[False] * 5 + [True] * 2])
    for direction in ("sum", "directed"):
        alone, beside = (report(t, "top_k", k=2, direction=direction) for t in (trace, padded))
        assert (alone.edges, alone.edges_before) == (beside.edges, beside.edges_before)
        assert alone.mass == pytest.approx(beside.mass)
        np.testing.assert_allclose(alone.h0, beside.h0, atol=1e-7)
        assert np.isnan(beside.calls[0].row_mass[:, 5:]).all()


@pytest.mark.parametrize("direction", ["sum", "directed"])
@pytest.mark.parametrize("made", [{}, {"decoder": True}, {"padding": 5}, {"tokens": ["one"]}])
def test_a_graph_costs_what_its_pruning_costs(direction, made):
    trace = example_trace(**made)
    for name, options in (("nucleus", {"p": 0.7}), ("skeleton", {"strongest": 2}), ("top_k", {"k": 1})):
        wanted = report(trace, name, example=1, direction=direction, **options)
        found = of_graph(trace.graph(1, direction=direction).prune(name, **options), trace, 1)
        assert str(found) == str(wanted)
        assert (found.edges, found.pruning) == (wanted.edges, wanted.pruning)


def test_a_graph_of_some_heads_and_layers_is_told_of_those_alone():
    trace = example_trace(layers=3, heads=4)
    found = of_graph(trace.graph(heads=[1, 3], layers=[2]).prune("nucleus", p=0.5), trace)
    assert [call.layer for call in found.calls] == [2]
    whole = report(trace, "nucleus", p=0.5)
    np.testing.assert_array_equal(found.calls[0].row_mass, whole.calls[2].row_mass[[1, 3]])
    np.testing.assert_array_equal(found.h0, whole.calls[2].h0[[1, 3]])


def test_layers_with_other_numbers_of_heads_are_told_apart():
    rows = np.random.default_rng(0).dirichlet(np.ones(4), size=(3, 4))
    found = report(trace_of(rows[:1], rows), "top_k", k=1)
    assert [len(call.h0) for call in found.calls] == [1, 3]
    assert str(found).count("\n") == 2


def test_a_row_that_is_nan_is_left_out_and_said():
    rows = np.random.default_rng(0).dirichlet(np.ones(4), size=(2, 4))
    rows[1, 2] = np.nan
    found = report(trace_of(rows), "top_k", k=2, direction="directed")
    assert np.isnan(found.calls[0].row_mass[1, 2])
    assert np.isfinite(found.mass)
    assert np.isfinite(found.h0).tolist() == [True, False]
    assert "rows are NaN" in str(found)


def test_queries_over_cached_keys_have_a_mass_and_a_sentence_for_h0():
    rows = np.random.default_rng(0).dirichlet(np.ones(5), size=(1, 1, 2)).astype(np.float32)
    none = np.zeros((1, 5), bool)
    facts = Facts(none[:, :2], none, None, np.full((1, 4, 2), np.nan, np.float32))
    arrays = gather_rows([(0, rows, np.full((1, 1, 2), 5, np.int32))], (1, 1, 2, 5), None, facts)
    call = AttentionCall("a", "a", 0, "self", "sdpa", 0, 0, 0, (1, 1, 2, 5), arrays)
    trace = Trace((call,), (Side("tokens", 5, 2, (tuple("abcde"),)),), model="Cached")
    found = report(trace, "top_k", k=1, direction="directed")
    np.testing.assert_allclose(found.calls[0].row_mass, rows[0].max(-1), rtol=1e-6)
    assert np.isnan(found.h0_max)
    assert "2 queries for 5 keys are no graph of tokens" in str(found)
    assert report(trace, "top_k", k=1).edges == of_graph(trace.graph().prune("top_k", k=1), trace).edges


def test_what_was_not_kept_or_cannot_be_is_answered():
    with pytest.raises(NotKeptError, match='keep="all"'):
        report(example_trace(k=3), "top_k", k=1)
    with pytest.raises(OptionError, match="Did you mean 'nucleus'"):
        report(example_trace(), "necleus")
    with pytest.raises(OptionError, match='heads="each"'):
        of_graph(example_trace().graph(heads="mean"), example_trace())
    with pytest.raises(OptionError, match="direction"):
        report(example_trace(), "top_k", direction="both")


def test_routes_cost_less_attention_the_less_they_cut():
    layer = torch.nn.TransformerEncoderLayer(12, 3, 20, batch_first=True, dropout=0.0)
    encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    with capture(encoder, keep="all", states=True) as run, torch.no_grad():
        encoder(torch.randn(1, 6, 12, generator=torch.Generator().manual_seed(1)))
    found = [report(run.trace, "routes", tau=tau, direction="directed") for tau in (0.0, 0.02, 0.04)]
    assert [one.pruning for one in found] == ["routes tau=0", "routes tau=0.02", "routes tau=0.04"]
    assert found[0].edges >= found[1].edges > found[2].edges > 0
    assert 1 > found[0].mass >= found[1].mass > found[2].mass
    routes = find_routes(run.trace, tau=0.02)
    wanted = of_graph(prune_to_routes(run.trace.graph(direction="directed"), routes), run.trace)
    assert str(found[1]) == str(wanted)
    with pytest.raises(NotKeptError, match="states=True"):
        report(example_trace(), "routes")
