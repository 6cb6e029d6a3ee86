"""Recorded weights, contributions and norms equal those worked out by hand from the parameters."""

import numpy as np
import pytest
import torch
from tests.intercept import by_hand
from torch import nn

import headscape

EXACT = 2e-6


def make_encoder(*, norm_first=False, batch_first=True, layers=2, dropout=0.0):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(
        16, 4, 32, dropout=dropout, batch_first=batch_first, norm_first=norm_first
    )
    encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=batch_first and not norm_first)
    for parameter in encoder.parameters():  # biases and norms start as 0 and 1, which hides mistakes
        nn.init.normal_(parameter, 0.1, 0.4)
    return encoder


def padding_of(*lengths, size=7):
    return torch.arange(size)[None, :] >= torch.tensor(lengths)[:, None]


CAUSAL = torch.triu(torch.ones(7, 7, dtype=torch.bool), 1)
BIAS = torch.randn(7, 7, generator=torch.Generator().manual_seed(3))
MASKS = {
    "none": {},
    "bool causal": {"mask": CAUSAL},
    "float causal": {"mask": nn.Transformer.generate_square_subsequent_mask(7)},
    "padding": {"src_key_padding_mask": padding_of(7, 5, 3)},
    "padding on the left": {"src_key_padding_mask": padding_of(7, 5, 3).flip(1)},
    "float padding": {"src_key_padding_mask": padding_of(7, 5, 3).float() * -1e9},
    "causal and padding": {"mask": CAUSAL, "src_key_padding_mask": padding_of(7, 5, 3)},
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("way", ["fast path", "with grad", "training", "second axis batch"])
def test_encoder_weights_and_norms_equal_those_by_hand(mask, norm_first, way):
    masks = MASKS[mask]
    encoder = make_encoder(norm_first=norm_first, batch_first=way != "second axis batch").train(
        way == "training"
    )
    x = torch.randn(3, 7, 16)
    given = x.transpose(0, 1) if way == "second axis batch" else x
    with (
        torch.set_grad_enabled(way == "with grad" or way == "training"),
        headscape.capture(encoder, strict=True) as run,
    ):
        encoder(given, **masks)
    padding = masks.get("src_key_padding_mask")
    hidden = None if padding is None else (padding if padding.dtype == torch.bool else padding < -1)
    expected = by_hand.encoder(
        encoder.layers, x.double().numpy(), attn_mask=masks.get("mask"), padding=hidden
    )
    assert len(run.trace.calls) == 2
    for call, (weights, parts) in zip(run.trace.calls, expected, strict=True):
        assert call.source == ("fused" if way == "fast path" else "sdpa")
        assert call.kind == "self"
        for example in range(3):
            real = np.ones(7, bool) if hidden is None else ~hidden[example].numpy()
            # left-padded causal rows without any key are NaN by hand; they are padding anyway
            np.testing.assert_allclose(call.weights(example)[:, real], weights[example][:, real], atol=EXACT)
            assert (call.weights(example)[:, ~real] == 0).all()
            assert (call.padded(example) == ~real).all()
            flow = call.flow(example)
            for name, part in zip(("residual", "attention", "stream", "feed_forward"), parts, strict=True):
                by = np.linalg.norm(part[example], axis=-1)
                np.testing.assert_allclose(getattr(flow, name)[real], by[real], rtol=2e-5, err_msg=name)
    assert run.trace.warnings == ()


def test_float_bias_mask_is_added_before_softmax():
    encoder = make_encoder()
    x = torch.randn(3, 7, 16)
    with headscape.capture(encoder) as run:
        encoder(x, mask=BIAS)
    ((first, _), _) = by_hand.encoder(encoder.layers, x.double().numpy(), attn_mask=BIAS)
    np.testing.assert_allclose(run.trace.calls[0].weights(2), first[2], atol=EXACT)


def test_fast_path_with_a_float_bias_is_recorded_as_the_kernel_ran_it():
    encoder = make_encoder(layers=1).eval()
    x, bias = torch.randn(3, 7, 16), torch.zeros(7, 7).masked_fill_(CAUSAL, 0.5)
    with torch.no_grad(), headscape.capture(encoder) as run:
        encoder(x, mask=bias)
    (call,) = run.trace.calls
    # torch's fused kernel turns an additive mask into bool: what is recorded is what ran.
    assert call.self_check < 1e-5
    assert (call.weights()[:, CAUSAL.numpy()] == 0).all()


def test_mask_per_head_and_example_lands_on_its_head_and_example():
    torch.manual_seed(0)
    mha = nn.MultiheadAttention(16, 4, batch_first=True)
    x = torch.randn(3, 7, 16)
    mask = torch.rand(12, 7, 7) > 0.6
    mask[:, :, 0] = False
    with headscape.capture(mha) as run:
        mha(x, x, x, attn_mask=mask, need_weights=False)
    weights, _, _ = by_hand.attention(mha, x.double().numpy(), attn_mask=mask)
    for example in range(3):
        np.testing.assert_allclose(run.trace.calls[0].weights(example), weights[example], atol=EXACT)
        visible = (~mask).reshape(3, 4, 7, 7)[example].sum(-1)
        np.testing.assert_array_equal(run.trace.calls[0].visible(example), visible)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("grad", [True, False])
def test_attention_module_alone(need_weights, batch_first, grad):
    torch.manual_seed(0)
    mha = nn.MultiheadAttention(16, 4, batch_first=batch_first).eval()
    x = torch.randn(3, 7, 16)
    given = x if batch_first else x.transpose(0, 1)
    padding = padding_of(7, 5, 3)
    with torch.set_grad_enabled(grad), headscape.capture(mha, strict=True) as run:
        mha(given, given, given, key_padding_mask=padding, need_weights=need_weights)
    weights, values, _ = by_hand.attention(mha, x.double().numpy(), padding=padding)
    (call,) = run.trace.calls
    real = ~padding[1].numpy()
    np.testing.assert_allclose(call.weights(1)[:, real], weights[1][:, real], atol=EXACT)
    projected = np.einsum("hkw,ohw->hko", values[1], by_hand.array(mha.out_proj.weight).reshape(16, 4, 4))
    edges = np.linalg.norm(weights[1][..., None] * projected[:, None], axis=-1)
    np.testing.assert_allclose(call.contribution(1)[:, real], edges[:, real], atol=EXACT)
    assert call.self_check < 1e-5


@pytest.mark.parametrize("bias", [True, False])
def test_other_key_and_value_widths(bias):
    torch.manual_seed(0)
    mha = nn.MultiheadAttention(16, 4, kdim=10, vdim=6, bias=bias, batch_first=True)
    query, key, value = torch.randn(2, 5, 16), torch.randn(2, 9, 10), torch.randn(2, 9, 6)
    with headscape.capture(mha, strict=True) as run:
        mha(query, key, value)
    weights, _, _ = by_hand.attention(mha, *(t.double().numpy() for t in (query, key, value)))
    (call,) = run.trace.calls
    assert (call.kind, call.shape) == ("cross", (2, 4, 5, 9))
    np.testing.assert_allclose(call.weights(1), weights[1], atol=EXACT)
    assert [side.name for side in run.trace.sides] == ["target", "source"]


@pytest.mark.parametrize("need_weights", [True, False])
def test_bias_and_zero_keys_are_columns_behind_the_tokens(need_weights):
    torch.manual_seed(0)
    mha = nn.MultiheadAttention(16, 4, add_bias_kv=True, add_zero_attn=True, batch_first=True)
    x = torch.randn(2, 5, 16)
    with headscape.capture(mha, strict=True) as run:
        mha(x, x, x, need_weights=need_weights)
    weights = mha(x, x, x, average_attn_weights=False)[1].detach().numpy()
    (call,) = run.trace.calls
    np.testing.assert_allclose(call.weights(0), weights[0], atol=EXACT)
    assert run.trace.sides[call.key_side].length == 7
    assert run.trace.sides[call.query_side].length == 5
    assert call.self_check < 1e-5


def test_unbatched_input_is_one_example():
    encoder = make_encoder()
    x = torch.randn(7, 16)
    with headscape.capture(encoder, strict=True) as run:
        encoder(x)
    expected = by_hand.encoder(encoder.layers, x.double().numpy()[None])
    assert run.trace.calls[1].shape == (1, 4, 7, 7)
    np.testing.assert_allclose(run.trace.calls[1].weights(), expected[1][0][0], atol=EXACT)
    by = np.linalg.norm(expected[1][1][3][0], axis=-1)
    np.testing.assert_allclose(run.trace.calls[1].flow().feed_forward, by, rtol=2e-5)


def test_nested_input_has_one_matrix_per_sequence():
    encoder = make_encoder().eval()
    parts = [torch.randn(n, 16) for n in (4, 6)]
    with torch.no_grad(), headscape.capture(encoder, strict=True) as run:
        encoder(torch.nested.nested_tensor(parts))
    for example, part in enumerate(parts):
        expected = by_hand.encoder(encoder.layers, part.double().numpy()[None])
        call, n = run.trace.calls[1], len(part)
        np.testing.assert_allclose(call.weights(example)[:, :n, :n], expected[1][0][0], atol=EXACT)
        assert call.padded(example).tolist() == [False] * n + [True] * (6 - n)


def test_training_records_weights_before_dropout():
    encoder = make_encoder(dropout=0.5, layers=1).train()
    x = torch.randn(3, 7, 16)
    with headscape.capture(encoder) as run:
        encoder(x)
    ((weights, _),) = by_hand.encoder(encoder.layers, x.double().numpy())
    np.testing.assert_allclose(run.trace.calls[0].weights(), weights[0], atol=EXACT)


def test_float64_model_is_worked_out_in_float64():
    encoder = make_encoder(layers=1).double()
    x = torch.randn(3, 7, 16, dtype=torch.float64)
    with headscape.capture(encoder) as run:
        encoder(x)
    ((weights, _),) = by_hand.encoder(encoder.layers, x.numpy())
    np.testing.assert_allclose(run.trace.calls[0].weights(), weights[0], atol=1e-7)


@pytest.mark.parametrize("how", ["autocast", "bfloat16"])
def test_half_precision_is_close_and_its_self_check_passes(how):
    encoder = make_encoder(layers=1).eval()
    x = torch.randn(3, 7, 16)
    ((weights, _),) = by_hand.encoder(encoder.layers, x.double().numpy())
    with torch.no_grad():
        if how == "autocast":
            with torch.autocast("cpu", torch.bfloat16), headscape.capture(encoder, strict=True) as run:
                encoder(x)
        else:
            with headscape.capture(encoder.bfloat16(), strict=True) as run:
                encoder(x.bfloat16())
    np.testing.assert_allclose(run.trace.calls[0].weights(), weights[0], atol=0.03)
    # The fused kernel's own matrix is recorded, and in bfloat16 its rows add up to 1 within rounding only.
    np.testing.assert_allclose(run.trace.calls[0].weights().sum(-1), 1, atol=5e-3)
    assert run.trace.warnings == ()


def test_encoder_decoder_has_two_sides_and_tells_self_from_cross():
    torch.manual_seed(0)
    model = nn.Transformer(16, 4, 2, 2, 32, dropout=0.0, batch_first=True)
    src, tgt = torch.randn(2, 5, 16), torch.randn(2, 5, 16)
    causal = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)
    with headscape.capture(model, tokens={"source": list("abcde"), "target": list("vwxyz")}) as run:
        model(src, tgt, tgt_mask=causal)
    trace = run.trace
    assert [(c.path, c.kind, c.query_side, c.key_side, c.plane) for c in trace.calls] == [
        ("encoder.layers.0.self_attn", "self", 0, 0, 0),
        ("encoder.layers.1.self_attn", "self", 0, 0, 1),
        ("decoder.layers.0.self_attn", "self", 1, 1, 0),
        ("decoder.layers.0.multihead_attn", "cross", 1, 0, 1),
        ("decoder.layers.1.self_attn", "self", 1, 1, 2),
        ("decoder.layers.1.multihead_attn", "cross", 1, 0, 3),
    ]
    assert [(side.name, side.planes) for side in trace.sides] == [("source", 3), ("target", 5)]
    assert trace.tokens(0, 1) == list("vwxyz")
    x = src.double().numpy()
    for layer in model.encoder.layers:
        x = by_hand.encoder_layer(layer, x)[2]
    memory, layer = by_hand.norm(model.encoder.norm, x), model.decoder.layers[0]
    y = tgt.double().numpy()
    own, _, out = by_hand.attention(layer.self_attn, y, attn_mask=causal)
    crossed, _, _ = by_hand.attention(layer.multihead_attn, by_hand.norm(layer.norm1, y + out), memory)
    np.testing.assert_allclose(trace.calls[2].weights(1), own[1], atol=EXACT)
    np.testing.assert_allclose(trace.calls[3].weights(1), crossed[1], atol=EXACT)


