"""Information-flow routes against a plain account of the same model, and identities of the definition."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import headscape
from headscape.analysis.parts import part_shares, read_parts
from headscape.analysis.route_graph import keep_routes, prune_to_routes
from headscape.analysis.routes import RouteKind, find_routes
from headscape.errors import NotKeptError, OptionError, ShapeError
from headscape.graph.build import build_graph
from headscape.graph.columns import EdgeKind
from headscape.trace.synthetic import example_trace

WIDTH, HEADS, LENGTH, LAYERS = 12, 3, 6, 3


class Small(nn.Module):
    """A causal language model of encoder layers."""

    def __init__(self, *, norm_first):
        super().__init__()
        self.table = nn.Embedding(11, WIDTH)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, HEADS, 16, dropout=0.0, batch_first=True, norm_first=norm_first)
            for _ in range(LAYERS)
        )
        self.head = nn.Linear(WIDTH, 11)

    def forward(self, ids):
        x = self.table(ids)
        mask = torch.full((ids.shape[1],) * 2, -torch.inf).triu(1)
        for layer in self.layers:
            x = layer(x, src_mask=mask)
        return self.head(x)


@pytest.fixture(scope="module", params=[False, True], ids=["post-norm", "pre-norm"])
def seen(request):
    torch.manual_seed(5)
    model = Small(norm_first=request.param).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    ids = torch.randint(0, 11, (1, LENGTH))
    with torch.no_grad(), headscape.capture(model, keep="all", values=True, states=True) as run:
        model(ids)
    return model, ids, run.trace


def nearness(whole, part):
    return max(np.abs(whole).sum() - np.abs(whole - part).sum(), 1e-5)


@torch.no_grad()
def plain_account(model, ids):
    """Work out each layer's shares of (query, key) edges, residual, bias and feed-forward part by part."""
    x, layers = model.table(ids)[0], []
    for layer in model.layers:
        attention = layer.self_attn
        given = layer.norm1(x) if layer.norm_first else x
        q, k, v = (given @ attention.in_proj_weight.T + attention.in_proj_bias).chunk(3, -1)
        split = WIDTH // HEADS
        parts = torch.zeros(HEADS, LENGTH, LENGTH, WIDTH)
        for h in range(HEADS):
            own = slice(h * split, (h + 1) * split)
            scores = q[:, own] @ k[:, own].T / split**0.5
            a = scores.masked_fill(torch.ones(LENGTH, LENGTH).triu(1).bool(), -torch.inf).softmax(-1)
            parts[h] = a[..., None] * (v[:, own] @ attention.out_proj.weight[:, own].T)[None]
        bias = attention.out_proj.bias
        middle = x + parts.sum((0, 2)) + bias
        stream = middle if layer.norm_first else layer.norm1(middle)
        inner = layer.norm2(stream) if layer.norm_first else stream
        added = layer.linear2(torch.relu(layer.linear1(inner)))
        edge, residual, rest, forward = (np.zeros(s) for s in ((LENGTH, LENGTH), LENGTH, LENGTH, LENGTH))
        for i in range(LENGTH):
            y = middle[i].double().numpy()
            near = {("x",): nearness(y, x[i].numpy()), ("b",): nearness(y, bias.numpy())}
            for h in range(HEADS):
                for j in range(i + 1):
                    near[h, j] = nearness(y, parts[h, i, j].numpy())
            total = sum(near.values())
            residual[i], rest[i] = near["x",] / total, near["b",] / total
            for h in range(HEADS):
                for j in range(i + 1):
                    edge[i, j] += near[h, j] / total
            out = (stream + added)[i].double().numpy()
            pair = nearness(out, added[i].numpy()), nearness(out, stream[i].numpy())
            forward[i] = pair[0] / sum(pair)
        layers.append((edge, residual, rest, forward))
        x = stream + added if layer.norm_first else layer.norm2(stream + added)
    return layers


