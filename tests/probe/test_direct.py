"""Direct contributions add up to the score, and each is what the states say it is."""

import numpy as np
import pytest
import torch
from torch import nn

import headscape
from headscape.errors import OptionError
from headscape.probe.direct import direct

STATES = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(1))
IDS = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])


class Classifier(nn.Module):
    def __init__(self, *, norm_first=False, batch_first=True, bend=False):
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(
            12, 3, 20, batch_first=batch_first, norm_first=norm_first, dropout=0.0
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(12, 4)
        self.tokens, self.bend = int(batch_first), bend
        for parameter in self.parameters():  # no bias is 0, no gain is 1
            nn.init.normal_(parameter, 0.1 if parameter.dim() == 1 else 0, 0.4)

    def forward(self, x, padding=None):
        pooled = self.encoder(x, src_key_padding_mask=padding).mean(self.tokens)
        return self.head(pooled.tanh() if self.bend else pooled)


def gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=30, n_positions=12, n_embd=12, n_layer=2, n_head=3)).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0.1 if parameter.dim() == 1 else 0, 0.4)
    return model


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=30, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
                    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=12)
    ).eval()  # fmt: skip


def neox():
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(0)
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(vocab_size=30, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
                      num_attention_heads=4, max_position_embeddings=12)
    ).eval()  # fmt: skip


MODELS = {
    "norm last": (lambda: Classifier().eval(), STATES),
    "norm first": (lambda: Classifier(norm_first=True).eval(), STATES),
    "tokens first": (lambda: Classifier(batch_first=False).eval(), STATES.transpose(0, 1).contiguous()),
    "frozen": (lambda: Classifier().eval().requires_grad_(False), STATES),
    "gpt2": (gpt2, {"input_ids": IDS}),
    "llama": (llama, {"input_ids": IDS}),
    "parallel blocks": (neox, {"input_ids": IDS}),
}


@pytest.mark.parametrize("name", MODELS)
def test_contributions_add_up_to_the_score(name):
    make, given = MODELS[name]
    model = make()
    found = direct(model, given)
    with torch.no_grad():
        output = model(**given) if isinstance(given, dict) else model(given)
    scores = output if isinstance(output, torch.Tensor) else output.logits[:, -1]
    np.testing.assert_allclose(found.score, scores.max(-1).values, rtol=1e-5)
    assert found.method == "exact"
    np.testing.assert_allclose(found.remainder, 0, atol=2e-5)
    for example in range(2):
        parts = found.parts(example)
        assert sum(parts.values()) == pytest.approx(float(found.score[example]), abs=2e-5)
        assert {f"layer {n} head {h}" for n in range(2) for h in range(3)} <= parts.keys()
        assert {"feed-forward behind layer 0", "feed-forward behind layer 1", "input 0"} <= parts.keys()
    assert found.inputs[0].shape == (2, 6)


def test_each_part_is_the_states_seen_through_the_last_norm():
    model = gpt2()
    found = direct(model, {"input_ids": IDS}, target=7)
    with headscape.capture(model, states=True, keep="all") as run, torch.no_grad():
        model(input_ids=IDS)
    for example in range(2):
        last = run.trace.calls[1].states(example)
        final = (last.stream + last.feed_forward)[-1]
        gain = model.transformer.ln_f.weight.detach().numpy()
        scale = np.sqrt(final.var() + model.transformer.ln_f.eps)
        column = model.lm_head.weight[7].detach().numpy()

        def seen(part, scale=scale, gain=gain, column=column):
            return ((part - part.mean(-1, keepdims=True)) / scale * gain) @ column

        for layer, call in enumerate(run.trace.calls):
            states = call.states(example)
            edges = call.weights(example)[:, -1, :, None] * states.carried()
            np.testing.assert_allclose(found.edges[layer][example][:, -1], seen(edges), atol=2e-5)
            assert (found.edges[layer][example][:, :-1] == 0).all()
            want = seen(states.feed_forward[-1])
            bias = sum(
                v[example] for k, v in found.offsets.items() if k.startswith(f"transformer.h.{layer}.mlp")
            )
            assert bias == 0
            np.testing.assert_allclose(found.feed_forward[layer][example, -1], want, atol=2e-5)
        np.testing.assert_allclose(
            found.inputs[0][example, -1], seen(run.trace.calls[0].states(example).residual[-1]), atol=2e-5
        )
        of_norm = model.transformer.ln_f.bias.detach().numpy() @ column
        assert found.offsets["transformer.ln_f.bias"][example] == pytest.approx(of_norm, abs=1e-5)


