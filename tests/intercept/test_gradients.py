"""Gradients of weights equal those that autograd gives a matrix of weights that stands in the graph."""

import copy
import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import headscape
from headscape.errors import CaptureError, CaptureWarning, NotKeptError, OptionError
from headscape.intercept import gradients as module
from headscape.intercept import recorder

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


class Checkpointed(nn.Module):
    def __init__(self, *, reentrant):
        super().__init__()
        self.inner, self.reentrant = Attention("sdpa"), reentrant

    def forward(self, x):
        return checkpoint(self.inner, x, use_reentrant=self.reentrant)


def test_checkpointing_without_reentry_gives_the_gradients():
    model, x = Checkpointed(reentrant=False), states(BATCH, TOKENS)
    call, trace = watched(model, x)
    assert trace.warnings == ()
    check_equal(call, *truth(model.inner, x))


def test_checkpointing_with_reentry_is_said_to_give_none():
    model, x = Checkpointed(reentrant=True), states(BATCH, TOKENS).requires_grad_()
    call, trace = watched(model, x)
    (note,) = trace.warnings
    assert "inner are not known" in note
    assert "use_reentrant=False works" in note
    with pytest.raises(NotKeptError, match="takes part in no graph"):
        call.gradient()


def test_without_a_graph_one_note_says_so():
    model = nn.Sequential(*(Attention("sdpa") for _ in range(5)))
    with torch.no_grad(), headscape.capture(model, gradients=True) as run:
        model(states(BATCH, TOKENS))
    (note,) = run.trace.warnings
    assert "gradients of 0, 1, 2 and 2 more are not known" in note
    assert "torch.no_grad" in note
    assert all(call.arrays.gradient is None for call in run.trace.calls)


@pytest.mark.parametrize("way", ["sdpa", "by_hand"])
def test_dropped_weights_leave_the_gradient_unknown_and_the_trace_says_so(way):
    call, trace = watched(Attention(way, dropout=0.5), states(BATCH, TOKENS))
    assert np.isnan(call.arrays.gradient).all()
    (note,) = trace.warnings
    assert "stay NaN" in note
    assert "dropout" in note
    with pytest.raises(NotKeptError, match="no gradient has reached the model itself"):
        call.gradient()


def test_gradients_not_asked_for_or_not_there_yet_are_told_apart():
    model, x = Attention("sdpa"), states(BATCH, TOKENS)
    with headscape.capture(model) as run:
        model(x)
    assert run.trace.calls[0].arrays.gradient is None
    with pytest.raises(NotKeptError, match=r"not asked for.*gradients=True"):
        run.trace.calls[0].gradient()
    with headscape.capture(model, gradients=True) as run:
        model(x)
    with pytest.raises(NotKeptError, match=r"call loss.backward\(\)"):
        run.trace.calls[0].gradient()
    with pytest.raises(OptionError, match=r"'gradient'.*Did you mean 'gradients'"):
        headscape.capture(model, gradient=True)


def test_padded_queries_and_hidden_keys_have_no_gradient():
    layer = nn.TransformerEncoderLayer(12, 4, 16, dropout=0, batch_first=True)
    hidden = torch.arange(TOKENS)[None] >= torch.tensor([TOKENS, 5])[:, None]
    with headscape.capture(layer, gradients=True, strict=True) as run:
        y = layer(states(BATCH, TOKENS), src_key_padding_mask=hidden)
    loss_of(y).backward()
    gradient = run.trace.calls[0].gradient(1)
    assert (gradient[:, :5, :5] != 0).all()
    assert (gradient[:, 5:] == 0).all()
    assert (gradient[..., 5:] == 0).all()