def plain_search(layers, tau):
    """Search from the last token down; return edges by (kind, layer, query, key), and what inputs bring."""
    reached, found = {LENGTH - 1: 1.0}, {}
    for n in reversed(range(LAYERS)):
        edge, residual, _, forward = layers[n]
        below = {}
        for i, share in reached.items():
            passed = 0.0
            for kind, part in ((RouteKind.FEED_FORWARD, forward[i]), (RouteKind.BYPASS, 1 - forward[i])):
                if part > tau:
                    found[kind, n, i, i] = share * part
                    passed += part
            if passed == 0:
                continue
            ways = [(RouteKind.RESIDUAL, i, residual[i])]
            ways += [(RouteKind.ATTENTION, j, edge[i, j]) for j in range(i + 1)]
            for kind, j, part in ways:
                if part > tau:
                    found[kind, n, i, j] = share * passed * part
                    below[j] = below.get(j, 0) + share * passed * part
        reached = below
    return found, reached


def as_dict(routes):
    e = routes.edges
    names = zip(e.kind.tolist(), e.layer.tolist(), e.query.tolist(), e.key.tolist(), strict=True)
    return dict(zip(names, e.importance.tolist(), strict=True))


@pytest.mark.parametrize("tau", [0.0, 0.03, 0.1, 0.3, 0.6])
def test_routes_match_a_plain_search_on_the_same_model(seen, tau):
    model, ids, trace = seen
    found, inputs = plain_search(plain_account(model, ids), tau)
    routes = find_routes(trace, tau=tau, token=LENGTH - 1)
    mine = as_dict(routes)
    assert mine.keys() == found.keys()
    for name, importance in found.items():
        assert mine[name] == pytest.approx(importance, abs=2e-5), name
    for token in range(LENGTH):
        assert routes.inputs[0][token] == pytest.approx(inputs.get(token, 0), abs=2e-5)
    assert routes.mass == pytest.approx(sum(inputs.values()), abs=5e-5)


def test_shares_of_a_state_sum_to_one(seen):
    for call in seen[2].calls:
        found = read_parts(call, 0, np.arange(LENGTH))
        total = found.attention.sum((0, 2)) + found.residual + found.bias
        np.testing.assert_allclose(total, 1, atol=1e-12)
        assert np.triu(found.attention.sum(0), 1).max() == 0


def test_without_a_cut_all_of_the_answer_comes_from_inputs_and_biases(seen):
    routes = find_routes(seen[2], tau=0)
    assert routes.mass + routes.bias == pytest.approx(1)
    assert routes.mass == pytest.approx(sum(one.sum() for one in routes.inputs))
    assert routes.bias > 0.001
    last = routes.nodes.select(routes.nodes.plane == 0)
    assert last.importance.sum() == pytest.approx(routes.mass)


def test_a_larger_tau_gives_a_subgraph(seen):
    before = find_routes(seen[2], tau=0)
    for tau in (0.01, 0.05, 0.1, 0.2, 0.4, 0.7):
        after = find_routes(seen[2], tau=tau)
        assert as_dict(after).keys() <= as_dict(before).keys()
        states = [
            set(zip(r.nodes.plane.tolist(), r.nodes.token.tolist(), strict=True)) for r in (after, before)
        ]
        assert states[0] <= states[1]
        assert after.mass <= before.mass + 1e-12
        before = after
    assert len(before.edges) < 10


