import numpy as np
import pytest

from headscape.graph.build import build_graph
from headscape.graph.columns import EdgeKind
from headscape.graph.scales import FAINT, SCALES


def strengths(graph, kind=EdgeKind.ATTENTION):
    e = graph.edges.select(graph.edges.kind == kind)
    return {(h, q, k): s for h, q, k, s in zip(e.head, e.query, e.key, e.strength.tolist(), strict=True)}


HAND = [[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.05, 0.2, 0.75]]


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ("minmax", {(0, 2, 2): 1.0, (0, 0, 1): (0.3 - 0.05) / 0.7, (0, 2, 0): 0.0}),
        ("rank", {(0, 2, 2): 1.0, (0, 1, 1): 8 / 9, (0, 2, 0): 1 / 9, (0, 0, 1): 6 / 9, (0, 1, 2): 6 / 9}),
        (
            "lift",
            {
                (0, 2, 2): 1.0,
                (0, 1, 1): (np.log2(1.8) + 3) / (np.log2(2.25) + 3),
                (0, 2, 0): (np.log2(0.15) + 3) / (np.log2(2.25) + 3),
            },
        ),
        ("log", {(0, 2, 2): 1.0, (0, 1, 0): 1 + np.log10(0.1 / 0.75) / 5}),
        ("contribution", {(0, 2, 2): 1.0, (0, 0, 0): 0.5 / 3.0, (0, 0, 1): 0.6 / 3.0}),
    ],
)
def test_matches_strengths_worked_out_by_hand(build_trace, scale, expected):
    graph = build_graph(build_trace(HAND, norms=[1, 2, 4]), direction="directed", scale=scale)
    found = strengths(graph)
    for place, value in expected.items():
        assert found[place] == pytest.approx(value, abs=1e-6), place


def test_value_edges_are_ranked_by_contribution(build_trace):
    graph = build_graph(build_trace(HAND, norms=[1, 2, 4]), direction="directed")
    values = graph.edges.select(graph.edges.kind == EdgeKind.VALUE)
    np.testing.assert_array_equal(np.argsort(values.strength), np.argsort(values.contribution))


@pytest.mark.parametrize("scale", SCALES)
def test_a_uniform_head_is_flat_faint_and_flagged(build_trace, scale):
    peaked = np.eye(5) * 0.8 + 0.04
    trace = build_trace(np.stack([np.full((5, 5), 0.2), peaked]), norms=np.ones(10))
    graph = build_graph(trace, scale=scale)
    assert graph.calls[0].uniform == (0,)
    of_head = graph.edges.is_prunable & (graph.edges.head == 0)
    np.testing.assert_array_equal(graph.edges.strength[of_head], np.float32(FAINT))
    others = graph.edges.strength[graph.edges.is_prunable & (graph.edges.head == 1)]
    assert others.max() == 1


def test_noise_on_a_uniform_head_is_no_structure_but_a_bit_more_is(build_trace):
    noise = np.random.default_rng(0).uniform(-1, 1, (6, 6))
    noise -= noise.mean(-1, keepdims=True)
    for size, is_flat in ((0.005, True), (0.05, False)):
        graph = build_graph(build_trace(1 / 6 + size / 6 * noise))
        assert (graph.calls[0].uniform == (0,)) is is_flat


@pytest.mark.parametrize("scale", SCALES)
def test_a_one_hot_head_shows_its_edges_at_full_strength(build_trace, scale):
    one_hot = np.roll(np.eye(6), 1, axis=1)
    graph = build_graph(build_trace(one_hot, norms=np.ones(6), visible=6), scale=scale)
    attention = graph.edges.select(graph.edges.kind == EdgeKind.ATTENTION)
    assert len(attention) == 6
    np.testing.assert_array_equal(attention.strength, 1)


@pytest.mark.parametrize("scale", ["lift", "rank"])
def test_the_first_row_of_a_causal_head_does_not_saturate(build_trace, scale):
    weights = np.tril(np.random.default_rng(1).uniform(size=(8, 8)) ** 4)
    weights /= weights.sum(-1, keepdims=True)
    found = strengths(build_graph(build_trace(weights), direction="directed", scale=scale))
    assert found[0, 0, 0] < 0.75
    assert sorted(found.values())[-1] == pytest.approx(1)
    saturated = strengths(build_graph(build_trace(weights), direction="directed", scale="minmax"))
    assert saturated[0, 0, 0] == 1  # the baseline does, so this test can fail


def test_a_uniform_causal_head_is_uniform(build_trace):
    weights = np.tril(np.ones((6, 6))) / np.arange(1, 7)[:, None]
    assert build_graph(build_trace(weights)).calls[0].uniform == (0,)


def test_scales_are_worked_out_again_among_the_edges_that_stay(build_trace, random_rows):
    graph = build_graph(build_trace(random_rows(1, 8, 8)))
    few = graph.prune("top_k", k=1)
    inside = few.edges.select(few.edges.kind == EdgeKind.ATTENTION)
    assert inside.strength.min() == pytest.approx(1 / len(inside))
    assert inside.strength.max() == 1


def test_rescaling_gives_what_building_with_that_scale_gives(build_trace, random_rows):
    trace = build_trace(random_rows(2, 5, 5), norms=np.ones(10))
    for scale in SCALES:
        np.testing.assert_array_equal(
            build_graph(trace).rescale(scale).edges.strength, build_graph(trace, scale=scale).edges.strength
        )


def test_every_scale_rises_with_the_weight_of_a_row(build_trace):
    weights = np.array([[0.1, 0.2, 0.3, 0.4]] * 4)
    for scale in SCALES:
        found = strengths(
            build_graph(build_trace(weights, norms=np.ones(4)), direction="directed", scale=scale)
        )
        row = [found[0, 0, key] for key in range(4)]
        assert row == sorted(row)
        assert row[0] < row[-1]
