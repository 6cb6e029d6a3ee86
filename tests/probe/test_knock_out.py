"""Knock-outs give what a model gives that was changed by hand, and leave the model alone."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import headscape

STATES = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(1))
IDS = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])


class Classifier(nn.Module):
    def __init__(self, *, norm_first=False, batch_first=True):
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(
            12, 3, 20, batch_first=batch_first, norm_first=norm_first, dropout=0.0
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.tokens = 1 if batch_first else 0
        self.head = nn.Linear(12, 4)

    def forward(self, x, mask=None, padding=None):
        return self.head(self.encoder(x, mask, padding).mean(self.tokens))


def classifier(**options):
    return Classifier(**options).eval().requires_grad_(False)


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=30, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
                    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=12)
    ).eval()  # fmt: skip


def without_head(model, layer, head):
    """Return the model with the head's columns of the output projection zeroed."""
    changed = copy.deepcopy(model)
    weight = changed.encoder.layers[layer].self_attn.out_proj.weight
    with torch.no_grad():
        weight[:, 4 * head : 4 * head + 4] = 0
    return changed


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_head_removed_is_its_projection_zeroed(norm_first, batch_first):
    model = classifier(norm_first=norm_first, batch_first=batch_first)
    given = STATES if batch_first else STATES.transpose(0, 1).contiguous()
    found = headscape.knock_out(model, given, heads="each")
    before = model(given)
    best = before.argmax(-1)
    assert [removal.parts for removal in found.removals] == [((n, h),) for n in range(2) for h in range(3)]
    for n, removal in enumerate(found.removals):
        after = without_head(model, *removal.parts[0])(given)
        want = (after - before)[torch.arange(2), best]
        np.testing.assert_allclose(found.change[n], want, atol=2e-6)
        want = nn.functional.kl_div(after.log_softmax(-1), before.softmax(-1), reduction="none").sum(-1)
        np.testing.assert_allclose(found.divergence[n], want, atol=2e-6)
        np.testing.assert_allclose(
            found.output_change[n], (after - before).norm(dim=1) / before.norm(dim=1), atol=1e-5
        )
    assert found.runs == 1
    assert found.copies_apart < 1e-6


def test_heads_removed_together_are_one_knock_out():
    model = classifier()
    found = headscape.knock_out(model, STATES, heads=[[(0, 0), (1, 2)], [(0, 1)]])
    both = without_head(without_head(model, 0, 0), 1, 2)(STATES)
    want = (both - model(STATES))[torch.arange(2), model(STATES).argmax(-1)]
    np.testing.assert_allclose(found.change[0], want, atol=2e-6)
    assert len(found) == 2


def test_nothing_removed_changes_no_bit():
    found = headscape.knock_out(classifier(), STATES, heads=[[]])
    assert (found.change == 0).all()
    assert (found.divergence == 0).all()
    assert found.idle.tolist() == [True]


@pytest.mark.parametrize("head", [None, 1])
def test_an_edge_removed_and_renormalised_is_an_edge_masked(head):
    model = classifier()
    found = headscape.knock_out(model, STATES, edges=[(1, head, 2, 4)], by="renormalise")
    masks = torch.zeros(2, 3, 6, 6, dtype=torch.bool)
    masks[:, slice(None) if head is None else head, 2, 4] = True
    x = model.encoder.layers[0](STATES)
    after = model.head(model.encoder.layers[1](x, src_mask=masks.flatten(0, 1)).mean(1))
    before = model(STATES)
    np.testing.assert_allclose(
        found.change[0], (after - before)[torch.arange(2), before.argmax(-1)], atol=2e-6
    )


def test_a_token_removed_and_renormalised_is_a_token_masked():
    model = classifier()
    found = headscape.knock_out(model, STATES, tokens="each", by="renormalise")
    before = model(STATES)
    for token in range(6):
        masks = torch.zeros(6, 6, dtype=torch.bool)
        masks[:, token] = True
        after = model(STATES, masks)
        want = (after - before)[torch.arange(2), before.argmax(-1)]
        np.testing.assert_allclose(found.change[token], want, atol=2e-6)


def by_hand(model, ids, change):
    """Run a Llama whose layer 1 has its attention weights and values changed; eager, so they are there."""
    from transformers.models.llama import modeling_llama

    plain = modeling_llama.eager_attention_forward

    def eager(module, query, key, value, mask, scaling, **options):
        _, weights = plain(module, query, key, value, mask, scaling, **options)
        value = value.repeat_interleave(2, dim=1)
        mixed = torch.matmul(weights, value)
        if module.layer_idx == 1:
            mixed = change(mixed, weights, value)
        return mixed.transpose(1, 2).contiguous(), weights

    model.set_attn_implementation("eager")
    modeling_llama.eager_attention_forward = eager
    try:
        return model(ids).logits[:, -1]
    finally:
        modeling_llama.eager_attention_forward = plain


