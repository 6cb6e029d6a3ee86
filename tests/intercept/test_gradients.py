"""Gradients of weights equal those that autograd gives a matrix of weights that stands in the graph."""

import copy

import numpy as np
import pytest
import torch
from tests.intercept.one_attention import (
    BATCH,
    HEADS,
    TOKENS,
    Attention,
    check_equal,
    loss_of,
    states,
    truth,
    watched,
)
from torch import nn
from torch.nn import functional as F

import headscape
from headscape.intercept import gradients as module
from headscape.intercept import recorder


@pytest.mark.parametrize("keep", ["all", 3, {"threshold": 0.05}])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("value_heads", [4, 2, 1])
def test_kernel_gradients_equal_those_of_the_same_maths_in_float64(keep, causal, value_heads):
    model, x = Attention("sdpa", value_heads=value_heads, causal=causal), states(BATCH, TOKENS)
    call, _ = watched(model, x, keep=keep)
    check_equal(call, *truth(model, x))


@pytest.mark.parametrize("keep", ["all", 3])
@pytest.mark.parametrize("way", ["by_hand", "folded", "sdpa_folded"])
@pytest.mark.parametrize("causal", [False, True])
def test_gradients_equal_autograds_however_the_heads_lie(keep, way, causal):
    model, x = Attention(way, causal=causal), states(BATCH, TOKENS)
    call, _ = watched(model, x, keep=keep)
    assert call.source == ("sdpa" if way == "sdpa_folded" else "written")
    assert call.shape == (BATCH, HEADS, TOKENS, TOKENS)
    check_equal(call, *truth(model, x))


def test_gradients_are_worked_out_in_blocks(monkeypatch):
    model, x = Attention("sdpa"), states(BATCH, TOKENS)
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * BATCH * HEADS * TOKENS * 2)  # two rows at a time
    sizes = []
    matmul = torch.matmul
    monkeypatch.setattr(torch, "matmul", lambda a, b: sizes.append(a.shape[2]) or matmul(a, b))
    weights, gradient = truth(model, x)
    sizes.clear()
    call, _ = watched(model, x, keep=3)
    assert sizes[-5:] == [2, 2, 2, 2, 1]
    check_equal(call, weights, gradient)


class Mha(nn.Module):
    """nn.MultiheadAttention, and the same maths by hand."""

    def __init__(self, *, need_weights, batch_first):
        super().__init__()
        torch.manual_seed(3)
        self.attention = nn.MultiheadAttention(12, 4, batch_first=batch_first, add_bias_kv=True)
        self.need_weights = need_weights

    def forward(self, x, memory):
        return self.attention(x, memory, memory, need_weights=self.need_weights)[0]

    def by_hand(self, x, memory):
        a = self.attention
        (wq, wk, wv), (bq, bk, bv) = a.in_proj_weight.chunk(3), a.in_proj_bias.chunk(3)
        q, k, v = F.linear(x, wq, bq), F.linear(memory, wk, bk), F.linear(memory, wv, bv)
        k, v = (torch.cat([t, bias.expand(len(t), 1, 12)], 1) for t, bias in ((k, a.bias_k), (v, a.bias_v)))
        q, k, v = (t.unflatten(-1, (4, 3)).transpose(1, 2) for t in (q, k, v))
        self.p = F.softmax(q @ k.transpose(-2, -1) / 3**0.5, -1)
        self.p.retain_grad()
        return a.out_proj((self.p @ v).transpose(1, 2).flatten(2))


@pytest.mark.parametrize("keep", ["all", 3])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_gradients_of_torch_nns_attention_equal_those_by_hand(keep, need_weights, batch_first):
    model = Mha(need_weights=need_weights, batch_first=batch_first)
    x, memory = states(2, 5), states(2, 7, seed=4)
    exact = copy.deepcopy(model).double()
    loss_of(exact.by_hand(x.double(), memory.double())).backward()
    given = (x, memory) if batch_first else (x.transpose(0, 1), memory.transpose(0, 1))
    with headscape.capture(model, keep=keep, gradients=True, strict=True) as run:
        y = model(*given)
    loss_of(y if batch_first else y.transpose(0, 1)).backward()
    check_equal(run.trace.calls[0], exact.p.detach().numpy(), exact.p.grad.numpy())


class Windows(nn.Module):
    """Attention within windows of a 4 x 6 picture, shifted by one, the windows folded into the batch."""

    def __init__(self):
        super().__init__()
        self.inner = Attention("by_hand")

    def forward(self, x):
        rolled = x.view(-1, 4, 6, 12).roll((-1, -1), (1, 2))
        cut = rolled.view(-1, 2, 2, 3, 2, 12).transpose(2, 3).reshape(-1, 4, 12)
        back = self.inner(cut).view(-1, 2, 3, 2, 2, 12).transpose(2, 3).reshape(-1, 4, 6, 12)
        return back.roll((1, 1), (1, 2)).flatten(1, 2)


