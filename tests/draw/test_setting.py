import numpy as np
import pytest

from headscape.draw.setting import EDGES_PER_TOKEN, MOST_EDGES, NUCLEI, choose_pruning, prune_graph
from headscape.graph.build import build_graph
from headscape.graph.columns import EdgeKind, NodeKind
from headscape.trace.synthetic import example_trace


def choose_by_trying(graph):
    """Choose a pruning the long way: prune with every nucleus and count what is left."""
    nodes = graph.nodes
    tokens = [
        int(
            (
                (nodes.kind == NodeKind.TOKEN)
                & (nodes.plane == 0)
                & (nodes.side == call.query_side)
                & ~nodes.padded
            ).sum()
        )
        for call in graph.calls
    ]
    budgets = [max(1, min(int(EDGES_PER_TOKEN * n), MOST_EDGES // len(tokens))) for n in tokens]
    for share in NUCLEI:
        edges = graph.prune("nucleus", p=share).edges
        inside = np.isin(edges.kind, (EdgeKind.ATTENTION, EdgeKind.CROSS))
        if all((inside & (edges.call == call)).sum() <= most for call, most in enumerate(budgets)):
            return "nucleus", {"p": share}
    if len(set(tokens)) > 1:
        return "top_k", {"k": 1}
    return "strongest", {"n": budgets[0]}


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"heads": 1},
        {"layers": 6, "heads": 4},
        {"tokens": ["one"]},
        {"tokens": [str(n) for n in range(40)]},
        {"decoder": True},
        {"decoder": True, "heads": 6},
        {"padding": 5},
        {"k": 2},
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_the_chosen_pruning_is_the_one_that_trying_all_finds(made, seed):
    for direction in ("sum", "directed"):
        for heads in ("each", "mean"):
            graph = build_graph(example_trace(seed=seed, **made), 1, direction=direction, heads=heads)
            name, options = choose_by_trying(graph)
            assert choose_pruning(graph) == (name, options)
            drawn = prune_graph(graph, "auto")
            assert [str(p) for p in drawn.prunings] == [str(p) for p in graph.prune(name, **options).prunings]
            assert len(drawn.edges) == len(graph.prune(name, **options).edges)


def test_every_kind_of_choice_is_among_those_compared():
    small, wide, two_sides = (
        example_trace(heads=1),
        example_trace(heads=6, tokens=[str(n) for n in range(60)]),
        example_trace(decoder=True, heads=6),
    )
    assert choose_pruning(build_graph(small))[0] == "nucleus"
    assert choose_pruning(build_graph(wide)) == ("strongest", {"n": 180})
    assert choose_pruning(build_graph(two_sides)) == ("top_k", {"k": 1})


def test_the_rows_of_a_graph_are_sorted_once_however_many_shares_are_tried(monkeypatch):
    from headscape.graph import prune

    sorts = []
    falling = prune._falling
    monkeypatch.setattr(prune, "_falling", lambda entries: sorts.append(1) or falling(entries))
    graph = build_graph(example_trace(heads=6, tokens=[str(n) for n in range(60)]))
    assert choose_pruning(graph)[0] == "strongest"
    assert len(sorts) == 1