def drop_edge(by):
    def change(mixed, weights, value):
        head, query, key = 2, 5, 1
        new = mixed.clone()
        w, v = weights[:, head, query], value[:, head]
        if by == "zero":
            new[:, head, query] -= w[:, key, None] * v[:, key]
        elif by == "mean":
            new[:, head, query] -= w[:, key, None] * (v[:, key] - v.mean(1))
        else:
            left = w.clone()
            left[:, key] = 0
            new[:, head, query] = torch.einsum("bk,bkd->bd", left / left.sum(-1, keepdim=True), v)
        return new

    return change


@pytest.mark.parametrize("road", ["sdpa", "eager"])
@pytest.mark.parametrize("by", ["zero", "renormalise", "mean"])
def test_an_edge_removed_from_shared_heads_is_removed_by_hand(by, road):
    model = llama()
    with torch.no_grad():
        want = by_hand(copy.deepcopy(model), IDS, drop_edge(by)) - by_hand(
            copy.deepcopy(model), IDS, lambda mixed, *_: mixed
        )
    model.set_attn_implementation(road)
    found = headscape.knock_out(model, {"input_ids": IDS}, edges=[(1, 2, 5, 1)], by=by, target=7)
    np.testing.assert_allclose(found.change[0], want[:, 7], atol=2e-6)
    assert abs(want[:, 7]).min() > 1e-5


@pytest.mark.parametrize("together", [False, True])
def test_a_head_removed_by_its_mean_gives_the_mean_of_real_rows(together):
    model = classifier()
    padding = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])
    inputs = {"x": STATES, "padding": padding}
    heads = [(0, 1), (1, 0)]
    most = {} if together else {"most_tokens": 1}
    found = headscape.knock_out(model, inputs, heads=heads, by="mean", **most)
    before = model(STATES, padding=padding)
    for n, (layer, head) in enumerate(heads):
        changed = copy.deepcopy(model)
        where = slice(4 * head, 4 * head + 4)
        attention = changed.encoder.layers[layer].self_attn

        def by_parts(query, key, value, *, a=attention, where=where, **_):
            q, k, v = (
                nn.functional.linear(query, a.in_proj_weight, a.in_proj_bias)
                .view(2, 6, 3, 3, 4)
                .permute(2, 0, 3, 1, 4)
            )
            o = nn.functional.scaled_dot_product_attention(q, k, v, ~padding[:, None, None])
            o = o.transpose(1, 2).reshape(2, 6, 12)
            o[..., where] = o[..., where][~padding].mean(0)
            return a.out_proj(o), None

        attention.forward = by_parts
        with torch.enable_grad():  # else the fused layer runs, which never asks its attention
            changed.requires_grad_(True)
            after = changed(STATES, padding=padding.clone()).detach()
        want = (after - before)[torch.arange(2), before.argmax(-1)]
        np.testing.assert_allclose(found.change[n], want, atol=3e-6)


class Loop(nn.Module):
    """Attention head by head, or a few queries at a time."""

    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.qkv, self.out, self.head = nn.Linear(12, 36), nn.Linear(12, 12), nn.Linear(12, 4)
        self.kind = kind

    def forward(self, x, drop=None):
        batch = x.shape[0]
        q, k, v = self.qkv(x).view(batch, 6, 3, 3, 4).permute(2, 0, 3, 1, 4)
        parts = []
        pieces = [(slice(h, h + 1), slice(0, 6)) for h in range(3)]
        if self.kind == "queries":
            pieces = [(slice(0, 3), slice(a, a + 2)) for a in (0, 2, 4)]
        for heads, rows in pieces:
            w = (q[:, heads, rows] @ k[:, heads].transpose(-1, -2) / 2).softmax(-1)
            if drop is not None:
                w = w * drop[heads, rows]
            parts.append(w @ v[:, heads])
        o = torch.cat(parts, dim=1 if self.kind == "heads" else 2)
        x = x + self.out(o.transpose(1, 2).reshape(batch, 6, 12))
        return self.head(x.mean(1))


@pytest.mark.parametrize("kind", ["heads", "queries"])
def test_attention_in_pieces_loses_the_right_edge_and_head(kind):
    model = Loop(kind).eval().requires_grad_(False)
    drop = torch.ones(3, 6, 6)
    drop[2, 3, 1] = 0
    before = model(STATES)
    best = torch.arange(2), before.argmax(-1)
    found = headscape.knock_out(model, STATES, edges=[(0, 2, 3, 1)])
    np.testing.assert_allclose(found.change[0], (model(STATES, drop) - before)[best], atol=1e-6)
    drop = torch.ones(3, 6, 6)
    drop[1] = 0
    found = headscape.knock_out(model, STATES, heads=[(0, 1)])
    np.testing.assert_allclose(found.change[0], (model(STATES, drop) - before)[best], atol=1e-6)