def test_decoder_alone_takes_its_memory_as_a_side_of_its_own():
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 4, 32, batch_first=True), 2)
    with headscape.capture(decoder) as run:
        decoder(torch.randn(2, 4, 16), torch.randn(2, 4, 16))
    assert [(c.kind, c.query_side, c.key_side) for c in run.trace.calls] == [
        ("self", 0, 0), ("cross", 0, 1), ("self", 0, 0), ("cross", 0, 1)
    ]  # fmt: skip
    assert [(s.name, s.length) for s in run.trace.sides] == [("target", 4), ("source", 4)]


def test_padded_targets_are_marked_in_cross_attention_too():
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 4, 32, batch_first=True), 1)
    padding = padding_of(4, 2, size=4)
    with headscape.capture(decoder) as run:
        decoder(torch.randn(2, 4, 16), torch.randn(2, 6, 16), tgt_key_padding_mask=padding)
    cross = run.trace.calls[1]
    assert cross.padded(1).tolist() == [False, False, True, True]
    assert (cross.weights(1)[:, 2:] == 0).all()
    assert np.isnan(cross.stats.entropy[1][:, 2:]).all()


def test_model_calling_scaled_dot_product_attention_itself():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.out_proj = nn.Linear(16, 48), nn.Linear(16, 16)

        def forward(self, x):
            q, k, v = (t.unflatten(-1, (4, 4)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
            mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return x + self.out_proj(mixed.transpose(1, 2).flatten(2))

    torch.manual_seed(0)
    model = nn.Sequential(Block(), Block())
    x = torch.randn(2, 7, 16)
    with headscape.capture(model, strict=True) as run:
        model(x)
    q, k, v = (
        by_hand.split(t, 4)
        for t in np.split(by_hand.linear(x.double().numpy(), model[0].qkv.weight, model[0].qkv.bias), 3, -1)
    )
    scores = np.where(CAUSAL.numpy(), -np.inf, q @ k.transpose(0, 1, 3, 2) / 2)
    weights = by_hand.softmax(scores)
    call = run.trace.calls[0]
    assert call.self_check < 1e-6
    assert [c.path for c in run.trace.calls] == ["0", "1"]
    np.testing.assert_allclose(call.weights(1), weights[1], atol=EXACT)
    np.testing.assert_array_equal(call.visible()[0], np.arange(1, 8))
    projected = np.einsum("hkw,ohw->hko", v[1], by_hand.array(model[0].out_proj.weight).reshape(16, 4, 4))
    np.testing.assert_allclose(
        call.contribution(1), np.linalg.norm(weights[1][..., None] * projected[:, None], axis=-1), atol=EXACT
    )
    np.testing.assert_allclose(call.flow(1).residual, np.linalg.norm(x[1], axis=-1), rtol=1e-5)


def test_statistics_equal_those_of_the_whole_matrix():
    mha = nn.MultiheadAttention(16, 2, batch_first=True)
    x = torch.randn(2, 9, 16)
    with headscape.capture(mha, keep=3) as run:
        mha(x, x, x)
    (call,) = run.trace.calls
    weights, _, _ = by_hand.attention(mha, x.double().numpy())
    gaps = np.abs(np.arange(9)[:, None] - np.arange(9))
    stats = call.stats
    np.testing.assert_allclose(stats.entropy, -(weights * np.log2(weights)).sum(-1), atol=1e-5)
    np.testing.assert_allclose(stats.distance, (weights * gaps).sum(-1), atol=1e-5)
    np.testing.assert_allclose(stats.first_key, weights[..., 0], atol=EXACT)
    np.testing.assert_allclose(stats.largest, weights.max(-1), atol=EXACT)
    np.testing.assert_allclose(stats.received, weights.sum(2), atol=1e-5)
    keys, kept = call.top(1)
    order = np.argsort(-weights[1], axis=-1)[..., :3]
    np.testing.assert_array_equal(keys, order)
    np.testing.assert_allclose(kept, np.take_along_axis(weights[1], order, -1), atol=EXACT)
    np.testing.assert_allclose(call.kept_mass(1), kept.sum(-1), atol=1e-6)
