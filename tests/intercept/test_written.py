"""Attention written by hand, in many ways: the matrix that met the values, with its own axes."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import headscape

BATCH, TOKENS, WIDTH, HEADS = 2, 6, 16, 4
DEEP = WIDTH // HEADS
CAUSAL = torch.ones(TOKENS, TOKENS).tril().bool()
WAYS = {}


class Attention(nn.Module):
    """Attention by a function of (module, states) that returns its output and the truth."""

    def __init__(self, way):
        super().__init__()
        torch.manual_seed(0)
        self.way = way
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.mixing = nn.Parameter(torch.randn(HEADS, HEADS))
        self.sink = nn.Parameter(torch.randn(HEADS))
        self.latents = nn.Parameter(torch.randn(3, WIDTH))
        self.bias = nn.Parameter(torch.randn(HEADS, TOKENS, TOKENS))
        self.context = nn.Parameter(torch.randn(WIDTH))

    def forward(self, x):
        output, self.truth = self.way(self, x)
        return output

    def heads(self, x):
        return [part(x).view(len(x), -1, HEADS, DEEP).transpose(1, 2) for part in (self.q, self.k, self.v)]

    def join(self, mixed):
        return self.o(mixed.transpose(1, 2).reshape(BATCH, -1, WIDTH))


def way(function):
    WAYS[function.__name__] = function
    return function


@way
def heads_third(m, x):
    q, k, v = (part(x).view(BATCH, TOKENS, HEADS, DEEP) for part in (m.q, m.k, m.v))
    p = torch.einsum("bqhd,bkhd->bqkh", q, k).div(2).softmax(2)
    return m.o(torch.einsum("bqkh,bkhd->bqhd", p, v).flatten(2)), p.permute(0, 3, 1, 2)


@way
def heads_last(m, x):
    q, k, v = (part(x).view(BATCH, TOKENS, DEEP, HEADS) for part in (m.q, m.k, m.v))
    p = torch.einsum("bqdh,bkdh->bhqk", q, k).softmax(-1)
    return m.o(torch.einsum("bhqk,bkdh->bqdh", p, v).flatten(2)), p


@way
def heads_folded_into_the_batch(m, x):
    q, k, v = (t.reshape(BATCH * HEADS, TOKENS, DEEP) for t in m.heads(x))
    p = torch.bmm(q, k.mT).softmax(-1)
    return m.join(torch.bmm(p, v).view(BATCH, HEADS, TOKENS, DEEP)), p.view(BATCH, HEADS, TOKENS, TOKENS)


@way
def heads_before_the_batch(m, x):
    q, k, v = (torch.cat(part(x).split(DEEP, -1), 0) for part in (m.q, m.k, m.v))
    p = torch.bmm(q, k.mT).softmax(-1)
    mixed = torch.cat(torch.bmm(p, v).chunk(HEADS, 0), -1)
    return m.o(mixed), p.view(HEADS, BATCH, TOKENS, TOKENS).transpose(0, 1)


@way
def heads_folded_into_the_queries(m, x):
    q = m.heads(x)[0].reshape(BATCH, HEADS * TOKENS, DEEP)
    k, v = m.k(x)[..., :DEEP], m.v(x)[..., :DEEP]
    p = (q @ k.mT).softmax(-1)
    mixed = (p @ v).view(BATCH, HEADS, TOKENS, DEEP)
    return m.join(mixed), p.view(BATCH, HEADS, TOKENS, TOKENS)


@way
def five_axes_of_grouped_heads(m, x):
    q = m.q(x).view(BATCH, TOKENS, 2, 2, DEEP)
    k, v = (part(x)[..., : 2 * DEEP].view(BATCH, TOKENS, 2, DEEP) for part in (m.k, m.v))
    p = torch.einsum("bqkgd,bskd->bkgqs", q, k).softmax(-1)
    return m.o(torch.einsum("bkgqs,bskd->bqkgd", p, v).flatten(2)), p.flatten(1, 2)


@way
def keys_before_queries(m, x):
    q, k, v = m.heads(x)
    p = (k @ q.mT).softmax(-2).mT
    return m.join(p @ v), p


@way
def values_before_weights(m, x):
    q, k, v = m.heads(x)
    p = (q @ k.mT).softmax(-1)
    return m.join((v.mT @ p.mT).mT), p


@way
def channels_first(m, x):
    q, k, v = (torch.matmul(part.weight, x.mT).view(BATCH, HEADS, DEEP, TOKENS) for part in (m.q, m.k, m.v))
    p = torch.einsum("bhdq,bhdk->bhqk", q, k).softmax(-1)
    return torch.einsum("bhqk,bhdk->bhdq", p, v).reshape(BATCH, WIDTH, TOKENS).mT, p


@way
def exponentials_and_sums(m, x):
    q, k, v = m.heads(x)
    e = (q @ k.mT - 1).exp()
    p = e / e.sum(-1, keepdim=True)
    return m.join(p @ v), p


@way
def one_added_to_the_sum(m, x):
    q, k, v = m.heads(x)
    e = (q @ k.mT).exp()
    p = e / (1 + e.sum(-1, keepdim=True))
    return m.join(p @ v), p


@way
def a_sink_column_cut_off(m, x):
    q, k, v = m.heads(x)
    sink = m.sink.view(1, HEADS, 1, 1).expand(BATCH, HEADS, TOKENS, 1)
    p = torch.cat([q @ k.mT, sink], -1).softmax(-1)[..., :-1]
    return m.join(p @ v), p


@way
def heads_that_talk(m, x):
    q, k, v = m.heads(x)
    p = torch.einsum("bhij,hg->bgij", q @ k.mT, m.mixing).softmax(-1)
    p = F.linear(p.permute(0, 2, 3, 1), m.mixing).permute(0, 3, 1, 2)
    return m.join(p @ v), p


@way
def a_difference_of_two(m, x):
    q, k, v = m.heads(x)
    p = (q @ k.mT).softmax(-1) - 0.3 * (q @ (2 * k).mT).softmax(-1)
    return m.join(p @ v), p


@way
def products_summed_by_hand(m, x):
    q, k, v = m.heads(x)
    p = (q[:, :, :, None] * k[:, :, None]).sum(-1).softmax(-1)
    return m.join((p[..., None] * v[:, :, None]).sum(3)), p


@way
def scores_added_not_multiplied(m, x):
    p = (torch.tanh(m.q(x)[:, :, None] + m.k(x)[:, None]) @ m.context).softmax(-1)
    return m.o(p @ m.v(x)), p[:, None]


@way
def distances_instead_of_products(m, x):
    q, k, v = m.heads(x)
    p = (-torch.cdist(q, k)).softmax(-1)
    return m.join(p @ v), p


@way
def largest_scores_scattered_back(m, x):
    q, k, v = m.heads(x)
    scores = q @ k.mT
    best, at = scores.topk(3, -1)
    p = torch.zeros_like(scores).scatter(-1, at, best.softmax(-1))
    return m.join(p @ v), p


@way
def masked_in_place(m, x):
    q, k, v = m.heads(x)
    scores = q @ k.mT
    scores /= 2
    scores.masked_fill_(~CAUSAL, float("-inf"))
    p = F.dropout(scores.softmax(-1), 0.5, m.training)
    return m.join(p @ v), p


@way
def learned_queries(m, x):
    _, k, v = m.heads(x)
    q = m.q(m.latents).view(1, 3, HEADS, DEEP).transpose(1, 2).expand(BATCH, -1, -1, -1)
    p = (q @ k.mT).softmax(-1)
    return m.join(p @ v), p


@way
def pooling_by_a_learned_vector(m, x):
    p = (x @ m.context).softmax(-1)
    return torch.bmm(p[:, None], x), p[:, None, None]


@way
def a_head_at_a_time(m, x):
    mixed, all_p = [], []
    for head in range(HEADS):
        q, k, v = (part(x)[..., head * DEEP : (head + 1) * DEEP] for part in (m.q, m.k, m.v))
        all_p.append((q @ k.mT).softmax(-1))
        mixed.append(all_p[-1] @ v)
    return m.o(torch.cat(mixed, -1)), torch.stack(all_p, 1)


@way
def queries_in_chunks(m, x):
    q, k, v = m.heads(x)
    all_p = [(part @ k.mT).softmax(-1) for part in q.split(4, dim=2)]
    return m.join(torch.cat([p @ v for p in all_p], 2)), torch.cat(all_p, 2)


def windows_of(x: Tensor, m, shift):
    """Attention in windows of two, rolled by ``shift``, and the truth over all tokens."""
    folded = x.roll(shift, 1).reshape(BATCH * 3, 2, WIDTH)
    q, k, v = m.heads(folded)
    p = (q @ k.mT).softmax(-1)
    mixed = (p @ v).transpose(1, 2).reshape(BATCH, TOKENS, WIDTH).roll(-shift, 1)
    truth = torch.zeros(BATCH, HEADS, TOKENS, TOKENS)
    for window in range(3):
        tokens = [(2 * window + n - shift) % TOKENS for n in range(2)]
        for a, query in enumerate(tokens):
            for b, key in enumerate(tokens):
                truth[:, :, query, key] = p.view(BATCH, 3, HEADS, 2, 2)[:, window, :, a, b]
    return m.o(mixed), truth


@way
def windows_folded_into_the_batch(m, x):
    return windows_of(x, m, 0)


@way
def shifted_windows(m, x):
    return windows_of(x, m, 1)


@pytest.mark.parametrize("name", WAYS)
def test_the_matrix_that_met_the_values_is_recorded_on_its_own_axes(name):
    model, x = Attention(WAYS[name]).eval(), torch.randn(BATCH, TOKENS, WIDTH)
    plain = model(x)
    with headscape.capture(model, strict=True, keep="all") as run:
        output = model(x)
    assert torch.equal(output, plain)
    (call,) = run.trace.calls
    truth = model.truth.detach()
    assert call.shape == tuple(truth.shape)
    seen = np.stack([call.weights(example) for example in range(BATCH)])
    np.testing.assert_allclose(seen, truth, atol=1e-6)
    assert call.source == "written"
    assert call.self_check < 1e-5
    notes = [text for text in run.trace.warnings if "output projection" not in text]
    assert notes == []


def plainly(m, x):
    q, k, v = m.heads(x)
    p = (q @ k.mT).softmax(-1)
    return x + m.join(p @ v), p


@pytest.mark.parametrize("name", ["heads_last", "heads_before_the_batch", "five_axes_of_grouped_heads"])
def test_value_norms_follow_each_head_to_its_part_of_the_projection(name):
    """|| v_j W_O || by knocking out: what the output loses when all but one edge of one head is zero."""
    model, x = Attention(WAYS[name]).eval(), torch.randn(BATCH, TOKENS, WIDTH)
    with headscape.capture(model, strict=True) as run:
        model(x)
    value = model.v(x).detach()
    weight = model.o.weight.detach()
    if name == "heads_last":
        parts = value.view(BATCH, TOKENS, DEEP, HEADS).permute(0, 3, 1, 2)
        columns = [weight.view(WIDTH, DEEP, HEADS)[:, :, h] for h in range(HEADS)]
    elif name == "heads_before_the_batch":
        parts = value.view(BATCH, TOKENS, HEADS, DEEP).transpose(1, 2)
        columns = [weight[:, h * DEEP : (h + 1) * DEEP] for h in range(HEADS)]
    else:
        parts = value[..., : 2 * DEEP].view(BATCH, TOKENS, 2, DEEP).transpose(1, 2).repeat_interleave(2, 1)
        columns = [weight[:, h * DEEP : (h + 1) * DEEP] for h in range(HEADS)]
    wanted = np.stack([(parts[:, h] @ columns[h].T).norm(dim=-1) for h in range(HEADS)], 1)
    seen = np.stack([run.trace.calls[0].value_norms(b) for b in range(BATCH)])
    np.testing.assert_allclose(seen, wanted, rtol=1e-5)


def test_weights_before_dropout_are_recorded_in_training():
    model, x = Attention(WAYS["masked_in_place"]).train(), torch.randn(BATCH, TOKENS, WIDTH)
    with headscape.capture(model, strict=True, keep="all") as run:
        model(x)
    (call,) = run.trace.calls
    np.testing.assert_allclose(call.weights().sum(-1), 1, atol=1e-6)
    assert (model.truth[0].sum(-1) - 1).abs().max() > 0.1  # what met the values had been dropped out
    assert np.isnan(call.self_check)


def test_visible_keys_are_counted_from_the_mask_not_from_the_weights():
    def steep(m, x):
        q, k, v = m.heads(x)
        scores = (q @ k.mT) * 1e4  # most weights underflow to 0, and are seen all the same
        p = torch.where(CAUSAL, scores, torch.tensor(-1e9)).softmax(-1)
        return m.join(p @ v), p

    model, x = Attention(steep).eval(), torch.randn(BATCH, TOKENS, WIDTH)
    with headscape.capture(model, strict=True) as run:
        model(x)
    assert (run.trace.calls[0].weights()[0, -1] == 0).sum() > 2
    assert run.trace.calls[0].visible()[0].tolist() == [1, 2, 3, 4, 5, 6]


def test_pieces_that_left_keys_out_do_not_pass_for_a_whole():
    """A flat row in each piece makes its lists as long as all keys; other rows were cut all the same."""

    def chunks(m, x):
        q, k, v = m.heads(x * 6)
        q = q * (torch.arange(TOKENS) % 3 > 0).float()[:, None]
        parts = [(part @ k.mT).softmax(-1) for part in q.split(3, dim=2)]
        return m.join(torch.cat([p @ v for p in parts], 2)), torch.cat(parts, 2)

    model, x = Attention(chunks).eval(), torch.randn(BATCH, TOKENS, WIDTH)
    with headscape.capture(model, keep={"threshold": 0.1}) as run:
        model(x)
    first = run.trace.calls[0]
    truth = model.truth.detach()
    kept = torch.where(truth >= 0.1, truth, 0).sum(-1)[0, :, :3]
    assert first.top()[0].shape[-1] == TOKENS
    assert not first.is_whole
    np.testing.assert_allclose(first.kept_mass()[:, :3], kept, atol=1e-5)
