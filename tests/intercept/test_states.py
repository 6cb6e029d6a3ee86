"""States that meet at a call are the model's own, and what edges carry adds up to the attention's output."""

import numpy as np
import pytest
import torch
from torch import nn

import headscape
from headscape.errors import NotKeptError


def encoder(*, norm_first=False, layers=2):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True, norm_first=norm_first, dropout=0.0)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False).eval()


def gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=30, n_positions=12, n_embd=12, n_layer=2, n_head=3)).eval()


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=30, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
                    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=12)
    ).eval()  # fmt: skip


def bert():
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(vocab_size=30, hidden_size=12, num_hidden_layers=2, num_attention_heads=3,
                        intermediate_size=20, max_position_embeddings=12)  # fmt: skip
    return BertModel(config, add_pooling_layer=False).eval()


IDS = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])
STATES = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(1))
MODELS = {
    "encoder, norm last": (encoder, STATES),
    "encoder, norm first": (lambda: encoder(norm_first=True), STATES),
    "gpt2": (gpt2, IDS),
    "llama, shared values": (llama, IDS),
    "bert": (bert, IDS),
}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_what_edges_carry_adds_up_to_the_attentions_output(name, fused):
    make, given = MODELS[name]
    model = make().requires_grad_(not fused)  # torch's fused path is taken only where nothing is learned
    with headscape.capture(model, states=True, keep="all") as run, torch.set_grad_enabled(not fused):
        model(given)
    for call in run.trace.calls:
        for example in range(2):
            states = call.states(example)
            made = np.einsum("hqk,hkd->qd", call.weights(example), states.carried())
            bias = states.attention - made
            np.testing.assert_allclose(bias, np.broadcast_to(bias[:1], bias.shape), atol=2e-6)
            norms = np.linalg.norm(states.carried(), axis=-1)
            np.testing.assert_allclose(norms, call.value_norms(example), rtol=2e-5)
            flow = call.flow(example)
            for part in ("residual", "attention", "stream", "feed_forward"):
                found = np.linalg.norm(getattr(states, part), axis=-1)
                np.testing.assert_allclose(found, getattr(flow, part), rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_blocks_follow_from_each_other(name):
    make, given = MODELS[name]
    with headscape.capture(make(), states=True, keep="all") as run, torch.no_grad():
        run._model(given)
    is_last = name in ("encoder, norm last", "bert")
    calls = [call.states(1) for call in run.trace.calls]
    for n, states in enumerate(calls):
        assert (states.norm_after_attention is not None) == is_last
        assert (states.norm_after_feed_forward is not None) == is_last
        after = states.residual + states.attention
        if is_last:
            norm = states.norm_after_attention
            after = norm.part(after, norm.scale(after)) + norm.bias
        np.testing.assert_allclose(states.stream, after, atol=2e-6)
        behind = states.stream + states.feed_forward
        if is_last:
            norm = states.norm_after_feed_forward
            behind = norm.part(behind, norm.scale(behind)) + norm.bias
        if n + 1 < len(calls):
            np.testing.assert_allclose(calls[n + 1].residual, behind, atol=2e-6)


def test_parts_of_a_norm_add_up():
    from headscape.trace.states import Norm

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 4, 8)).astype(np.float32)
    weight, bias = rng.normal(size=(2, 8)).astype(np.float32)
    want = nn.functional.layer_norm(
        *map(torch.tensor, (a + b,)), (8,), *map(torch.tensor, (weight, bias)), 1e-3
    )
    norm = Norm("layer", weight, bias, 1e-3)
    scale = norm.scale(a + b)
    np.testing.assert_allclose(norm.part(a, scale) + norm.part(b, scale) + bias, want, atol=1e-5)
    want = nn.functional.rms_norm(torch.tensor(a), (8,), torch.tensor(weight), 1e-3)
    norm = Norm("rms", weight, None, 1e-3)
    np.testing.assert_allclose(norm.part(a, norm.scale(a)), want, atol=1e-5)


def test_a_decoder_has_states_for_its_crossing_calls_too():
    torch.manual_seed(0)
    model = nn.Transformer(12, 3, 1, 1, 20, batch_first=True, dropout=0.0).eval()
    with headscape.capture(model, states=True, keep="all") as run, torch.no_grad():
        model(STATES, STATES[:, :4] * 0.5)
    crossing = run.trace.calls[2]
    states = crossing.states(0)
    assert (crossing.kind, states.residual.shape, states.values.shape) == ("cross", (4, 12), (3, 6, 4))
    made = np.einsum("hqk,hkd->qd", crossing.weights(0), states.carried())
    np.testing.assert_allclose(states.attention - made, np.zeros((4, 12)), atol=1e-6)  # its bias is 0
    before = run.trace.calls[1].states(0)
    assert before.norm_after_attention is not None
    assert before.stream is None


def test_windows_keep_each_value_at_its_token():
    class Windows(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(12, 36)
            self.out = nn.Linear(12, 12)

        def forward(self, x):
            q, k, v = (
                self.qkv(x).view(2, 2, 3, 3, 3, 4).permute(3, 0, 1, 4, 2, 5)
            )  # batch, window, head, token
            o = nn.functional.scaled_dot_product_attention(q, k, v)
            return x + self.out(o.transpose(2, 3).reshape(2, 6, 12))

    torch.manual_seed(0)
    model = Windows().eval()
    with headscape.capture(model, states=True) as run, torch.no_grad():
        model(STATES)
    call = run.trace.calls[0]
    states = call.states(1)
    made = np.einsum("hqk,hkd->qd", call.weights(1), states.carried()) + model.out.bias.detach().numpy()
    np.testing.assert_allclose(states.attention, made, atol=1e-6)


def test_the_models_bits_stay():
    model = encoder().requires_grad_(False)
    want = model(STATES)
    with headscape.capture(model, states=True):
        assert torch.equal(model(STATES), want)


def test_without_states_the_option_is_named():
    with headscape.capture(encoder()) as run:
        run._model(STATES)
    with pytest.raises(NotKeptError, match=r"states=True"):
        run.trace.calls[0].states()
