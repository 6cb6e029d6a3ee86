"""Norm-based contributions against plain torch accounts of the same models."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import headscape
from headscape.analysis.norms import block_norms, head_norms, mixed_norms, mixing_ratio
from headscape.errors import NotKeptError, ShapeError
from headscape.trace.by_hand import trace_of
from headscape.trace.synthetic import example_trace

WIDTH, HEADS, LENGTH = 12, 3, 6


@pytest.fixture(scope="module", params=[False, True], ids=["post-norm", "pre-norm"])
def seen(request):
    """Capture a layer; return it, its input, the trace's call, and the vectors f_h(x_j) by plain torch."""
    torch.manual_seed(3)
    layer = nn.TransformerEncoderLayer(
        WIDTH, HEADS, 20, dropout=0.0, batch_first=True, norm_first=request.param
    )
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.4)
    layer.eval()
    x = torch.randn(2, LENGTH, WIDTH)
    hidden = torch.zeros(2, LENGTH, dtype=torch.bool)
    hidden[1, 4:] = True
    with torch.no_grad(), headscape.capture(layer, keep="all", values=True, states=True) as run:
        layer(x, src_key_padding_mask=hidden)
    with torch.no_grad():
        attention = layer.self_attn
        given = layer.norm1(x) if request.param else x
        value_rows, value_bias = attention.in_proj_weight[2 * WIDTH :], attention.in_proj_bias[2 * WIDTH :]
        values = (given @ value_rows.T + value_bias).view(2, LENGTH, HEADS, WIDTH // HEADS)
        columns = attention.out_proj.weight.view(WIDTH, HEADS, WIDTH // HEADS)
        f = torch.einsum("bjhw,mhw->bhjm", values, columns).double().numpy()
    return layer, x.double().numpy(), run.trace.calls[0], f


def vectors(call, f, example):
    """What each edge adds, (head, query, key, model), from plain torch values."""
    return call.weights(example).astype(float)[..., None] * f[example][:, None]


def test_parts_of_all_edges_and_the_bias_are_the_attention_output(seen):
    layer, _, call, f = seen
    bias = layer.self_attn.out_proj.bias.detach().numpy()
    for example, real in ((0, 6), (1, 4)):
        added = vectors(call, f, example).sum((0, 2)) + bias
        np.testing.assert_allclose(call.states(example).attention[:real], added[:real], atol=1e-5)
        np.testing.assert_allclose(call.states(example).carried(), f[example], atol=1e-5)


def test_norms_per_head_and_of_all_heads_match_plain_torch(seen):
    _, _, call, f = seen
    for example, real in ((0, 6), (1, 4)):
        parts = vectors(call, f, example)
        by_head, mixed = head_norms(call, example), mixed_norms(call, example)
        np.testing.assert_allclose(by_head[:, :real], np.linalg.norm(parts, axis=-1)[:, :real], atol=1e-5)
        np.testing.assert_allclose(mixed[:real], np.linalg.norm(parts.sum(0), axis=-1)[:real], atol=1e-5)
        assert (mixed[:real] <= by_head[:, :real].sum(0) + 1e-6).all()
        assert np.isnan(mixed[real:]).all()
        assert np.isnan(by_head[:, real:]).all()


def through_norm(layer, total, part):
    """A part of ``total`` behind norm1 with the total's own deviation; as it is before-norm models."""
    if layer.norm_first:
        return part
    spread = np.sqrt(total.var(-1, keepdims=True) + layer.norm1.eps)
    gain = layer.norm1.weight.detach().double().numpy()
    return (part - part.mean(-1, keepdims=True)) / spread * gain


def test_the_block_with_residual_and_norm_matches_plain_torch(seen):
    layer, x, call, f = seen
    assert mixing_ratio(call).with_norm != layer.norm_first
    bias = layer.self_attn.out_proj.bias.detach().double().numpy()
    for example, real in ((0, 6), (1, 4)):
        parts = vectors(call, f, example).sum(0)  # (query, key, model)
        total = x[example] + parts.sum(1) + bias
        own = np.arange(LENGTH)
        with_residual = parts.copy()
        with_residual[own, own] += x[example]
        found = mixing_ratio(call, example)
        norms = block_norms(call, example)
        for i in range(real):
            behind = through_norm(layer, total[i], with_residual[i])
            np.testing.assert_allclose(norms[i], np.linalg.norm(behind, axis=-1), atol=1e-5)
            kept, mixed = behind[i], behind.sum(0) - behind[i]
            ratio = np.linalg.norm(mixed) / (np.linalg.norm(mixed) + np.linalg.norm(kept))
            assert found.ratio[i] == pytest.approx(ratio, abs=1e-5)
        assert np.isnan(found.ratio[real:]).all()
        assert np.isnan(norms[real:]).all()


def test_attention_to_itself_only_mixes_nothing():
    layer = nn.TransformerEncoderLayer(8, 2, 8, dropout=0.0, batch_first=True).eval()
    with torch.no_grad(), headscape.capture(layer, keep="all", states=True) as run:
        layer(torch.randn(1, 4, 8), src_mask=torch.full((4, 4), -torch.inf).fill_diagonal_(0))
    np.testing.assert_allclose(mixing_ratio(run.trace.calls[0]).ratio, 0, atol=1e-6)
    with torch.no_grad(), headscape.capture(layer, keep="all", states=True) as run:
        layer(torch.randn(1, 1, 8))
    np.testing.assert_allclose(mixing_ratio(run.trace.calls[0]).ratio, 0, atol=1e-6)


def test_in_cross_attention_every_key_is_another_token():
    torch.manual_seed(0)
    layer = nn.TransformerDecoderLayer(8, 2, 8, dropout=0.0, batch_first=True).eval()
    target, memory = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    with torch.no_grad(), headscape.capture(layer, keep="all", states=True) as run:
        layer(target, memory)
    call = run.trace.calls[1]
    states, found = call.states(), mixing_ratio(call)
    bias = layer.multihead_attn.out_proj.bias.detach().numpy()
    total = states.residual + states.attention
    for part, norm in ((states.attention - bias, found.mix), (states.residual, found.preserve)):
        centred = (part - part.mean(-1, keepdims=True)) / np.sqrt(total.var(-1, keepdims=True) + 1e-5)
        np.testing.assert_allclose(np.linalg.norm(centred, axis=-1), norm, atol=1e-5)
    assert mixed_norms(call).shape == (3, 5)
    with pytest.raises(ShapeError, match="cross-attention"):
        block_norms(call)


def test_keys_without_tokens_are_refused_where_a_query_needs_its_own():
    layer = nn.MultiheadAttention(8, 2, add_bias_kv=True, batch_first=True)
    x = torch.randn(1, 4, 8)
    with torch.no_grad(), headscape.capture(layer, keep="all", states=True) as run:
        layer(x, x, x)
    call = run.trace.calls[0]
    assert mixed_norms(call).shape == (4, 5)
    with pytest.raises((ShapeError, NotKeptError)):
        mixing_ratio(call)


def test_what_is_missing_is_said():
    with pytest.raises(NotKeptError, match="values=True"):
        head_norms(trace_of(np.full((1, 2, 2), 0.5)).calls[0])
    with pytest.raises(NotKeptError, match="states=True"):
        mixed_norms(example_trace().calls[0])
    with pytest.raises(NotKeptError, match='keep="all"'):
        head_norms(example_trace(k=2).calls[0])


def test_a_residual_that_was_not_seen_is_said(seen):
    call = seen[2]
    bare = replace(call, state_arrays=replace(call.state_arrays, residual=None))
    with pytest.raises(NotKeptError, match="residual that attention joins was not seen"):
        mixing_ratio(bare)


@pytest.mark.slow
@pytest.mark.skipif("HEADSCAPE_PAPER_TEXT" not in os.environ, reason="HEADSCAPE_PAPER_TEXT names no file")
def test_minilm_mixes_about_a_quarter_in_every_layer():
    from benchmarks.minilm_heads import segments

    from headscape.demo.minilm import load_minilm

    mini = load_minilm()
    text = Path(os.environ["HEADSCAPE_PAPER_TEXT"]).read_text(encoding="utf-8")
    ids, _ = segments(mini, text, 28, 128)
    ratios = []
    for part in ids.split(4):
        with headscape.capture(mini.model, keep="all", states=True) as run, torch.no_grad():
            mini.model(input_ids=part, attention_mask=torch.ones_like(part))
        ratios += [[mixing_ratio(call, n).ratio.mean() for call in run.trace.calls] for n in range(len(part))]
    found = np.mean(ratios, axis=0)
    np.testing.assert_allclose(found, [0.243, 0.251, 0.244, 0.230, 0.223, 0.298], rtol=0.05)
    assert found.mean() == pytest.approx(0.248, rel=0.02)
