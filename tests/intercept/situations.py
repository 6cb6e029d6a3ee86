"""Small models, their attention worked out by hand, and the one check that every situation must pass."""

import contextlib

import numpy as np
import torch
from tests.intercept.by_hand import array, linear, norm, softmax, split
from torch import nn
from torch.nn import functional as F

import headscape

WIDTH, HEADS, LAYERS = 16, 4, 2


def by_kernel(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def by_hand(q, k, v):
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
    return torch.softmax(scores.masked_fill(later, -torch.inf), -1) @ v


def in_place(q, k, v):
    """Scale, mask and normalise the scores without a second tensor."""
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k)
    scores.mul_(q.shape[-1] ** -0.5)
    scores.masked_fill_(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -torch.inf)
    scores -= scores.detach().amax(-1, keepdim=True)
    weights = scores.exp()
    weights = weights / weights.sum(-1, keepdim=True)
    return torch.einsum("bhqk,bhkd->bhqd", weights, v)


MIXES = {"kernel": by_kernel, "hand": by_hand, "in place": in_place}


class Attention(nn.Module):
    """Causal self-attention, mixed in one of several ways."""

    def __init__(self, mix="hand"):
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mix = MIXES[mix]

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        return self.out(self.mix(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, mix="hand", dropout=0.0):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn = Attention(mix)
        self.linear1, self.linear2 = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.drop = nn.Dropout(dropout)

    def forward(self, x):
        x = x + self.drop(self.attn(self.norm1(x)))
        return x + self.linear2(torch.relu(self.linear1(self.norm2(x))))


class Stack(nn.Module):
    """Two blocks and a head over three classes."""

    def __init__(self, mix="hand", dropout=0.0, run=lambda block, x: block(x)):
        super().__init__()
        self.layers = nn.ModuleList(Block(mix, dropout) for _ in range(LAYERS))
        self.head = nn.Linear(WIDTH, 3)
        self.run = run

    def forward(self, x):
        for block in self.layers:
            x = self.run(block, x)
        return self.head(x)


PATHS = [f"layers.{n}.attn" for n in range(LAYERS)]


def make(mix="hand", seed=0, **options):
    torch.manual_seed(seed)
    return Stack(mix, **options).eval()


def inputs(batch=2, length=6, dtype=torch.float32):
    return torch.randn(batch, length, WIDTH, generator=torch.Generator().manual_seed(3)).to(dtype)


def block_truth(block, x):
    """Return weights and output of one block in float64, from its parameters."""
    q, k, v = (
        split(part, HEADS)
        for part in np.split(linear(norm(block.norm1, x), block.attn.qkv.weight, block.attn.qkv.bias), 3, -1)
    )
    scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[-1])
    weights = softmax(np.where(np.triu(np.ones(scores.shape[-2:], bool), 1), -np.inf, scores))
    mixed = (weights @ v).transpose(0, 2, 1, 3).reshape(x.shape)
    x = x + linear(mixed, block.attn.out.weight, block.attn.out.bias)
    hidden = np.maximum(linear(norm(block.norm2, x), block.linear1.weight, block.linear1.bias), 0)
    return weights, x + linear(hidden, block.linear2.weight, block.linear2.bias)


def truth(blocks, x):
    """Return each block's weights (batch, head, query, key) in float64."""
    found, x = [], array(x)
    for block in blocks:
        weights, x = block_truth(block, x)
        found.append(weights)
    return found


def expect(trace, expected, paths=PATHS, *, sites=None, atol=2e-6, warnings=()):
    """Assert that a trace holds these weights, at these paths, and nothing else."""
    assert [call.path for call in trace.calls] == list(paths)
    assert [call.site for call in trace.calls] == list(sites or paths)
    assert trace.warnings == warnings
    for call, weights in zip(trace.calls, expected, strict=True):
        assert call.shape == weights.shape
        for example in range(call.shape[0]):
            np.testing.assert_allclose(call.weights(example), weights[example], rtol=0, atol=atol)


def same(a, b):
    """Assert that two results are the same bits."""
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
    else:
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            same(one, other)


def one_pass(call, model, x, *, backward=False):
    """Return output, gradients and the next random number of one seeded pass."""
    torch.manual_seed(11)
    model.zero_grad()
    x = x.clone().requires_grad_(backward)
    with contextlib.nullcontext() if backward else torch.no_grad():
        output = call(x)
    gradients = []
    if backward:
        output.float().pow(2).sum().backward()
        gradients = [x.grad, *(p.grad for p in model.parameters())]
        assert all(g is not None for g in gradients)
    return [output.detach().clone(), *gradients, torch.rand(3)]


def state_of(model):
    """Return what a capture could leave on a model."""
    return {
        name: (
            set(vars(m)),
            *(len(vars(m)[hooks]) for hooks in vars(m) if hooks.endswith("_hooks")),
        )
        for name, m in model.named_modules()
    }


def captured(model, x, *, call=None, backward=False, inside=False, **options):
    """Run one pass plain and one watched, hold them to the same bits, and return the trace.

    ``inside``: backward runs before the capture ends.
    """
    call = call or model
    before = state_of(model)
    plain = one_pass(call, model, x, backward=backward)
    if inside or not backward:
        with headscape.capture(model, keep="all", **options) as run:
            seen = one_pass(call, model, x, backward=backward)
    else:
        seen, run = _backward_after(call, model, x, options)
    same(plain, seen)
    assert state_of(model) == before
    assert len(run.traces) == 1
    same(plain, one_pass(call, model, x, backward=backward))
    return run.trace


def _backward_after(call, model, x, options):
    torch.manual_seed(11)
    model.zero_grad()
    x = x.clone().requires_grad_()
    with headscape.capture(model, keep="all", **options) as run:
        output = call(x)
    output.float().pow(2).sum().backward()
    return [output.detach().clone(), x.grad, *(p.grad for p in model.parameters()), torch.rand(3)], run
