"""What edges bring to the residual, in blocks that put a norm or a feed-forward part between."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import headscape
from headscape.analysis.norms import block_norms, mixed_norms, mixing_ratio
from headscape.analysis.reaching import read_reaching
from headscape.analysis.routes import RouteKind, find_routes
from headscape.analysis.rows import whole_rows
from headscape.errors import NotKeptError

WIDTH, LENGTH = 12, 14


class Block(nn.Module):
    """Attention whose output meets a norm, or a feed-forward part beside it, before it joins."""

    def __init__(self, way):
        super().__init__()
        self.way = way
        self.attention = nn.MultiheadAttention(WIDTH, 3, batch_first=True)
        self.inner, self.outer = nn.Linear(WIDTH, 20), nn.Linear(20, WIDTH)
        self.before = nn.LayerNorm(WIDTH)
        self.after = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}.get(way, nn.Identity)(WIDTH)

    def forward(self, x):
        given = self.before(x)
        out = self.after(self.attention(given, given, given)[0])
        if self.way == "beside":
            return x + (out + self.outer(torch.relu(self.inner(given))))
        if self.way == "odd":
            return x + out * torch.sigmoid(self.inner(given)[..., :WIDTH])
        x = x + out
        return x + self.outer(torch.relu(self.inner(x)))


def seen(way, layers=2):
    torch.manual_seed(7)
    model = nn.Sequential(*(Block(way) for _ in range(layers)))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(1, LENGTH, WIDTH)
    with torch.no_grad(), headscape.capture(model, keep="all", states=True) as run:
        model(x)
    return model, x, run.trace


def brought(call):
    """Return what the edges bring as they reach the residual, and what is left."""
    states, rows = call.states(), whole_rows(call)
    found = read_reaching(call, states, rows)
    parts = found.rows[..., None] * found.carried[:, None]
    return found, parts, states.attention - parts.sum((0, 2))


@pytest.mark.parametrize(("way", "vectors"), [("plain", 1), ("rms", 1), ("layer", 2)])
def test_beside_the_edges_only_biases_join_the_residual(way, vectors):
    _, _, trace = seen(way)
    for call in trace.calls:
        found, parts, rest = brought(call)
        assert found.beside == "bias"
        # One bias, the scaled bias within a norm, or that and the norm's own: so many vectors make all rows.
        assert np.linalg.svd(rest)[1][vectors] < 2e-3 * np.abs(parts.sum((0, 2))).max()
        if way == "plain":
            np.testing.assert_allclose(rest, rest[[0]].repeat(LENGTH, 0), atol=2e-5)


@pytest.mark.parametrize("way", ["rms", "layer"])
@torch.no_grad()
def test_edges_behind_a_norm_are_those_of_plain_torch(way):
    model, x, trace = seen(way)
    block, call = model[0], trace.calls[0]
    plain = call.weights().astype(float)[..., None] * call.states().carried().astype(float)[:, None]
    given = block.before(x)
    total = block.attention(given, given, given)[0][0].double().numpy()
    gain = block.after.weight.double().numpy()
    if way == "layer":
        spread = np.sqrt(total.var(-1) + block.after.eps)
        wanted = (plain - plain.mean(-1, keepdims=True)) / spread[:, None, None] * gain
    else:
        spread = np.sqrt((total**2).mean(-1) + np.finfo(np.float32).eps)
        wanted = plain / spread[:, None, None] * gain
    _, parts, _ = brought(call)
    np.testing.assert_allclose(parts, wanted, atol=2e-3 * np.abs(wanted).max())
    joined, near = wanted.sum(0), 2e-3 * np.abs(wanted).sum((0, 3)).max()
    np.testing.assert_allclose(mixed_norms(call), np.linalg.norm(joined, axis=-1), atol=near)
    own = np.arange(LENGTH)
    kept = joined[own, own] + x[0].double().numpy()
    found = mixing_ratio(call)
    np.testing.assert_allclose(found.preserve, np.linalg.norm(kept, axis=-1), atol=near)
    mixed = np.linalg.norm(joined.sum(1) - joined[own, own], axis=-1)
    np.testing.assert_allclose(found.mix, mixed, atol=near)
    np.testing.assert_allclose(block_norms(call)[own, own], found.preserve)


def test_a_feed_forward_part_beside_the_attention_is_a_part_of_its_own():
    model, x, trace = seen("beside")
    found, _, rest = brought(trace.calls[0])
    assert found.beside == "feed-forward"
    with torch.no_grad():
        block = model[0]
        added = block.outer(torch.relu(block.inner(block.before(x))))[0] + block.attention.out_proj.bias
    np.testing.assert_allclose(rest, added, atol=1e-5)
    routes = find_routes(trace, tau=0)
    assert routes.mass == pytest.approx(1)
    assert routes.bias == 0
    kinds = routes.edges.kind.tolist()
    assert kinds.count(RouteKind.FEED_FORWARD) == 2 * LENGTH
    assert RouteKind.BYPASS not in kinds
    assert "feed-forward part" in routes.notes[0]


def test_what_no_norm_explains_is_refused_in_words():
    call = seen("odd")[2].calls[0]
    with pytest.raises(NotKeptError, match="cannot be divided"):
        mixing_ratio(call)
    with pytest.raises(NotKeptError, match="cannot be divided"):
        find_routes(seen("odd")[2], tau=0)


def test_an_output_that_was_not_seen_is_taken_as_it_would_be():
    call = seen("plain")[2].calls[0]
    bare = replace(call.states(), attention=None)
    assert read_reaching(call, bare, whole_rows(call)).beside == "bias"
