"""Precisions, gradients, checkpoints and randomness: same bits, right weights."""

import functools

import numpy as np
import pytest
import torch
import torch.utils.checkpoint
from tests.intercept import by_hand
from tests.intercept.situations import (
    HEADS,
    MIXES,
    PATHS,
    Attention,
    Stack,
    array,
    captured,
    expect,
    inputs,
    make,
    one_pass,
    same,
    truth,
)  # fmt: skip
from torch import nn

import headscape


def checkpointed(reentrant):
    return functools.partial(torch.utils.checkpoint.checkpoint, use_reentrant=reentrant)


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("backward", [True, False], ids=["grad", "no_grad"])
def test_every_way_of_mixing_is_the_attention_worked_out_by_hand(mix, backward):
    model, x = make(mix), inputs()
    expect(captured(model, x, backward=backward, strict=True), truth(model.layers, x))


@pytest.mark.parametrize("inside", [True, False], ids=["backward inside", "backward after"])
@pytest.mark.parametrize("reentrant", [True, False], ids=["reentrant", "not reentrant"])
@pytest.mark.parametrize("mix", ["kernel", "hand"])
def test_checkpointed_blocks_are_recorded_once(mix, reentrant, inside):
    model, x = make(mix, dropout=0.2, run=checkpointed(reentrant)), inputs()
    expect(
        captured(model, x, backward=True, inside=inside, strict=True),
        truth(model.layers, x),
    )
    model.train()
    assert len(captured(model, x, backward=True, inside=inside, strict=True).calls) == len(PATHS)


@pytest.mark.parametrize("reentrant", [True, False], ids=["reentrant", "not reentrant"])
def test_checkpoint_around_the_watched_model_itself_is_one_pass(reentrant):
    model, x = make(), inputs()
    trace_of = functools.partial(checkpointed(reentrant), model)
    with headscape.capture(model, keep="all") as run:
        seen = one_pass(trace_of, model, x, backward=True)
    same(seen, one_pass(trace_of, model, x, backward=True))
    assert len(run.traces) == 1
    expect(run.trace, truth(model.layers, x))


@pytest.mark.parametrize("reentrant", [True, False], ids=["reentrant", "not reentrant"])
def test_backward_after_a_capture_that_lies_inside_a_checkpoint(reentrant):
    model, x = make("kernel", dropout=0.3).train(), inputs()
    around = functools.partial(checkpointed(reentrant), model)
    plain = one_pass(around, model, x, backward=True)
    torch.manual_seed(11)
    model.zero_grad()
    x = x.clone().requires_grad_()
    with headscape.capture(model, keep="all", strict=True) as run:
        output = around(x)
    output.pow(2).sum().backward()
    same(plain, [output.detach(), x.grad, *(p.grad for p in model.parameters()), torch.rand(3)])
    assert len(run.traces) == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("mix", MIXES)
def test_other_precisions_keep_their_bits(mix, dtype):
    model, x = make(mix).to(dtype), inputs(dtype=dtype)
    atol = {torch.bfloat16: 2e-2, torch.float16: 2e-3, torch.float64: 1e-6}[dtype]
    trace = captured(model, x, backward=True, strict=True)
    expect(trace, truth(model.layers, x), atol=atol)
    assert all(call.arrays.weights.dtype == np.float32 for call in trace.calls)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mix", MIXES)
def test_autocast_inside_and_around_the_capture(mix, dtype):
    model, x = make(mix), inputs()

    def cast(x):
        with torch.autocast("cpu", dtype):
            return model(x)

    atol = 2e-2 if dtype is torch.bfloat16 else 3e-3
    expect(captured(model, x, call=cast, backward=True, strict=True), truth(model.layers, x), atol=atol)
    with torch.autocast("cpu", dtype):
        expect(captured(model, x, backward=True, strict=True), truth(model.layers, x), atol=atol)


@pytest.mark.parametrize("mix", MIXES)
def test_inference_mode(mix):
    model, x = make(mix), inputs()
    with torch.inference_mode():
        expect(captured(model, x, strict=True), truth(model.layers, x))
    with torch.inference_mode():  # made here: tensors of inference, without versions
        x = inputs()
        expect(captured(model, x, strict=True), truth(model.layers, x))