def test_blocks_that_normalise_last_are_followed_through_their_norms():
    model = MODELS["norm last"][0]()
    found = direct(model, STATES, target=2)
    with headscape.capture(model, states=True, keep="all") as run, torch.no_grad():
        model(STATES)
    first, second = (call.states(1) for call in run.trace.calls)
    part = np.einsum("hqk,hkd->hqd", run.trace.calls[0].weights(1), first.carried())
    for states, norms in ((first, ("attention", "feed_forward")), (second, ("attention", "feed_forward"))):
        for name in norms:
            summed = (
                states.residual + states.attention
                if name == "attention"
                else states.stream + states.feed_forward
            )
            norm = getattr(states, f"norm_after_{name}")
            part = norm.part(part, norm.scale(summed))
    want = part.mean(1) @ model.head.weight[2].detach().numpy()
    np.testing.assert_allclose(found.heads(0)[1], want, atol=2e-5)
    assert np.abs(want).min() > 1e-3


def test_a_head_that_bends_is_not_called_exact():
    found = direct(Classifier(bend=True).eval(), STATES)
    assert found.method == "gradient x activation"
    assert np.abs(found.remainder).max() > 1e-2


def test_a_target_of_ones_own_is_accounted_for():
    model = Classifier().eval()
    vector = torch.linspace(-1, 1, 4)
    found = direct(model, STATES, target=lambda scores: scores @ vector)
    np.testing.assert_allclose(found.score, (model(STATES) @ vector).detach(), atol=1e-5)
    np.testing.assert_allclose(found.remainder, 0, atol=2e-5)


def test_padding_adds_what_pooling_takes_of_it():
    padding = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])
    found = direct(Classifier().eval(), {"x": STATES, "padding": padding})
    np.testing.assert_allclose(found.remainder, 0, atol=2e-5)
    assert (found.edges[0][1][:, :, 4:] == 0).all()


def test_a_decoder_is_followed_and_its_crossing_edges_counted():
    class Translator(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.inner = nn.Transformer(12, 3, 1, 2, 20, batch_first=True, dropout=0.0)
            self.head = nn.Linear(12, 9)

        def forward(self, source, target):
            return self.head(self.inner(source, target))

    model = Translator().eval()
    found = direct(model, (STATES, STATES[:, :4] * 0.5))
    np.testing.assert_allclose(found.remainder, 0, atol=2e-5)
    kinds = [call.kind for call in found.trace.calls]
    assert kinds == ["self", "self", "cross", "self", "cross"]
    assert (found.edges[0] == 0).all()  # the encoder's own edges reach the score through the crossing only
    assert all(np.abs(found.edges[n]).max() > 1e-4 for n in (1, 2, 3, 4))


def test_it_leaves_the_model_alone_and_says_what_it_needs():
    model = Classifier().eval()
    want, noise = model(STATES), torch.get_rng_state()
    direct(model, STATES)
    assert torch.equal(model(STATES), want)
    assert torch.equal(torch.get_rng_state(), noise)
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(OptionError, match=r"model\.eval"):
        direct(model.train(), STATES)
    with pytest.raises(OptionError, match="target="):
        direct(model.encoder.eval(), STATES)


@pytest.mark.parametrize("how", ["rsqrt", "sqrt", "std", "pow", "normalize", "vector_norm"])
def test_norms_written_by_hand_are_held_fast(how):
    class ByHand(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.qkv, self.out, self.head = nn.Linear(12, 36), nn.Linear(12, 12), nn.Linear(12, 4)
            self.shift = nn.Parameter(torch.linspace(-1, 1, 12))

        def norm(self, x):
            if how == "std":
                return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-5)
            if how == "normalize":
                return nn.functional.normalize(x, dim=-1) * 3
            if how == "vector_norm":
                return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)
            square = x.pow(2).mean(-1, keepdim=True) + 1e-5
            if how == "pow":
                return x * square**-0.5
            return x * square.rsqrt() if how == "rsqrt" else x / torch.sqrt(square)

        def forward(self, x):
            q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
            x = x + self.out(nn.functional.scaled_dot_product_attention(q, k, v))
            return self.head((self.norm(x) + self.shift).mean(1))

    model = ByHand().eval()
    found = direct(model, STATES, target=1)
    shift = float(model.shift.detach() @ model.head.weight[1].detach())
    np.testing.assert_allclose(found.offsets["shift"], shift, atol=1e-6)
    assert found.method == "exact"
    np.testing.assert_allclose(found.remainder, 0, atol=1e-5)
