import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscape.errors import OptionError
from headscape.graph.build import build_graph
from headscape.graph.columns import EdgeKind
from headscape.trace.synthetic import example_trace

HAND = [[0.5, 0.3, 0.15, 0.05], [0.1, 0.6, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25], [0.02, 0.03, 0.05, 0.9]]


def kept(graph, kind=EdgeKind.ATTENTION):
    e = graph.edges.select(graph.edges.kind == kind)
    return set(zip(e.query.tolist(), e.key.tolist(), strict=True))


@pytest.mark.parametrize(
    ("p", "rows"),
    [
        (0.5, [[0], [1], [0, 1], [3]]),
        (0.8, [[0, 1], [1, 2], [0, 1, 2, 3], [3]]),
        (0.9, [[0, 1, 2], [0, 1, 2], [0, 1, 2, 3], [3]]),
        (1.0, [[0, 1, 2, 3]] * 4),
    ],
)
def test_nucleus_keeps_the_sets_found_by_hand(build_trace, p, rows):
    graph = build_graph(build_trace(HAND), direction="directed").prune("nucleus", p=p)
    assert kept(graph) == {(query, key) for query, keys in enumerate(rows) for key in keys}


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(0, 99), st.floats(0.05, 1.0))
def test_nucleus_is_the_smallest_set_of_each_row_that_reaches_p(build_trace, length, seed, p):
    weights = np.random.default_rng(seed).dirichlet(np.full(length, 0.4), size=length).astype(np.float32)
    graph = build_graph(build_trace(weights), direction="directed").prune("nucleus", p=p)
    rows = kept(graph)
    for query in range(length):
        held = sorted((weights[query, key] for q, key in rows if q == query), reverse=True)
        assert sum(held) >= p * weights[query].sum() - 1e-4
        assert sum(held[:-1]) < p * weights[query].sum() + 1e-4
        np.testing.assert_array_equal(held, np.sort(weights[query])[::-1][: len(held)])


def test_top_k_keeps_k_of_each_row_and_the_earlier_of_equals(build_trace):
    graph = build_graph(build_trace(HAND), direction="directed").prune("top_k", k=2)
    assert kept(graph) == {(0, 0), (0, 1), (1, 1), (1, 2), (2, 0), (2, 1), (3, 3), (3, 2)}


def test_an_undirected_edge_stays_if_either_row_keeps_it(build_trace):
    graph = build_graph(build_trace(HAND)).prune("top_k", k=2)
    pairs = {tuple(sorted(pair)) for pair in kept(graph)}
    assert pairs == {(0, 0), (0, 1), (1, 1), (1, 2), (0, 2), (3, 3), (2, 3)}


def test_masked_pairs_are_never_among_the_strongest(build_trace):
    graph = build_graph(build_trace(np.tril(np.ones((4, 4))) / np.arange(1, 5)[:, None] + 0.0))
    small = graph.prune("top_k", k=1)
    assert {tuple(sorted(pair)) for pair in kept(small)} == {(0, 0), (0, 1), (0, 2), (0, 3)}


def bars(matrix):
    """Weights at which parts join: those of the maximum spanning tree, by NetworkX."""
    tree = nx.maximum_spanning_tree(nx.from_numpy_array(matrix))
    return sorted(weight for _, _, weight in tree.edges(data="weight"))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(1, 3), st.integers(0, 99), st.sampled_from(["sum", "directed"]))
def test_skeleton_keeps_the_h0_bars_of_every_head_exactly(build_trace, length, heads, seed, direction):
    weights = np.random.default_rng(seed).dirichlet(np.full(length, 0.5), size=(heads, length)).astype("f4")
    whole = build_graph(build_trace(weights), direction=direction)
    small = whole.prune("skeleton", strongest=0)
    e = small.edges.select(small.edges.kind == EdgeKind.ATTENTION)
    for head in range(heads):
        w = weights[head]
        matrix = w + w.T if direction == "sum" else np.maximum(w, w.T)
        np.fill_diagonal(matrix, 0)
        np.testing.assert_array_equal(sorted(e.mass[e.head == head].tolist()), bars(matrix))