def test_deterministic_algorithms_stay_asked_for():
    model, x = make("kernel"), inputs()
    torch.use_deterministic_algorithms(True)
    try:
        expect(captured(model, x, backward=True, strict=True), truth(model.layers, x))
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_anomaly_detection_and_frozen_parameters():
    model, x = make(), inputs()
    for parameter in model.layers[0].parameters():
        parameter.requires_grad_(False)
    with torch.autograd.set_detect_anomaly(True, check_nan=True), headscape.capture(model, keep="all") as run:
        model(x).sum().backward()
    expect(run.trace, truth(model.layers, x))
    assert model.layers[0].attn.qkv.weight.grad is None


class Masking(nn.Module):
    """Keeps a random half of its tokens in eval too, as masked autoencoders do."""

    def __init__(self):
        super().__init__()
        self.stack = Stack("kernel")
        self.drawn = []

    def forward(self, x):
        kept = torch.rand(x.shape[1]).argsort()[: x.shape[1] // 2]
        self.drawn.append(kept)
        return self.stack(x[:, kept])


def test_model_that_draws_random_numbers_in_eval_runs_once():
    torch.manual_seed(0)
    model, x = Masking().eval(), inputs(length=8)
    torch.manual_seed(4)
    plain = model(x)
    after = torch.rand(2)
    torch.manual_seed(4)
    with headscape.capture(model, keep="all", strict=True) as run:
        seen = model(x)
    same([plain, after], [seen, torch.rand(2)])
    assert len(model.drawn) == 2
    same(*model.drawn)
    expected = truth(model.stack.layers, x[:, model.drawn[1]])
    for call, weights in zip(run.trace.calls, expected, strict=True):
        rows = model.drawn[1].tolist() if call.shape[2] == x.shape[1] else range(4)
        got = call.weights(1)
        np.testing.assert_allclose(got[np.ix_(range(HEADS), rows, rows)], weights[1], atol=2e-6)
        assert got.sum() == pytest.approx(weights[1].sum(), abs=1e-4)


def test_dropout_on_the_weights_records_the_rows_before_it():
    class Dropped(Attention):
        def forward(self, x):
            q, k, v = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
            weights = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1)
            return self.out((nn.functional.dropout(weights, 0.5) @ v).transpose(1, 2).flatten(2))

    torch.manual_seed(0)
    model, x = Dropped().train(), inputs()
    trace = captured(model, x, backward=True, strict=True)
    parts = np.split(by_hand.linear(array(x), model.qkv.weight, model.qkv.bias), 3, -1)
    q, k, _ = (by_hand.split(part, HEADS) for part in parts)
    expect(trace, [by_hand.softmax(q @ k.transpose(0, 1, 3, 2) / 2)], [""])


def test_parameters_changed_between_passes_are_the_ones_that_ran():
    model, x = make(), inputs()

    def scale():
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.5)

    def replace():
        model.layers[1] = make("kernel", seed=5).layers[0]

    def drop():
        del model.layers[0]

    expected = []
    with headscape.capture(model, keep="all", strict=True) as run:
        for change in (lambda: None, scale, replace, drop):
            change()
            model(x)
            expected.append(truth(model.layers, x))
    for trace, weights in zip(run.traces, expected, strict=True):
        expect(trace, weights, PATHS[: len(weights)])
    assert np.abs(expected[0][0] - expected[1][0]).max() > 0.01


def test_tensors_saved_for_backward_are_the_models_own():
    model, x = make("kernel").train(), inputs()

    def save():
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.shape) or t, lambda t: t):
            model(x)
        return saved

    plain = save()
    with headscape.capture(model, keep="all", strict=True) as run:
        assert save() == plain
    assert len(plain) > 10
    expect(run.trace, truth(model.layers, x))


def test_gradients_that_are_gathered_before_stay_as_they_are():
    model, x = make(), inputs()
    model(x).sum().backward()
    gathered = [p.grad.clone() for p in model.parameters()]
    with headscape.capture(model, strict=True):
        model(x)
    same(gathered, [p.grad for p in model.parameters()])