def test_a_part_alone_has_all_and_a_part_pointing_away_next_to_nothing():
    assert part_shares([1.0, -2.0], [[1.0, -2.0]]).tolist() == [1.0]
    # |y| = 3; without the first part 1, without the second 2: shares 2/3, 1/3.
    np.testing.assert_allclose(part_shares([2.0, 1.0], [[2.0, 0.0], [0.0, 1.0]]), [2 / 3, 1 / 3])
    away = part_shares([1.0, 1.0], [[2.0, 1.0], [-1.0, 0.0]])
    np.testing.assert_allclose(away, [1 / (1 + 1e-5), 1e-5 / (1 + 1e-5)])
    # On the other axis the whole only grows: nearness 1e-5 against the other's 1.
    beside = part_shares([1.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(beside, [1 / (1 + 1e-5), 1e-5 / (1 + 1e-5)])
    with pytest.raises(ShapeError, match="at least one part"):
        part_shares([1.0], np.zeros((0, 1)))


def test_cutting_blocks_of_queries_changes_nothing(seen, monkeypatch):
    whole = find_routes(seen[2], tau=0.02)
    monkeypatch.setattr("headscape.analysis.parts.MOST_NUMBERS", 1)
    blocks = find_routes(seen[2], tau=0.02)
    np.testing.assert_allclose(blocks.edges.weight, whole.edges.weight, atol=1e-6)


def test_a_decoders_routes_reach_the_source():
    torch.manual_seed(1)
    model = nn.Transformer(12, 2, 2, 2, 16, dropout=0.0, batch_first=True).eval()
    source, target = torch.randn(1, 5, 12), torch.randn(1, 3, 12)
    with torch.no_grad(), headscape.capture(model, keep="all", states=True) as run:
        model(source, target)
    sides = [side.name for side in run.trace.sides]
    routes = find_routes(run.trace, tau=0)
    assert routes.mass + routes.bias == pytest.approx(1)
    assert routes.inputs[sides.index("source")].min() > 0
    nodes = routes.nodes
    top = nodes.select((nodes.side == sides.index("source")) & (nodes.plane == 2))
    assert top.token.tolist() == [0, 1, 2, 3, 4]
    crossing = build_graph(run.trace)
    kept = prune_to_routes(crossing, find_routes(run.trace, tau=0.05))
    assert 0 < (kept.edges.kind == EdgeKind.CROSS).sum() < (crossing.edges.kind == EdgeKind.CROSS).sum()
    # a decoder's self-attention has no feed-forward part of its own
    cross = [call for call in run.trace.calls if call.kind == "cross"]
    plain = [c for c in run.trace.calls if c.kind == "self" and c.query_side == cross[0].query_side]
    own = routes.edges.select(np.isin(routes.edges.layer, [call.layer for call in plain]))
    assert RouteKind.FEED_FORWARD not in own.kind
    assert plain[0].site in routes.notes[0]


@pytest.mark.parametrize("direction", ["sum", "directed"])
def test_a_graph_keeps_the_edges_on_routes_and_no_other(seen, direction):
    routes = find_routes(seen[2], tau=0.1)
    graph = build_graph(seen[2], direction=direction, heads="mean")
    small = prune_to_routes(graph, routes)
    on = {name[1:] for name in as_dict(routes) if name[0] == RouteKind.ATTENTION}
    e = small.edges.select(small.edges.kind == EdgeKind.VALUE)
    assert set(zip(e.layer.tolist(), e.query.tolist(), e.key.tolist(), strict=True)) == on
    e = small.edges.select(small.edges.kind == EdgeKind.ATTENTION)
    pairs = set(zip(e.layer.tolist(), e.query.tolist(), e.key.tolist(), strict=True))
    assert pairs == on
    e = small.edges.select(small.edges.kind == EdgeKind.RESIDUAL)
    past = {name[1:3] for name in as_dict(routes) if name[0] == RouteKind.RESIDUAL}
    assert set(zip(e.layer.tolist(), e.query.tolist(), strict=True)) == past
    assert str(small.prunings[-1]) == "routes tau=0.1"
    assert f"{routes.mass:.1%} of the answer" in small.notes[-1]


def test_of_each_edge_only_heads_that_bring_their_part_stay(seen):
    routes = find_routes(seen[2], tau=0.1)
    graph = build_graph(seen[2], direction="directed")
    e = graph.edges.select(keep_routes(graph.edges, routes))
    e = e.select(e.kind == EdgeKind.VALUE)
    kept = set(zip(e.layer.tolist(), e.query.tolist(), e.key.tolist(), e.head.tolist(), strict=True))
    r = routes.edges
    wanted = {
        (r.layer[n], r.query[n], r.key[n], head)
        for n in np.flatnonzero(r.kind == RouteKind.ATTENTION)
        for head in range(HEADS)
        if r.heads[n, head] >= r.heads[n].mean()
    }
    assert kept == wanted
    np.testing.assert_allclose(
        r.heads.sum(-1)[r.kind == RouteKind.ATTENTION], r.weight[r.kind == RouteKind.ATTENTION]
    )


def test_a_state_whose_halves_are_both_cut_ends_the_route(seen):
    calls = list(seen[2].calls)
    arrays = calls[-1].state_arrays
    calls[-1] = replace(calls[-1], state_arrays=replace(arrays, feed_forward=arrays.stream))
    halves = replace(seen[2], calls=tuple(calls))
    assert len(find_routes(halves, tau=0.49, token=LENGTH - 1).edges) >= 2
    assert len(find_routes(halves, tau=0.5, token=LENGTH - 1).edges) == 0
    assert find_routes(halves, tau=0.5, token=LENGTH - 1).mass == 0


def test_a_query_that_sees_nothing_takes_nothing(seen):
    call, bias = seen[2].calls[0], seen[0].layers[0].self_attn.out_proj.bias.detach().numpy()
    arrays, states = call.arrays, call.state_arrays
    weights, visible, attention = arrays.weights.copy(), arrays.visible.copy(), states.attention.copy()
    weights[..., 0, :], visible[..., 0], attention[:, 0] = 0, 0, bias
    blind = replace(
        call,
        arrays=replace(arrays, weights=weights, visible=visible),
        state_arrays=replace(states, attention=attention),
    )
    found = read_parts(blind, 0, np.arange(LENGTH))
    assert found.attention[:, 0].sum() == 0
    assert found.residual[0] + found.bias[0] == pytest.approx(1)
    np.testing.assert_allclose(found.attention[:, 1:].sum((0, 2)) + (found.residual + found.bias)[1:], 1)


def test_an_undirected_edge_stays_where_either_direction_is_on_a_route():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 1, 8, dropout=0.0, batch_first=True).eval()
    nn.init.normal_(layer.self_attn.in_proj_weight, std=1.0)
    with torch.no_grad(), headscape.capture(layer, keep="all", states=True) as run:
        layer(torch.randn(1, 5, 8))
    graph = build_graph(run.trace)
    named = graph.edges.select(graph.edges.kind == EdgeKind.ATTENTION)
    for token in range(5):
        routes = find_routes(run.trace, tau=0.0, token=token)
        e = graph.edges.select(keep_routes(graph.edges, routes))
        e = e.select(e.kind == EdgeKind.ATTENTION)
        assert set(zip(e.query.tolist(), e.key.tolist(), strict=True)) == {
            (q, k) for q, k in zip(named.query.tolist(), named.key.tolist(), strict=True) if token in (q, k)
        }


def test_a_figure_draws_the_routes_only(seen):
    routes = find_routes(seen[2], tau=0.2)
    drawn = seen[2].figure(prune=routes)
    assert "routes" in " ".join(text.get_text() for text in drawn.findobj(lambda a: hasattr(a, "get_text")))


def test_padding_takes_no_part():
    torch.manual_seed(2)
    layer = nn.TransformerEncoderLayer(8, 2, 8, dropout=0.0, batch_first=True).eval()
    x, hidden = torch.randn(1, 5, 8), torch.tensor([[False, False, False, True, True]])
    with torch.no_grad(), headscape.capture(layer, keep="all", states=True) as run:
        layer(x, src_key_padding_mask=hidden)
    routes = find_routes(run.trace, tau=0)
    assert routes.mass + routes.bias == pytest.approx(1)
    assert routes.inputs[0][3:].tolist() == [0, 0]
    with torch.no_grad(), headscape.capture(layer, keep="all", states=True) as run:
        layer(x[:, :3])
    np.testing.assert_allclose(find_routes(run.trace, tau=0).inputs[0], routes.inputs[0][:3], atol=1e-5)


def test_what_is_missing_is_said(seen):
    with pytest.raises(NotKeptError, match="states=True"):
        find_routes(example_trace())
    with pytest.raises(OptionError, match="tau=1"):
        find_routes(seen[2], tau=1.0)
    calls = list(seen[2].calls)
    arrays = calls[1].state_arrays
    calls[1] = replace(calls[1], state_arrays=replace(arrays, residual=None))
    with pytest.raises(NotKeptError, match="routes cannot pass it"):
        find_routes(replace(seen[2], calls=tuple(calls)))
    nothing = find_routes(seen[2], tau=0.9)
    nothing = replace(nothing, edges=nothing.edges.select(np.zeros(0, int)))
    graph = build_graph(replace(example_trace(layers=1), outputs=None))
    with pytest.raises(OptionError, match="smaller tau"):
        prune_to_routes(graph, nothing)