class Windows(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.qkv, self.out, self.head = nn.Linear(12, 36), nn.Linear(12, 12), nn.Linear(12, 4)

    def forward(self, x, hidden=None):
        batch = x.shape[0]
        q, k, v = self.qkv(x).view(batch, 2, 3, 3, 3, 4).permute(3, 0, 1, 4, 2, 5)
        w = (q @ k.transpose(-1, -2) / 2).softmax(-1)  # batch, window, head, query, key
        if hidden is not None:
            w = w * hidden
        o = (w @ v).transpose(2, 3).reshape(batch, 6, 12)
        return self.head((x + self.out(o)).mean(1))


def test_an_edge_inside_a_window_is_found_by_its_tokens():
    model = Windows().eval().requires_grad_(False)
    hidden = torch.ones(2, 3, 3, 3)
    hidden[1, 2, 1, 0] = 0  # window 1: query 4, key 3
    before = model(STATES)
    best = torch.arange(2), before.argmax(-1)
    found = headscape.knock_out(model, STATES, edges=[(0, 2, 4, 3), (0, 2, 4, 1)])
    np.testing.assert_allclose(found.change[0], (model(STATES, hidden) - before)[best], atol=1e-6)
    assert (found.change[1] == 0).all()  # another window's key: there is no such edge


def test_a_source_token_removed_is_gone_from_the_encoder_and_the_crossing_call():
    torch.manual_seed(0)
    model = nn.Transformer(12, 3, 1, 1, 20, batch_first=True, dropout=0.0).eval()
    target = STATES[:, :4] * 0.5
    found = headscape.knock_out(model, (STATES, target), tokens=[(0, 2)], by="renormalise")
    hidden = torch.zeros(2, 6, dtype=torch.bool)
    hidden[:, 2] = True
    model.requires_grad_(True)  # off torch's fused layers, which leave padded rows out
    after = model(STATES, target, src_key_padding_mask=hidden, memory_key_padding_mask=hidden)
    before = model(STATES, target)
    want = ((after - before).flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)).detach()
    np.testing.assert_allclose(found.output_change[0], want, rtol=1e-4)
    assert found.change is None


def test_labels_and_targets_of_ones_own():
    model = classifier()
    labels = torch.tensor([3, 0])
    found = headscape.knock_out(
        model, STATES, heads=[(0, 1)], labels=labels, target=lambda y: y[:, 1] - y[:, 2]
    )
    before, after = model(STATES), without_head(model, 0, 1)(STATES)
    want = nn.functional.cross_entropy(after, labels, reduction="none") - nn.functional.cross_entropy(
        before, labels, reduction="none"
    )
    np.testing.assert_allclose(found.loss_change[0], want, atol=2e-6)
    want = (after[:, 1] - after[:, 2]) - (before[:, 1] - before[:, 2])
    np.testing.assert_allclose(found.change[0], want, atol=2e-6)
    alone = headscape.knock_out(model, STATES, heads="each", target=lambda y: y[:, 1].sum())
    np.testing.assert_allclose(alone.change[1], (after[:, 1] - before[:, 1]).sum(), atol=3e-6)
    assert alone.runs == 6


def test_one_by_one_and_together_agree_for_every_way():
    model = llama()
    for unit, what in (("heads", "each"), ("tokens", "each"), ("edges", [(0, None, 5, 0), (1, 3, 4, 2)])):
        for by in ("zero", "mean") if unit == "heads" else ("zero", "renormalise", "mean"):
            given = {unit: what, "by": by}
            together = headscape.knock_out(model, {"input_ids": IDS}, **given)
            alone = headscape.knock_out(model, {"input_ids": IDS}, most_tokens=1, **given)
            np.testing.assert_allclose(together.change, alone.change, atol=2e-6)
            assert together.runs < alone.runs


def test_the_model_and_its_results_stay_as_they_were():
    model = classifier()
    weights, want = copy.deepcopy(model.state_dict()), model(STATES)
    noise = torch.get_rng_state()
    headscape.knock_out(model, STATES, heads="each", by="mean")
    headscape.knock_out(model, STATES, tokens="each", by="renormalise")
    assert torch.equal(torch.get_rng_state(), noise)
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(model(STATES), want)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_examples_that_depend_on_each_other_run_one_by_one():
    class Crowd(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = classifier()

        def forward(self, x):
            return self.inner(x) - x.mean() * x.shape[0]

    found = headscape.knock_out(Crowd().eval(), STATES, heads="each")
    assert found.runs == 6
    np.testing.assert_allclose(
        found.change, headscape.knock_out(classifier(), STATES, heads="each").change, atol=2e-6
    )
