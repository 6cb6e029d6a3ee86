"""A model run with the edges of a pruning gives what the same model gives that was masked by hand."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from headscape.errors import CaptureError, NoAttentionError, OptionError
from headscape.probe.pruned import Pruner, run_pruned

STATES = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(1)) * 2
IDS = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        for one in self.encoder.layers:  # sharper rows than chance gives
            one.self_attn.in_proj_weight.data *= 2
        self.head = nn.Linear(12, 4)

    def forward(self, x, padding=None):
        return self.head(self.encoder(x, src_key_padding_mask=padding).mean(1))


def classifier():
    return Classifier().eval().requires_grad_(False)


def weights_of(layer, x):
    attention = layer.self_attn
    q, k, _ = (
        nn.functional.linear(x, attention.in_proj_weight, attention.in_proj_bias)
        .view(2, 6, 3, 3, 4)
        .permute(2, 0, 3, 1, 4)
    )
    return (q @ k.transpose(-1, -2) / 2).softmax(-1)


def top(k):
    return lambda w: torch.zeros_like(w, dtype=torch.bool).scatter(-1, w.topk(k, -1).indices, True)


def nucleus(p):
    def choose(w):
        kept = torch.zeros_like(w, dtype=torch.bool)
        for place in np.ndindex(*w.shape[:-1]):
            held = 0.0
            for key in w[place].argsort(descending=True).tolist():
                if held >= p:
                    break
                kept[(*place, key)] = True
                held += float(w[(*place, key)])
        return kept

    return choose


def lift(factor):
    return lambda w: w * w.shape[-1] >= factor


@pytest.mark.parametrize("edges_of", ["pruned", "untouched"])
@pytest.mark.parametrize(
    ("name", "options", "choose"),
    [
        ("top_k", {"k": 2}, top(2)),
        ("nucleus", {"p": 0.7}, nucleus(0.7)),
        ("lift", {"factor": 0.9}, lift(0.9)),
    ],
)
def test_a_renormalised_pruning_is_a_mask(edges_of, name, options, choose):
    model = classifier()
    plain, pruned, kept, mass = STATES, STATES, [], []
    for layer in model.encoder.layers:
        weights = weights_of(layer, plain if edges_of == "untouched" else pruned)
        stays = choose(weights)
        kept.append(int(stays.sum()))
        mass.append(float((weights * stays).sum(-1).mean()))
        plain, pruned = layer(plain), layer(pruned, src_mask=~stays.flatten(0, 1))
    found = run_pruned(model, STATES, name, edges_of=edges_of, **options)
    before, after = model.head(plain.mean(1)), model.head(pruned.mean(1))
    np.testing.assert_allclose(
        found.output_change, (after - before).norm(dim=1) / before.norm(dim=1), rtol=1e-4
    )
    np.testing.assert_allclose(
        found.state_change, (pruned - plain).flatten(1).norm(dim=1) / plain.flatten(1).norm(dim=1), rtol=1e-4
    )
    np.testing.assert_allclose(
        found.cosine, nn.functional.cosine_similarity(pruned.mean(1), plain.mean(1)), rtol=1e-5
    )
    want = nn.functional.kl_div(after.log_softmax(-1), before.softmax(-1), reduction="none").sum(-1)
    np.testing.assert_allclose(found.divergence, want, atol=1e-6)
    assert found.edges.tolist() == kept
    assert found.edges_before.tolist() == [2 * 3 * 36] * 3
    np.testing.assert_allclose(found.mass, mass, rtol=1e-5)
    assert found.output_change.min() > 0.005


def test_the_edges_of_the_pruned_and_of_the_plain_pass_are_not_the_same():
    one, other = (run_pruned(classifier(), STATES, "top_k", k=1, edges_of=e) for e in ("pruned", "untouched"))
    assert abs(one.output_change - other.output_change).max() > 1e-3


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=30, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
                    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=12)
    ).eval()  # fmt: skip
    for parameter in model.parameters():
        parameter.data *= 4 if parameter.dim() > 1 else 1
    return model


def by_hand(model, choose, *, renormalise):
    """Run a Llama with each layer's eager weights pruned on the way."""
    from transformers.models.llama import modeling_llama

    plain = modeling_llama.eager_attention_forward

    def eager(module, query, key, value, mask, scaling, **options):
        _, weights = plain(module, query, key, value, mask, scaling, **options)
        kept = weights * choose(weights)
        if renormalise:
            kept = kept / kept.sum(-1, keepdim=True)
        return torch.matmul(kept, value.repeat_interleave(2, dim=1)).transpose(1, 2).contiguous(), weights

    model = copy.deepcopy(model)
    model.set_attn_implementation("eager")
    modeling_llama.eager_attention_forward = eager
    try:
        with torch.no_grad():
            return model(IDS).logits
    finally:
        modeling_llama.eager_attention_forward = plain


