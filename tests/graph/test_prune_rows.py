"""Prunings that hold an edge against what its row may see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscape.errors import OptionError
from headscape.graph.build import build_graph
from headscape.graph.columns import EdgeKind
from headscape.graph.kept import kept_entries
from headscape.trace.synthetic import example_trace

HAND = [[0.5, 0.3, 0.15, 0.05], [0.1, 0.6, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25], [0.02, 0.03, 0.05, 0.9]]
CAUSAL = [[1, 0, 0], [0.4, 0.6, 0], [0.7, 0.2, 0.1]]
WAYS = [("lift", {"factor": 2.0}), ("disparity", {"a": 0.1})]


def kept(graph, kind=EdgeKind.ATTENTION):
    e = graph.edges.select(graph.edges.kind == kind)
    return set(zip(e.query.tolist(), e.key.tolist(), strict=True))


@pytest.mark.parametrize(
    ("factor", "edges"),
    [
        (2.0, {(0, 0), (1, 1), (3, 3)}),
        (1.2, {(0, 0), (0, 1), (1, 1), (3, 3)}),
        (1.0, {(0, 0), (0, 1), (1, 1), (3, 3), (2, 0), (2, 1), (2, 2), (2, 3)}),
    ],
)
def test_lift_keeps_what_was_found_by_hand(build_trace, factor, edges):
    assert kept(build_graph(build_trace(HAND), direction="directed").prune("lift", factor=factor)) == edges


@pytest.mark.parametrize(
    ("a", "edges"),  # (1 - weight) ** 3: 0.001 for 0.9, 0.064 for 0.6, 0.125 for 0.5, 0.343 for 0.3
    [
        (0.05, {(3, 3)}),
        (0.1, {(3, 3), (1, 1)}),
        (0.2, {(3, 3), (1, 1), (0, 0)}),
        (0.35, {(3, 3), (1, 1), (0, 0), (0, 1)}),
    ],
)
def test_disparity_keeps_what_was_found_by_hand(build_trace, a, edges):
    assert kept(build_graph(build_trace(HAND), direction="directed").prune("disparity", a=a)) == edges


def test_keys_that_a_causal_row_may_not_see_do_not_count(build_trace):
    graph = build_graph(build_trace(CAUSAL), direction="directed")
    # Lifts: 1 | 0.8, 1.2 | 2.1, 0.6, 0.3.
    assert kept(graph.prune("lift", factor=1.2)) == {(1, 1), (2, 0)}
    assert kept(graph.prune("lift", factor=0.8)) == {(0, 0), (1, 0), (1, 1), (2, 0)}
    # Chances: 1 (one key) | 0.6, 0.4 | 0.09, 0.64, 0.81.
    assert kept(graph.prune("disparity", a=0.5)) == {(1, 1), (2, 0)}
    assert kept(graph.prune("disparity", a=0.7)) == {(1, 0), (1, 1), (2, 0), (2, 1)}


def test_an_undirected_edge_stays_if_either_end_keeps_it(build_trace):
    # 1 -> 0 has lift 0.9, 0 -> 1 has 2.7; 2 -> 0 has 2.1 and 0 -> 2 has 0.15.
    rows = [[0.05, 0.9, 0.05], [0.3, 0.4, 0.3], [0.7, 0.1, 0.2]]
    graph = build_graph(build_trace(rows))
    for name, option in [("lift", {"factor": 2.0}), ("disparity", {"a": 0.1})]:
        assert {tuple(sorted(pair)) for pair in kept(graph.prune(name, **option))} == {(0, 1), (0, 2)}


def test_each_end_counts_the_keys_of_its_own_row(build_trace):
    # 0 -> 1 is 0.6 of a row that sees two keys, 1 -> 0 is 0.5 of one that sees three: lifts 1.2 and 1.5.
    graph = build_graph(build_trace([[0.4, 0.6, 0], [0.5, 0.25, 0.25], [0, 0.5, 0.5]]))
    assert {tuple(sorted(pair)) for pair in kept(graph.prune("lift", factor=1.3))} == {(0, 1)}
    # Chances: 0.4 and 0.25 (of the pair 1 and 2: 0.5 and 0.56).
    assert {tuple(sorted(pair)) for pair in kept(graph.prune("disparity", a=0.3))} == {(0, 1)}


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(0, 99), st.floats(0.01, 0.9))
def test_in_one_head_of_full_rows_disparity_is_a_threshold_and_so_a_lift(build_trace, length, seed, a):
    weights = np.random.default_rng(seed).dirichlet(np.full(length, 0.4), size=length).astype(np.float32)
    graph = build_graph(build_trace(weights), direction="directed")
    threshold = 1 - a ** (1 / (length - 1))
    near = np.abs(weights - threshold) < 1e-5
    wanted = {(q, k) for q, k in zip(*np.nonzero((weights > threshold) & ~near), strict=True)}
    unsure = {(q, k) for q, k in zip(*np.nonzero(near), strict=True)}
    for small in (graph.prune("disparity", a=a), graph.prune("lift", factor=threshold * length)):
        assert kept(small) - unsure == wanted


@pytest.mark.parametrize(("name", "option"), WAYS)
def test_padded_tokens_neither_count_nor_stay(build_trace, name, option):
    real = np.array(HAND)[:, :]
    grown = np.zeros((6, 6))
    grown[:4, :4], grown[4:, 0] = real, 1
    with_padding = build_graph(build_trace(grown, padded=(4, 5)), direction="directed").prune(name, **option)
    without = build_graph(build_trace(real), direction="directed").prune(name, **option)
    assert kept(with_padding) == kept(without) != set()


@pytest.mark.parametrize(("name", "option"), WAYS)
def test_a_uniform_head_keeps_nothing_that_stands_out(build_trace, name, option):
    assert kept(build_graph(build_trace(np.full((5, 5), 0.2))).prune(name, **option)) == set()


def test_of_a_top_k_trace_shares_are_of_the_whole_row(build_trace):
    graph = build_graph(build_trace(HAND, k=1, visible=4), direction="directed")
    # Of what was kept the rows' shares are 1, which would keep all four.
    assert kept(graph.prune("disparity", a=0.1)) == {(1, 1), (3, 3)}
    assert kept(graph.prune("lift", factor=2.2)) == {(1, 1), (3, 3)}


def test_value_edges_are_held_against_the_contributions_of_their_row(build_trace):
    # Contributions of row 0: 0.5 * 1, 0.3 * 1, 0.15 * 10, 0.05 * 1; the third has 0.64, a lift of 2.55.
    graph = build_graph(build_trace(HAND, norms=[1, 1, 10, 1]), direction="directed")
    small = graph.prune("lift", factor=1.9)
    assert {pair for pair in kept(small, EdgeKind.VALUE) if pair[0] == 0} == {(0, 2)}
    assert {pair for pair in kept(small) if pair[0] == 0} == {(0, 0)}
    # (1 - 0.64) ** 3 is 0.047; (1 - 0.5 / 2.35) ** 3 is 0.49.
    small = graph.prune("disparity", a=0.05)
    assert {pair for pair in kept(small, EdgeKind.VALUE) if pair[0] == 0} == {(0, 2)}


def test_rows_are_found_again_after_another_pruning(build_trace):
    graph = build_graph(build_trace(HAND), direction="directed")
    assert kept(graph.prune("top_k", k=1).prune("lift", factor=2.0)) == {(0, 0), (1, 1), (3, 3)}
    assert kept(graph.prune("top_k", k=1).prune("disparity", a=0.1)) == {(1, 1), (3, 3)}


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("lift", {"factor": 0.0}, "factor=0.0; pass a number above 0"),
        ("lift", {"p": 0.5}, "there is 'factor'"),
        ("disparity", {"a": 0.0}, "a=0.0; a is a chance"),
        ("disparity", {"a": 5}, "up to 1"),
    ],
)
def test_a_wrong_option_is_answered(name, options, says):
    with pytest.raises(OptionError, match=says):
        build_graph(example_trace()).prune(name, **options)


@pytest.mark.parametrize(("name", "option"), WAYS)
@pytest.mark.parametrize("made", [{"k": 3}, {"decoder": True}, {"tokens": ["one"]}, {"padding": 5}])
def test_every_trace_is_taken(name, option, made):
    for direction in ("sum", "directed"):
        for heads in ("each", "mean"):
            whole = build_graph(example_trace(**made), 1, direction=direction, heads=heads)
            assert whole.prune(name, **option).share()[0] <= whole.share()[0]


PRUNINGS = [*WAYS, ("nucleus", {"p": 0.8}), ("top_k", {"k": 2}), ("skeleton", {}), ("strongest", {"n": 9})]


@pytest.mark.parametrize(("name", "option"), PRUNINGS)
@pytest.mark.parametrize("direction", ["sum", "directed"])
@pytest.mark.parametrize("made", [{}, {"k": 3}, {"decoder": True}, {"padding": 5}, {"tokens": ["one"]}])
def test_what_is_kept_of_a_call_alone_is_what_its_graph_keeps(name, option, direction, made):
    trace = example_trace(**made)
    edges = build_graph(trace, 1, direction=direction).prune(name, **option).edges
    for number, call in enumerate(trace.calls):
        wanted = np.zeros(call.shape[1:], bool)
        kinds = np.isin(edges.kind, (EdgeKind.ATTENTION, EdgeKind.CROSS))
        e = edges.select(kinds & (edges.call == number))
        wanted[e.head, e.query, e.key] = True
        e = e.select(e.both_ways & (e.reverse > 0))
        wanted[e.head, e.key, e.query] = True
        np.testing.assert_array_equal(kept_entries(call, 1, name, option, direction=direction), wanted)
        assert wanted.any() or call.shape[3] == 1


def test_a_nucleus_of_the_whole_row_is_the_whole_row(build_trace):
    rows = np.array([[1 - 2e-8, 1e-8, 1e-8], [0.5, 0.5 - 1e-7, 1e-7], [0.2, 0.3, 0.5]])
    graph = build_graph(build_trace(rows), direction="directed")
    assert len(kept(graph.prune("nucleus", p=1.0))) == 9
    assert len(kept(graph.prune("nucleus", p=0.9999999))) < 9
