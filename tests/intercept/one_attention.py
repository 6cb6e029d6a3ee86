"""One attention run in many ways, and its gradients from autograd in float64: the independent road."""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import headscape

BATCH, TOKENS, HEADS, WIDTH = 2, 9, 4, 6


class Attention(nn.Module):
    """One attention of its own, run in one of several ways; "by hand" keeps its weights for autograd."""

    def __init__(self, way, *, value_heads=HEADS, causal=False, dropout=0.0):
        super().__init__()
        torch.manual_seed(1)
        self.way, self.causal, self.dropout, self.value_heads = way, causal, dropout, value_heads
        self.q = nn.Linear(12, HEADS * WIDTH)
        self.k = nn.Linear(12, value_heads * WIDTH)
        self.v = nn.Linear(12, value_heads * WIDTH)
        self.o = nn.Linear(HEADS * WIDTH, 12)

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (-1, WIDTH)).transpose(1, 2) for f in (self.q, self.k, self.v))
        return self.o(getattr(self, self.way)(q, k, v).transpose(1, 2).flatten(2))

    def sdpa(self, q, k, v):
        few = self.value_heads != HEADS
        return F.scaled_dot_product_attention(
            q, k, v, dropout_p=self.dropout, is_causal=self.causal, enable_gqa=few
        )

    def sdpa_folded(self, q, k, v):
        q, k, v = (t.flatten(0, 1) for t in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal).unflatten(0, (-1, HEADS))

    def weights(self, q, k):
        scores = q @ k.transpose(-2, -1) / WIDTH**0.5
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1) & self.causal
        return F.softmax(scores.masked_fill(hidden, -torch.inf), -1)

    def by_hand(self, q, k, v):
        repeats = HEADS // self.value_heads
        p = self.weights(q, k.repeat_interleave(repeats, 1))
        self.p = p
        if p.requires_grad:
            p.retain_grad()
        return F.dropout(p, self.dropout) @ v.repeat_interleave(repeats, 1)

    def folded(self, q, k, v):
        q, k, v = (t.flatten(0, 1) for t in (q, k, v))
        return torch.bmm(self.weights(q, k), v).unflatten(0, (-1, HEADS))


def states(*shape, seed=2):
    return torch.randn(*shape, 12, generator=torch.Generator().manual_seed(seed))


def loss_of(y):
    """Return a loss that tells every output number apart."""
    return (y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view(y.shape)).sum() + y.pow(3).sum()


def watched(model, x, **options):
    """Return the one call of a pass whose loss went backward."""
    with headscape.capture(model, gradients=True, strict=True, **options) as run:
        y = model(x)
    loss_of(y).backward()
    (call,) = run.trace.calls
    return call, run.trace


def truth(model, x):
    """Return (weights, their gradient) of the same maths in float64, from autograd."""
    model.__dict__.pop("p", None)  # part of a graph, which cannot be copied
    exact = copy.deepcopy(model).double()
    exact.way = "by_hand"
    loss_of(exact(x.double())).backward()
    p = exact.p
    return p.detach().numpy(), np.where(p.detach() > 0, p.grad, 0)


def check_equal(call, weights, gradient, *, tolerance=2e-5):
    """Compare every example with a (batch, head, query, key) truth, in whatever way the call lists keys."""
    scale = np.abs(gradient).max()
    assert scale > 0.1
    for example in range(call.shape[0]):
        found = call.gradient(example)
        if call.arrays.keys is None or call.is_whole:
            assert found.shape == call.shape[1:]
            np.testing.assert_allclose(found, gradient[example], atol=tolerance * scale)
            continue
        keys, kept = call.top(example)
        picked = np.where(keys < 0, 0, np.take_along_axis(gradient[example], np.maximum(keys, 0), -1))
        np.testing.assert_allclose(
            kept,
            np.where(keys < 0, 0, np.take_along_axis(weights[example], np.maximum(keys, 0), -1)),
            atol=1e-5,
        )
        np.testing.assert_allclose(found, picked, atol=tolerance * scale)