@pytest.mark.parametrize("road", ["sdpa", "eager"])
@pytest.mark.parametrize("renormalise", [True, False])
def test_heads_that_share_values_are_pruned_as_by_hand(road, renormalise):
    model = llama()
    after = by_hand(model, top(2), renormalise=renormalise)
    before = by_hand(model, torch.ones_like, renormalise=False)
    model.set_attn_implementation(road)
    found = run_pruned(model, {"input_ids": IDS}, "top_k", k=2, renormalise=renormalise)
    want = nn.functional.kl_div(after.log_softmax(-1), before.softmax(-1), reduction="none").sum(-1)
    np.testing.assert_allclose(found.divergence_of_tokens, want, atol=2e-5)
    np.testing.assert_allclose(found.divergence, want[:, -1], atol=2e-5)
    np.testing.assert_array_equal(found.divergence, found.divergence_of_tokens[:, -1])
    assert found.edges.tolist() == [2 * 4 * 11] * 2
    assert found.edges_before.tolist() == [2 * 4 * 21] * 2
    assert want[:, 2:].min() > 1e-3
    assert abs(want[:, :2]).max() < 1e-4  # rows of one and two keys lose nothing


class Pieces(nn.Module):
    """Attention as a whole, head by head, a few queries at a time, or in windows of three tokens."""

    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.qkv, self.out, self.head = nn.Linear(12, 36), nn.Linear(12, 12), nn.Linear(12, 4)
        self.kind = kind

    def forward(self, x, choose=None):
        batch = x.shape[0]
        if self.kind == "windows":
            q, k, v = self.qkv(x).view(batch, 2, 3, 3, 3, 4).permute(3, 0, 1, 4, 2, 5)
            w = (q @ k.transpose(-1, -2) / 2).softmax(-1)
            o = ((w if choose is None else w * choose(w)) @ v).transpose(2, 3).reshape(batch, 6, 12)
            return self.head((x + self.out(o)).mean(1))
        q, k, v = self.qkv(x).view(batch, 6, 3, 3, 4).permute(2, 0, 3, 1, 4)
        parts = []
        pieces = [(slice(h, h + 1), slice(0, 6)) for h in range(3)]
        if self.kind == "queries":
            pieces = [(slice(0, 3), slice(a, a + 2)) for a in (0, 2, 4)]
        for heads, rows in pieces:
            w = (q[:, heads, rows] @ k[:, heads].transpose(-1, -2) / 2).softmax(-1)
            parts.append((w if choose is None else w * choose(w)) @ v[:, heads])
        o = torch.cat(parts, dim=1 if self.kind == "heads" else 2)
        return self.head((x + self.out(o.transpose(1, 2).reshape(batch, 6, 12))).mean(1))


@pytest.mark.parametrize(
    ("kind", "edges_of"),
    [("heads", "pruned"), ("heads", "untouched"), ("queries", "untouched"),
     ("windows", "pruned"), ("windows", "untouched")],
)  # fmt: skip
def test_attention_in_pieces_and_windows_keeps_the_right_edges(kind, edges_of):
    model = Pieces(kind).eval().requires_grad_(False)
    before, after = model(STATES), model(STATES, top(2))
    found = run_pruned(model, STATES, "top_k", k=2, renormalise=False, edges_of=edges_of)
    np.testing.assert_allclose(
        found.output_change, (after - before).norm(dim=1) / before.norm(dim=1), rtol=1e-4
    )
    assert found.output_change.min() > 0.01
    assert found.edges.tolist() == [2 * 3 * 6 * 2]
    assert found.edges_before.tolist() == [2 * 3 * 6 * (3 if kind == "windows" else 6)]


def test_pieces_that_share_heads_ask_for_the_plain_pass():
    with pytest.raises(CaptureError, match='Pass edges_of="untouched"'):
        run_pruned(Pieces("queries").eval(), STATES, "top_k", k=2)


