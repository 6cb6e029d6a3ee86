"""Gradient x attention and relevance against a plain torch account with autograd."""

import numpy as np
import pytest
import torch
from torch import nn

import headscape
from headscape.analysis.answer import answer_rows
from headscape.analysis.relevance import chefer, gradient_attention
from headscape.errors import NotKeptError
from headscape.trace.synthetic import example_trace

WIDTH, HEADS, LENGTH = 12, 3, 6


class Written(nn.Module):
    """An encoder written by hand, whose weights anybody can keep, with a gate on each head."""

    def __init__(self, layers=3, classes=4):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(layers))
        self.outs = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(layers))
        self.head = nn.Linear(WIDTH, classes)
        self.gates = nn.Parameter(torch.ones(layers, HEADS))
        self.kept = []

    def forward(self, x):
        self.kept = []
        for n, (block, out) in enumerate(zip(self.blocks, self.outs, strict=True)):
            q, k, v = (
                part.view(*x.shape[:2], HEADS, -1).transpose(1, 2)
                for part in block(torch.tanh(x)).chunk(3, -1)
            )
            weights = (q @ k.transpose(-1, -2) / 2).softmax(-1)
            if weights.requires_grad:
                weights.retain_grad()
            self.kept.append(weights)
            mixed = (weights @ v) * self.gates[n][:, None, None]
            x = x + out(mixed.transpose(1, 2).reshape(x.shape))
        return self.head(x[:, 0])


def captured(model, x, number):
    with headscape.capture(model, keep="all", gradients=True) as run:
        out = model(x)
    number(out).backward()
    return run.trace


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(4)
    model = Written().eval()
    for parameter in (*model.blocks.parameters(), *model.outs.parameters(), *model.head.parameters()):
        nn.init.normal_(parameter, std=0.5)
    return model


@pytest.fixture(scope="module")
def x():
    return torch.randn(2, LENGTH, WIDTH, generator=torch.Generator().manual_seed(1))


def plain_relevance(model, x, example, target):
    """Rule by rule, from the weights that autograd retains."""
    model.zero_grad()
    model(x)[example, target].backward()
    r = torch.eye(LENGTH, dtype=torch.float64)
    for weights in model.kept:
        a = (weights.grad[example] * weights[example]).clamp(min=0).mean(0).detach().double()
        r = r + a @ r
    return r.numpy()


@pytest.mark.parametrize("target", [0, 2])
def test_relevance_matches_plain_autograd(model, x, target):
    for example in (0, 1):
        trace = captured(model, x, lambda out: out[example, target])  # noqa: B023
        found = chefer(trace, example)
        wanted = plain_relevance(model, x, example, target)
        np.testing.assert_allclose(found.maps[0][0], wanted, rtol=1e-4, atol=1e-6)
        rows = answer_rows(trace, example)
        np.testing.assert_allclose(rows, np.eye(LENGTH)[0], atol=1e-6)
        np.testing.assert_allclose(found.of(), (wanted - np.eye(LENGTH))[0], rtol=1e-4, atol=1e-6)
        assert (found.maps[0][0] >= np.eye(LENGTH)).all()


def test_relevance_differs_by_class_and_is_the_identity_without_a_gradient(model, x):
    maps = [chefer(captured(model, x, lambda out, n=n: out[0, n])).maps[0][0] for n in (0, 1)]
    assert np.abs(maps[0] - maps[1]).max() > 1e-3
    trace = captured(model, x, lambda out: (out * 0).sum())
    np.testing.assert_array_equal(chefer(trace).maps[0][0], np.eye(LENGTH))
    assert chefer(trace).of().tolist() == [0.0] * LENGTH


def test_a_heads_edges_sum_to_the_derivative_by_its_gate(model, x):
    trace = captured(model, x[:1], lambda out: out[0, 1])
    model.zero_grad()
    model(x[:1])[0, 1].backward()
    found = np.stack([gradient_attention(call).sum((1, 2)) for call in trace.calls])
    np.testing.assert_allclose(found, model.gates.grad.numpy(), rtol=1e-4, atol=1e-6)


def plain_sides(cams):
    """Chefer's rules for an encoder (side 0) and a decoder (side 1), in their order of execution."""
    enc, dec, cross = np.eye(5), np.eye(3), np.zeros((3, 5))

    def normalised(r):
        taken = r - np.eye(len(r))
        return taken / taken.sum(-1, keepdims=True) + np.eye(len(r))

    for kind, a in cams:
        if kind == "encoder":
            enc = enc + a @ enc
        elif kind == "decoder":
            dec, cross = dec + a @ dec, cross + a @ cross
        else:
            cross = cross + normalised(dec).T @ a @ normalised(enc)
    return enc, dec, cross