@pytest.mark.parametrize("keep", ["all", 2])
def test_gradients_in_windows_stand_at_their_tokens(keep):
    model, x = Windows(), states(BATCH, 24)
    numbers = torch.arange(24.0).view(1, 24, 1).expand(BATCH, 24, 12)
    cut = numbers.reshape(-1, 4, 6, 12).roll((-1, -1), (1, 2)).view(-1, 2, 2, 3, 2, 12).transpose(2, 3)
    tokens = cut.reshape(BATCH, 6, 4, 12)[..., 0].long().numpy()
    with headscape.capture(model, keep=keep, gradients=True, strict=True) as run:
        y = model(x)
    loss_of(y).backward()
    (call,) = run.trace.calls
    p = model.inner.p
    full = np.zeros((2, BATCH, HEADS, 24, 24), np.float32)
    for group, (w, g) in enumerate(zip(p.detach().numpy(), p.grad.numpy(), strict=True)):
        example, window = divmod(group, 6)
        at = tokens[example, window]
        full[0, example][:, at[:, None], at[None]] = w
        full[1, example][:, at[:, None], at[None]] = g
    assert (call.shape, call.is_whole) == ((BATCH, HEADS, 24, 24), keep == "all")
    check_equal(call, full[0], full[1])


def test_backward_passes_add_up():
    model, x = Attention("sdpa"), states(BATCH, TOKENS)
    with headscape.capture(model, gradients=True) as run:
        y = model(x)
    call = run.trace.calls[0]
    y.sum().backward(retain_graph=True)
    first = call.gradient().copy()
    y.pow(2).sum().backward(retain_graph=True)
    both = call.gradient().copy()
    y.sum().backward()
    np.testing.assert_allclose(call.gradient(), both + first, rtol=1e-5, atol=1e-5)
    assert np.abs(both - 2 * first).max() > 0.1


def test_calls_cut_to_top_k_after_they_were_recorded_still_line_up(monkeypatch):
    model = nn.Sequential(Attention("sdpa"), Attention("sdpa"))
    x = states(BATCH, 40)
    monkeypatch.setattr(recorder, "DENSE_LIMIT_BYTES", 4 * BATCH * HEADS * 40 * 40)
    with headscape.capture(model, gradients=True, strict=True) as run:
        y = model(x)
    assert [call.k for call in run.trace.calls] == [16, 16]
    loss_of(y).backward()
    exact = copy.deepcopy(model).double()
    exact[0].way = exact[1].way = "by_hand"
    loss_of(exact(x.double())).backward()
    for call, one in zip(run.trace.calls, exact, strict=True):
        check_equal(call, one.p.detach().numpy(), one.p.grad.numpy(), tolerance=1e-4)


@pytest.mark.parametrize("way", ["sdpa", "by_hand", "folded"])
def test_outputs_and_gradients_of_parameters_stay_the_same_bits(way):
    x = states(BATCH, TOKENS)
    plain, seen = Attention(way), Attention(way)
    expected = plain(x)
    loss_of(expected).backward()
    with headscape.capture(seen, gradients=True) as run:
        found = seen(x)
    loss_of(found).backward()
    assert np.isfinite(run.trace.calls[0].gradient()).all()
    assert torch.equal(expected, found)
    for one, other in zip(plain.parameters(), seen.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_half_precision_is_worked_out_in_float32():
    model, x = Attention("sdpa"), states(BATCH, TOKENS)
    with torch.autocast("cpu", torch.bfloat16), headscape.capture(model, gradients=True, strict=True) as run:
        y = model(x)
    assert y.dtype == torch.bfloat16
    loss_of(y.float()).backward()
    check_equal(run.trace.calls[0], *truth(model, x), tolerance=0.05)
    assert run.trace.calls[0].arrays.gradient.dtype == np.float32


class Kernel(nn.Module):
    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v)


def test_gradients_in_half_precision_are_added_up_in_float32():
    q, k, v, slope = torch.randn(4, 1, 2, 6, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    with headscape.capture(Kernel(), gradients=True, strict=True) as run:
        y = run._model(q.requires_grad_(), k, v)
    y.backward(slope)
    exact = (slope.double() @ v.double().transpose(-2, -1))[0]
    np.testing.assert_allclose(run.trace.calls[0].gradient(), exact, atol=1e-5)