def models():
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(12, 3, 20, batch_first=True), 2, enable_nested_tensor=False
    )
    padding = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])
    return [
        (classifier(), STATES),
        (llama(), {"input_ids": IDS}),
        (nn.Transformer(12, 3, 1, 1, 20, batch_first=True).eval(), (STATES, STATES[:, :4] * 0.5)),
        (encoder.eval(), {"src": STATES, "src_key_padding_mask": padding}),
        (Pieces("heads").eval(), STATES),
        (Pieces("windows").eval(), STATES),
        (classifier(), {"x": STATES, "padding": padding}),  # what padding becomes is in its answer
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("renormalise", [True, False])
def test_a_pruning_that_keeps_everything_changes_no_bit(number, renormalise):
    pruner = Pruner(*models()[number])
    for edges_of in ("pruned", "untouched"):
        found = pruner.run("nucleus", p=1.0, renormalise=renormalise, edges_of=edges_of)
        assert (found.output_change == 0).all()
        assert found.divergence is None or (found.divergence == 0).all()
        assert found.divergence_of_tokens is None or (found.divergence_of_tokens == 0).all()
        np.testing.assert_allclose(found.mass, 1)
        np.testing.assert_array_equal(found.edges, found.edges_before)
        assert found.empty_rows == 0
        assert (pruner.run("top_k", k=1, edges_of=edges_of).output_change > 1e-4).all()


def test_padding_neither_counts_nor_changes_what_is_found():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True, dropout=0.0)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    padding = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])
    both = run_pruned(model, {"src": STATES, "src_key_padding_mask": padding}, "top_k", k=2)
    alone = [run_pruned(model, part, "top_k", k=2) for part in (STATES[:1], STATES[1:, :4])]
    for name in ("output_change", "state_change", "cosine"):
        wanted = np.concatenate([getattr(one, name) for one in alone])
        np.testing.assert_allclose(getattr(both, name), wanted, rtol=1e-4)
    assert both.edges.tolist() == [3 * (12 + 8)] * 2
    assert both.edges_before.tolist() == [3 * (36 + 16)] * 2


def test_pairs_keep_both_their_directions():
    model = classifier()
    one, pairs = (
        run_pruned(model, STATES, "skeleton", strongest=0, direction=d) for d in ("directed", "sum")
    )
    assert one.edges.tolist() == [2 * 3 * 5] * 3
    assert pairs.edges.tolist() == [2 * 3 * 10] * 3
    assert pairs.empty_rows < one.empty_rows


def test_rows_that_lose_everything_give_nothing_and_are_counted():
    model = Pieces("heads").eval().requires_grad_(False)
    found = run_pruned(model, STATES, "lift", factor=100.0)
    assert found.empty_rows == 2 * 3 * 6
    assert found.edges.tolist() == [0]
    want = model.head((STATES + model.out.bias).mean(1)) - model(STATES)
    np.testing.assert_allclose(found.output_change, want.norm(dim=1) / model(STATES).norm(dim=1), rtol=1e-4)
    assert "36 rows lost everything" in str(found)


def test_routes_keep_what_leads_to_the_answer():
    model = llama()
    whole = run_pruned(model, {"input_ids": IDS}, "routes", tau=0.0)
    assert (whole.output_change < 1e-5).all()
    assert (whole.state_change > 0.01).any()  # other tokens' states are not asked for
    found = run_pruned(model, {"input_ids": IDS}, "routes", tau=0.05)
    assert found.edges_of == "untouched"
    assert 0 < found.edges.sum() < found.edges_before.sum()
    assert found.edges[-1] <= 2 * 4 * 6  # of the last layer only the last token's row leads to the answer
    assert (found.output_change > 0).all()


def test_what_cannot_be_pruned_is_answered():
    with pytest.raises(OptionError, match="Did you mean 'nucleus'"):
        run_pruned(classifier(), STATES, "necleus")
    with pytest.raises(OptionError, match="has no option 'k'; there is 'p'"):
        run_pruned(classifier(), STATES, "nucleus", k=2)
    with pytest.raises(OptionError, match="no edges_of 'both'; there is 'pruned', 'untouched'"):
        run_pruned(classifier(), STATES, edges_of="both")
    with pytest.raises(OptionError, match="no direction"):
        run_pruned(classifier(), STATES, direction="up")
    with pytest.raises(OptionError, match=r"model\.eval\(\)"):
        run_pruned(classifier().train(), STATES)
    with pytest.raises(NoAttentionError):
        run_pruned(nn.Linear(12, 3).eval(), STATES)


def test_the_model_is_left_as_it_was():
    model = classifier()
    before = model(STATES)
    run_pruned(model, STATES, "top_k", k=1)
    assert torch.equal(model(STATES), before)
    assert not model._forward_hooks