def test_a_decoder_follows_the_rules_for_two_sides():
    torch.manual_seed(0)
    model = nn.Transformer(12, 2, 2, 2, 16, dropout=0.0, batch_first=True)
    source, target = torch.randn(1, 5, 12), torch.randn(1, 3, 12)
    with headscape.capture(model, keep="all", gradients=True) as run:
        out = model(source, target)
    out[0, -1, 3].backward()
    trace = run.trace
    names = [side.name for side in trace.sides]
    at = {"source": names.index("source"), "target": names.index("target")}
    cams = []
    for call in trace.calls:
        kind = "cross" if call.kind == "cross" else ("encoder", "decoder")[call.query_side == at["target"]]
        cams.append((kind, np.maximum(call.gradient() * call.weights(), 0).mean(0).astype(float)))
    assert [kind for kind, _ in cams] == ["encoder"] * 2 + ["decoder", "cross"] * 2
    enc, dec, cross = plain_sides(cams)
    found = chefer(trace)
    np.testing.assert_allclose(found.maps[at["source"]][at["source"]], enc, rtol=1e-5)
    np.testing.assert_allclose(found.maps[at["target"]][at["target"]], dec, rtol=1e-5)
    np.testing.assert_allclose(found.maps[at["target"]][at["source"]], cross, rtol=1e-5, atol=1e-9)
    assert found.maps[at["source"]][at["target"]].max() == 0
    assert found.of(at["source"]).min() > 0


class Crossing(nn.Module):
    """Two stacks that read each other: a reads b, then b reads a, then a reads b again."""

    def __init__(self):
        super().__init__()
        self.own = nn.ModuleList(nn.MultiheadAttention(8, 2, batch_first=True) for _ in range(2))
        self.cross = nn.ModuleList(nn.MultiheadAttention(8, 2, batch_first=True) for _ in range(3))

    def forward(self, a, b):
        a, b = a + self.own[0](a, a, a)[0], b + self.own[1](b, b, b)[0]
        a = a + self.cross[0](a, b, b)[0]
        b = b + self.cross[1](b, a, a)[0]
        a = a + self.cross[2](a, b, b)[0]
        return a[:, 0]


def test_sides_that_read_each_other_get_back_what_they_gave():
    torch.manual_seed(0)
    model = Crossing()
    with headscape.capture(model, keep="all", gradients=True) as run:
        out = model(torch.randn(1, 4, 8), torch.randn(1, 3, 8))
    out[0, 2].backward()
    trace = run.trace
    assert [call.kind for call in trace.calls] == ["self", "self", "cross", "cross", "cross"]
    maps = [np.maximum(call.gradient() * call.weights(), 0).mean(0).astype(float) for call in trace.calls]

    def bar(r):
        taken = r - np.eye(len(r))
        return taken / taken.sum(-1, keepdims=True) + np.eye(len(r))

    aa, bb = np.eye(4) + maps[0], np.eye(3) + maps[1]
    ab, ba = bar(aa).T @ maps[2] @ bar(bb), np.zeros((3, 4))
    ba, bb = bar(bb).T @ maps[3] @ bar(aa), bb + maps[3] @ ab
    ab, aa = ab + bar(aa).T @ maps[4] @ bar(bb), aa + maps[4] @ ba
    first = trace.calls[0].query_side
    found = chefer(trace).maps
    for side, other, wanted in ((0, 0, aa), (0, 1, ab), (1, 0, ba), (1, 1, bb)):
        np.testing.assert_allclose(found[side ^ first][other ^ first], wanted, rtol=1e-5, atol=1e-12)


def test_padding_is_left_out():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 8, dropout=0.0, batch_first=True)
    x, hidden = torch.randn(1, 5, 8), torch.tensor([[False, False, False, True, True]])
    traces = []
    for given, mask in ((x, hidden), (x[:, :3], None)):
        with headscape.capture(layer, keep="all", gradients=True) as run:
            out = layer(given, src_key_padding_mask=mask)
        out[0, 0, 1].backward()
        traces.append(run.trace)
    found, bare = (chefer(trace) for trace in traces)
    np.testing.assert_allclose(found.maps[0][0][:3, :3], bare.maps[0][0], rtol=1e-4, atol=1e-6)
    assert np.isnan(found.maps[0][0][3:]).all()
    assert found.of()[3:].tolist() == [0, 0]


def test_what_is_missing_is_said(model, x):
    with pytest.raises(NotKeptError, match="gradients=True"):
        chefer(example_trace())
    with headscape.capture(model, keep="all", gradients=True) as run:
        model(x)
    with pytest.raises(NotKeptError, match="backward"):
        chefer(run.trace)
    with pytest.raises(NotKeptError, match='keep="all"'):
        gradient_attention(example_trace(k=2).calls[0])
