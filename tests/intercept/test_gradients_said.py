"""What gradients cannot be known is said, and nothing is held longer than it is needed."""

import gc
import weakref

import numpy as np
import pytest
import torch
from tests.intercept.one_attention import (
    BATCH,
    HEADS,
    TOKENS,
    WIDTH,
    Attention,
    check_equal,
    loss_of,
    states,
    truth,
    watched,
)
from torch import nn
from torch.utils.checkpoint import checkpoint

import headscape
from headscape.errors import CaptureError, CaptureWarning, NotKeptError, OptionError
from headscape.intercept import gradients as module


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