def test_skeleton_joins_all_tokens_and_adds_the_strongest(build_trace, random_rows):
    whole = build_graph(build_trace(random_rows(1, 10, 10)))
    tree, more = whole.prune("skeleton", strongest=0), whole.prune("skeleton", strongest=5)
    assert len(kept(tree)) == 9
    assert len(kept(more)) == 14
    assert kept(tree) < kept(more)
    left_out = whole.edges.select(whole.edges.kind == EdgeKind.ATTENTION)
    names = list(zip(left_out.query.tolist(), left_out.key.tolist(), strict=True))
    rest = [m for n, m in zip(names, left_out.mass, strict=True) if n not in kept(more) and n[0] != n[1]]
    added = [m for n, m in zip(names, left_out.mass, strict=True) if n in kept(more) - kept(tree)]
    assert min(added) >= max(rest)
    assert len(kept(whole.prune("skeleton"))) == 18


def test_equal_weights_still_give_a_tree(build_trace):
    small = build_graph(build_trace(np.full((2, 7, 7), 1 / 7))).prune("skeleton", strongest=0)
    graph = nx.Graph(list(kept(small)))
    assert (small.edges.kind == EdgeKind.ATTENTION).sum() == 2 * 6
    assert nx.is_connected(graph)


def test_the_frame_stays_and_what_was_dropped_is_counted():
    whole = build_graph(example_trace(layers=2))
    small = whole.prune("top_k", k=1)
    for kind in (EdgeKind.RESIDUAL, EdgeKind.CLASS):
        assert (small.edges.kind == kind).sum() == (whole.edges.kind == kind).sum()
    shares = small.shares
    for entry in range(len(shares)):
        of_entry = (small.edges.kind == shares.kind[entry]) & (small.edges.call == shares.call[entry])
        was = (whole.edges.kind == shares.kind[entry]) & (whole.edges.call == shares.call[entry])
        assert (shares.shown[entry], shares.total[entry]) == (of_entry.sum(), was.sum())
        held = small.edges.measure[of_entry].sum() / whole.edges.measure[was].sum()
        assert shares.mass_shown[entry] / shares.mass_total[entry] == pytest.approx(held, rel=1e-4)
    shown, total, share = small.share()
    assert shown == (small.edges.kind == EdgeKind.ATTENTION).sum() < small.edges.is_prunable.sum()
    assert small.summary() == f"{shown:,} of {total:,} attention edges, {100 * share:.0f} % of the attention"
    assert [str(p) for p in small.prunings] == ["top_k k=1"]
    assert len(whole.edges) > len(small.edges)


def test_prunings_can_follow_each_other_and_count_from_the_whole():
    whole = build_graph(example_trace())
    twice = whole.prune("nucleus", p=0.9).prune("top_k", k=1)
    assert twice.share()[1] == whole.share()[1]
    assert [p.name for p in twice.prunings] == ["nucleus", "top_k"]


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("necleus", {}, "Did you mean 'nucleus'"),
        ("nucleus", {"q": 0.5}, "pruning 'nucleus' has no option 'q'; there is 'p'"),
        ("top_k", {"p": 0.5}, "there is 'k'"),
        ("nucleus", {"p": 0.0}, "p=0.0"),
        ("nucleus", {"p": 90}, "a share above 0 and up to 1"),
        ("top_k", {"k": 0}, "at least 1"),
        ("skeleton", {"strongest": -1}, "0 is the least"),
    ],
)
def test_a_wrong_pruning_is_answered_with_what_there_is(name, options, says):
    with pytest.raises(OptionError, match=says):
        build_graph(example_trace()).prune(name, **options)


@pytest.mark.parametrize(("name", "options"), [("top_k", {}), ("nucleus", {}), ("skeleton", {})])
@pytest.mark.parametrize("made", [{"k": 3}, {"decoder": True}, {"tokens": ["one"]}, {"padding": 5}])
def test_every_pruning_takes_every_trace(name, options, made):
    for direction in ("sum", "directed"):
        for heads in ("each", "mean"):
            whole = build_graph(example_trace(**made), 1, direction=direction, heads=heads)
            small = whole.prune(name, **options)
            assert small.share()[0] <= whole.share()[0]


def test_a_row_that_sees_one_key_is_not_among_the_strongest(build_trace):
    rows = np.array([[1, 0, 0], [0.4, 0.6, 0], [0.7, 0.2, 0.1]])
    graph = build_trace(rows).graph(direction="directed")
    strongest = graph.prune("strongest", n=2).edges
    within = strongest.select(strongest.kind == EdgeKind.ATTENTION)
    assert sorted(zip(within.query.tolist(), within.key.tolist(), strict=True)) == [(1, 1), (2, 0)]
    assert not graph.edges.is_forced[(graph.edges.query > 0)].any()
