"""Query and key vectors: their scaled products, through a softmax in float64, are the recorded weights."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import headscape
from headscape.errors import FormatError, NotKeptError
from headscape.trace.block import pack, unpack
from headscape.trace.file import from_bytes, to_bytes

BATCH, TOKENS, HEADS, DEEP = 2, 6, 4, 5
WIDTH = HEADS * DEEP
CAUSAL = torch.ones(TOKENS, TOKENS).tril().bool()
ROUNDING = 1e-6


def rows_from_vectors(call, example, allowed=None):
    """Softmax of the scaled products over the keys that may be seen, float64."""
    query, key = (v.astype(np.float64) for v in (call.query_vectors(example), call.key_vectors(example)))
    scores = call.scale * np.einsum("hqd,hkd->hqk", query, key)
    if allowed is not None:
        scores = np.where(allowed, scores, -np.inf)
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


class Attention(nn.Module):
    """Attention by one of several ways of multiplying queries with keys."""

    def __init__(self, way, key_heads=HEADS):
        super().__init__()
        torch.manual_seed(0)
        self.way = way
        self.q, self.o = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.k, self.v = (nn.Linear(WIDTH, key_heads * DEEP) for _ in range(2))

    def forward(self, x):
        q, k, v = (part(x).unflatten(-1, (-1, DEEP)).transpose(1, 2) for part in (self.q, self.k, self.v))
        return self.o(self.way(q, k, v).transpose(1, 2).flatten(2))

    def expected(self, x):
        """Return queries and keys from the parameters, float64, (batch, head, token, width)."""
        made = []
        for part in (self.q, self.k):
            weight, bias = part.weight.detach().double(), part.bias.detach().double()
            made.append((x.double() @ weight.T + bias).unflatten(-1, (-1, DEEP)).transpose(1, 2).numpy())
        return made


def by_matmul(q, k, v):
    return (q @ k.transpose(-1, -2) / DEEP**0.5).masked_fill(~CAUSAL, -1e9).softmax(-1) @ v


def by_einsum_keys_first(q, k, v):
    weights = torch.einsum("bhjd,bhid->bhji", k, q).mul(DEEP**-0.5)
    weights = weights.masked_fill(~CAUSAL.T, -torch.inf).softmax(2)
    return torch.einsum("bhji,bhjd->bhid", weights, v)


def by_folded_baddbmm(q, k, v):
    q, k, v = (t.flatten(0, 1) for t in (q, k, v))
    empty = torch.empty(len(q), TOKENS, TOKENS)
    scores = torch.baddbmm(empty, q, k.transpose(1, 2), beta=0, alpha=DEEP**-0.5)
    weights = scores.unflatten(0, (BATCH, HEADS)).masked_fill(~CAUSAL, -torch.inf).softmax(-1)
    return (weights.flatten(0, 1) @ v).unflatten(0, (BATCH, HEADS))


def by_spread_products(q, k, v):
    scores = (q[..., :, None, :] * k[..., None, :, :]).sum(-1) * torch.tensor(DEEP**-0.5)
    return scores.masked_fill(~CAUSAL, -torch.inf).softmax(-1) @ v


def by_exp_over_sum(q, k, v):
    raised = (q @ k.transpose(-1, -2) / DEEP**0.5).exp() * CAUSAL
    return (raised / raised.sum(-1, keepdim=True)) @ v


def by_kernel(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def by_grouped_kernel(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


def by_kernel_with_scale(q, k, v):
    return F.scaled_dot_product_attention(q * 2, k, v, CAUSAL, scale=0.5 * DEEP**-0.5)


WAYS = [by_matmul, by_einsum_keys_first, by_folded_baddbmm, by_spread_products, by_exp_over_sum, by_kernel]


@pytest.mark.parametrize("way", [*WAYS, by_grouped_kernel, by_kernel_with_scale])
def test_vectors_are_the_models_own_and_their_softmax_the_weights(way):
    heads = 2 if way is by_grouped_kernel else HEADS
    model, x = Attention(way, heads).eval(), torch.randn(BATCH, TOKENS, WIDTH)
    plain = model(x)
    with headscape.capture(model, vectors=True, strict=True) as run:
        seen = model(x)
    assert torch.equal(plain, seen)
    (call,) = run.trace.calls
    query, key = model.expected(x)
    if way is by_kernel_with_scale:
        query = query * 2
    for example in range(BATCH):
        np.testing.assert_allclose(call.query_vectors(example), query[example], atol=ROUNDING)
        own = np.repeat(key[example], HEADS // heads, axis=0)
        np.testing.assert_allclose(call.key_vectors(example), own, atol=ROUNDING)
        rows = rows_from_vectors(call, example, CAUSAL.numpy())
        np.testing.assert_allclose(rows, call.weights(example), atol=ROUNDING)
    factor = 0.5 if way is by_kernel_with_scale else 1
    assert call.scale == pytest.approx(factor * DEEP**-0.5, rel=1e-6)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("padding", [0, 2])
def test_torch_nn_encoders_have_vectors(fast, padding):
    torch.manual_seed(1)
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 16, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2).eval().requires_grad_(False)
    x = torch.randn(BATCH, TOKENS, WIDTH)
    hidden = torch.zeros(BATCH, TOKENS, dtype=torch.bool)
    hidden[1, TOKENS - padding :] = True
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(fast)
    try:
        plain = encoder(x, src_key_padding_mask=hidden if padding else None)
        with headscape.capture(encoder, vectors=True, strict=True) as run:
            seen = encoder(x, src_key_padding_mask=hidden if padding else None)
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    assert torch.equal(plain, seen)
    for call in run.trace.calls:
        assert call.source == ("fused" if fast else "sdpa")
        for example in range(BATCH):
            real = ~hidden[example].numpy()
            rows = rows_from_vectors(call, example, np.broadcast_to(real, (TOKENS, TOKENS)))
            np.testing.assert_allclose(rows[:, real], call.weights(example)[:, real], atol=ROUNDING)


def test_attention_that_torch_nn_writes_has_vectors():
    torch.manual_seed(2)
    attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)  # training: no fused kernel
    x = torch.randn(BATCH, TOKENS, WIDTH)
    with headscape.capture(attention, vectors=True, strict=True) as run:
        _, weights = attention(x, x, x, average_attn_weights=False)
    (call,) = run.trace.calls
    assert call.source == "written"
    for example in range(BATCH):
        np.testing.assert_allclose(
            rows_from_vectors(call, example), weights[example].detach().numpy(), atol=ROUNDING
        )


def test_windows_put_vectors_at_their_tokens():
    def in_windows(q, k, v):
        q, k, v = (t.unflatten(2, (2, TOKENS // 2)).transpose(1, 2).flatten(0, 1) for t in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v)
        return mixed.unflatten(0, (BATCH, 2)).transpose(1, 2).flatten(2, 3)

    model, x = Attention(in_windows).eval(), torch.randn(BATCH, TOKENS, WIDTH)
    with headscape.capture(model, vectors=True, strict=True) as run:
        model(x)
    (call,) = run.trace.calls
    query, key = model.expected(x)
    for example in range(BATCH):
        np.testing.assert_allclose(call.query_vectors(example), query[example], atol=ROUNDING)
        np.testing.assert_allclose(call.key_vectors(example), key[example], atol=ROUNDING)


def test_a_sink_has_no_vector():
    def with_sink(q, k, v):
        scores = q @ k.transpose(-1, -2)
        scores = torch.cat([torch.zeros(*scores.shape[:3], 1), scores], -1).softmax(-1)
        return scores @ F.pad(v, (0, 0, 1, 0))

    model, x = Attention(with_sink).eval(), torch.randn(BATCH, TOKENS, WIDTH)
    with headscape.capture(model, vectors=True) as run:
        model(x)
    (call,) = run.trace.calls
    lost = np.isnan(call.key_vectors(0)).any(-1)
    assert lost.sum() == HEADS
    assert not np.isnan(call.query_vectors(0)).any()


def mixed_heads(q, k, v):
    mixing = torch.eye(HEADS) + 0.1
    return torch.einsum("bhqk,hg->bgqk", q @ k.transpose(-1, -2), mixing).softmax(-1) @ v


def two_products(q, k, v):
    halves = [part @ k.transpose(-1, -2) for part in q.split(TOKENS // 2, dim=2)]
    return torch.cat(halves, 2).softmax(-1) @ v


@pytest.mark.parametrize("way", [mixed_heads, two_products])
def test_scores_that_are_no_single_product_have_no_vectors_and_say_so(way):
    model = Attention(way).eval()
    with headscape.capture(model, vectors=True) as run:
        model(torch.randn(BATCH, TOKENS, WIDTH))
    (call,) = run.trace.calls
    assert not call.has_vectors
    assert call.scale is None
    assert any("no query and key vectors" in text for text in run.trace.warnings)


def test_a_scale_for_each_head_is_no_scale():
    def by_head(q, k, v):
        return (q @ k.transpose(-1, -2) * torch.arange(1.0, HEADS + 1).view(-1, 1, 1)).softmax(-1) @ v

    model = Attention(by_head).eval()
    with headscape.capture(model, vectors=True) as run:
        model(torch.randn(BATCH, TOKENS, WIDTH))
    assert run.trace.calls[0].has_vectors
    assert run.trace.calls[0].scale is None
    assert any("not one number" in text for text in run.trace.warnings)


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_kept_unless_asked_for(way):
    model = Attention(way).eval()
    with headscape.capture(model) as run:
        model(torch.randn(BATCH, TOKENS, WIDTH))
    (call,) = run.trace.calls
    assert call.arrays.query_vectors is None
    assert call.arrays.key_vectors is None
    for ask in (call.query_vectors, call.key_vectors):
        with pytest.raises(NotKeptError, match="vectors=True"):
            ask()


def test_a_wrapper_takes_the_option():
    wrapper = headscape.Wrapper(Attention(by_kernel).eval(), show=False, vectors=True)
    wrapper(torch.randn(BATCH, TOKENS, WIDTH), viz=True)
    assert wrapper.trace.calls[0].has_vectors


@pytest.fixture
def trace():
    model = Attention(by_kernel).eval()
    with headscape.capture(model, vectors=True) as run:
        model(torch.randn(BATCH, TOKENS, WIDTH))
    return run.trace


def test_vectors_survive_the_disk(trace):
    (before,), (after,) = trace.calls, from_bytes(to_bytes(trace)).calls
    assert after.scale == before.scale
    np.testing.assert_array_equal(after.query_vectors(1), before.query_vectors(1))
    np.testing.assert_array_equal(after.key_vectors(1), before.key_vectors(1))


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("key_vectors", lambda a: a[:, :, :, :-1], "key_vectors of"),
        ("key_vectors", lambda a: a[:, :, :-1], "key_vectors of"),
        ("query_vectors", lambda a: a[:, :-1], "query_vectors of"),
        ("query_vectors", lambda a: a[..., 0], "query_vectors of"),
        ("query_vectors", lambda a: a.astype(np.float64), "float64"),
        ("query_vectors", lambda a: None, "not of both"),
    ],
)
def test_spoilt_vectors_are_refused(trace, name, spoil, said):
    arrays, meta = unpack(to_bytes(trace))
    spoilt = spoil(arrays.pop(f"call.0.{name}"))
    if spoilt is not None:
        arrays[f"call.0.{name}"] = spoilt
    with pytest.raises(FormatError, match=said):
        from_bytes(pack(arrays, meta))