def test_gradients_are_saved_and_loaded(tmp_path):
    call, trace = watched(Attention("sdpa", causal=True), states(BATCH, TOKENS), keep=3)
    loaded = headscape.load(trace.save(tmp_path / "x.headscape"))
    np.testing.assert_array_equal(loaded.calls[0].gradient(1), call.gradient(1))
    with headscape.capture(Attention("sdpa")) as run:
        run._model(states(BATCH, TOKENS))
    assert headscape.load(run.trace.save(tmp_path / "y.headscape")).calls[0].arrays.gradient is None


def test_wrapper_takes_the_option():
    wrapper = headscape.Wrapper(Attention("sdpa"), show=False, gradients=True)
    x = states(BATCH, TOKENS)
    loss_of(wrapper(x, viz=True)).backward()
    check_equal(wrapper.trace.calls[0], *truth(wrapper.module, x))


@pytest.mark.parametrize("way", ["sdpa", "sdpa_folded", "by_hand", "folded", "torch.nn"])
def test_nothing_is_held_once_the_graph_and_the_trace_are_gone(way):
    gc.collect()
    earlier = {id(one) for one in gc.get_objects() if type(one) is module.Backward}
    model, x = Attention(way), states(BATCH, TOKENS)
    if way == "torch.nn":
        model = nn.TransformerEncoderLayer(12, 4, 16, dropout=0, batch_first=True)
    with headscape.capture(model, gradients=True) as run:
        y = model(x)
    loss = loss_of(y)
    loss.backward()
    trace = run.trace
    output, parameters = weakref.ref(y), weakref.ref(model)
    array = weakref.ref(trace.calls[0].arrays.gradient)
    (hook,) = (
        weakref.ref(one)
        for one in gc.get_objects()
        if type(one) is module.Backward and id(one) not in earlier
    )
    value = weakref.ref(hook()._value)
    del loss, y, model, run
    gc.collect()
    assert [ref() for ref in (output, parameters, hook, value)] == [None] * 4
    assert array() is not None
    assert np.isfinite(trace.calls[0].gradient()).all()


def test_a_trace_that_nobody_holds_costs_the_backward_pass_nothing(monkeypatch):
    done = []
    monkeypatch.setattr(module, "edge_gradients", lambda *args: done.append(args))
    model = Attention("sdpa")
    with headscape.capture(model, gradients=True) as run:
        y = model(states(BATCH, TOKENS))
    run.traces.clear()
    gc.collect()
    y.sum().backward()
    assert done == []


def test_a_failure_never_reaches_the_backward_pass(monkeypatch):
    def fail(*args):
        raise RuntimeError("planted")

    monkeypatch.setattr(module, "edge_gradients", fail)
    model, x = Attention("sdpa"), states(BATCH, TOKENS)
    with headscape.capture(model, gradients=True) as run:
        y = model(x)
    with pytest.warns(CaptureWarning, match=r"gradients of the model itself could not be noted.*planted"):
        y.sum().backward()
    assert model.q.weight.grad is not None
    with headscape.capture(model, gradients=True, strict=True) as run:
        y = model(x)
    with pytest.raises(CaptureError, match="planted"):
        y.sum().backward()
    assert len(run.traces) == 1


class HeadByHead(nn.Module):
    """Attention that runs its heads one after the other."""

    def __init__(self):
        super().__init__()
        self.inner = Attention("sdpa")

    def forward(self, x):
        a = self.inner
        q, k, v = (f(x).unflatten(-1, (-1, WIDTH)).transpose(1, 2) for f in (a.q, a.k, a.v))
        heads = [a.weights(q[:, h], k[:, h]) @ v[:, h] for h in range(HEADS)]
        return a.o(torch.cat(heads, -1))


def test_attention_put_together_from_pieces_is_said_to_give_none():
    call, trace = watched(HeadByHead(), states(BATCH, TOKENS))
    assert call.shape == (BATCH, HEADS, TOKENS, TOKENS)
    assert any("works it out in pieces" in note for note in trace.warnings)
    with pytest.raises(NotKeptError, match=r"trace\.warnings says"):
        call.gradient()
