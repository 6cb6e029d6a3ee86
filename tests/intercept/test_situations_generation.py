"""Generation with caches, beams, static buffers; models that share, recurse or change."""

import copy

import numpy as np
import pytest
import torch
from tests.intercept.by_hand import softmax
from tests.intercept.situations import (
    HEADS,
    PATHS,
    WIDTH,
    Block,
    block_truth,
    captured,
    expect,
    inputs,
    make,
    same,
    state_of,
    truth,
)  # fmt: skip
from torch import nn
from transformers import AlbertConfig, AlbertModel, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import headscape

WORDS = torch.tensor([[1, 5, 7, 2], [3, 9, 4, 8]])


def gpt2():
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=2, n_head=2, n_embd=16, vocab_size=30, n_positions=32, bos_token_id=0, eos_token_id=None,
        initializer_range=0.4,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval(), ["transformer.h.0.attn", "transformer.h.1.attn"]


def llama():
    """Grouped queries: four heads on two heads of keys."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=30, bos_token_id=0, eos_token_id=None, pad_token_id=0,
        initializer_range=0.4,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval(), ["model.layers.0.self_attn", "model.layers.1.self_attn"]


def eager_attention(model, ids, mask=None):
    """Return each layer's weights as transformers' own plain softmax gives them, over whole sequences."""
    other = copy.deepcopy(model)
    other.set_attn_implementation("eager")
    with torch.no_grad():
        found = other(ids, attention_mask=mask, output_attentions=True, use_cache=False).attentions
    return [weights.numpy() for weights in found]


def expect_steps(traces, whole, start, *, rows_from=None):
    """Hold each step's rows to the same rows of one pass over the whole sequence."""
    for step, trace in enumerate(traces):
        length = start + step
        first = 0 if step == 0 else length - 1
        assert trace.step == step + 1
        for call, weights in zip(trace.calls, whole, strict=True):
            assert call.shape == (weights.shape[0], weights.shape[1], length - first, length)
            for example in range(call.shape[0]):
                rows = slice(max(first, rows_from[example] if rows_from else 0), length)
                np.testing.assert_allclose(
                    call.weights(example)[:, rows.start - first :],
                    weights[example][:, rows, :length],
                    atol=3e-6,
                )


@pytest.mark.parametrize("make_model", [gpt2, llama])
def test_generation_is_one_trace_a_step_at_the_places_of_its_tokens(make_model):
    model, paths = make_model()
    before = state_of(model)
    options = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    plain = model.generate(WORDS, **options)
    with headscape.capture(model, keep="all", strict=True) as run:
        seen = model.generate(WORDS, **options)
    assert torch.equal(plain, seen)
    assert state_of(model) == before
    assert len(run.traces) == 4
    expect_steps(run.traces, eager_attention(model, seen), WORDS.shape[1])
    for step, trace in enumerate(run.traces):
        assert [call.path for call in trace.calls] == paths
        assert [call.kind for call in trace.calls] == ["self"] * 2
        assert [side.length for side in trace.sides] == [WORDS.shape[1] + step]
        assert trace.warnings == ()
        assert max(call.self_check for call in trace.calls) < 1e-5
        # The mean distance of the last row, worked out from absolute places.
        last = trace.calls[0].weights(1)[:, -1]
        far = np.abs(WORDS.shape[1] + step - 1 - np.arange(last.shape[1]))
        np.testing.assert_allclose(trace.calls[0].stats.distance[1][:, -1], last @ far, atol=1e-5)


def test_sampling_draws_the_same_words():
    model, _ = gpt2()
    options = {"max_new_tokens": 6, "do_sample": True, "pad_token_id": 0}
    torch.manual_seed(3)
    plain = model.generate(WORDS, **options)
    torch.manual_seed(3)
    with headscape.capture(model, strict=True) as run:
        assert torch.equal(model.generate(WORDS, **options), plain)
    assert len(run.traces) == 6


@pytest.mark.parametrize("make_model", [gpt2, llama])
def test_padded_prompts_with_grouped_heads(make_model):
    model, paths = make_model()
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    options = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0, "attention_mask": mask}
    plain = model.generate(WORDS, **options)
    with headscape.capture(model, keep="all", strict=True) as run:
        seen = model.generate(WORDS, **options)
    assert torch.equal(plain, seen)
    whole = torch.cat([mask, torch.ones(2, seen.shape[1] - 4, dtype=mask.dtype)], 1)
    position_truth = padded_truth(model, seen, whole)
    expect_steps(run.traces, position_truth, 4, rows_from=[2, 0])
    for trace in run.traces:
        assert [call.path for call in trace.calls] == paths
        assert [text for text in trace.warnings if "Do not trust" in text] == []


def padded_truth(model, ids, mask):
    other = copy.deepcopy(model)
    other.set_attn_implementation("eager")
    places = (mask.cumsum(-1) - 1).clamp_min(0)
    with torch.no_grad():
        given = other(
            ids, attention_mask=mask, position_ids=places, output_attentions=True, use_cache=False
        ).attentions
    return [weights.numpy() for weights in given]


@pytest.mark.parametrize("make_model", [gpt2, llama])
def test_beams_are_examples(make_model):
    model, paths = make_model()
    options = {"max_new_tokens": 3, "num_beams": 3, "do_sample": False, "pad_token_id": 0}
    plain = model.generate(WORDS, **options)
    with headscape.capture(model, keep="all", strict=True) as run:
        assert torch.equal(model.generate(WORDS, **options), plain)
    assert len(run.traces) == 3
    for step, trace in enumerate(run.traces):
        assert [call.path for call in trace.calls] == paths
        assert trace.batch == 6
        assert trace.calls[0].shape[2:] == ((4, 4) if step == 0 else (1, 4 + step))
        assert trace.warnings == ()
        for call in trace.calls:
            np.testing.assert_allclose(call.weights(5).sum(-1), 1, atol=1e-5)


def static_steps():
    model, paths = llama()
    options = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0, "disable_compile": True}
    plain = model.generate(WORDS, cache_implementation="static", **options)
    with headscape.capture(model, keep="all", strict=True) as run:
        seen = model.generate(WORDS, cache_implementation="static", **options)
    assert torch.equal(plain, seen)
    assert len(run.traces) == 3
    return run.traces, eager_attention(model, seen), paths


def test_static_cache_of_transformers_has_its_rows_at_their_own_places():
    traces, expected, paths = static_steps()
    for step, trace in enumerate(traces):
        assert [call.path for call in trace.calls] == paths
        assert [text for text in trace.warnings if "Do not trust" in text] == []
        length = 4 + step
        for call, weights in zip(trace.calls, expected, strict=True):
            for example in range(2):
                got = call.weights(example)
                got = got[:, :length] if got.shape[1] > 1 else got
                first = 0 if step == 0 else length - 1
                np.testing.assert_allclose(
                    got[:, (first if got.shape[1] > 1 else 0) :, :length],
                    weights[example][:, first:length, :length],
                    atol=3e-6,
                )
                assert (got[..., length:] == 0).all()
                assert got.sum() == pytest.approx(4 * (length - first), abs=1e-4)


def test_static_cache_of_transformers_is_one_side():
    for trace in static_steps()[0]:
        assert [call.kind for call in trace.calls] == ["self", "self"]
        assert len(trace.sides) == 1


class Cached(nn.Module):
    """One block whose keys and values are written into buffers."""

    def __init__(self, places=8):
        super().__init__()
        self.block = Block("hand")
        self.register_buffer("keys", torch.zeros(1, HEADS, places, WIDTH // HEADS))
        self.register_buffer("values", torch.zeros(1, HEADS, places, WIDTH // HEADS))
        self.filled = 0

    def forward(self, x):
        start, self.filled = self.filled, self.filled + x.shape[1]
        given = self.block.norm1(x)
        q, k, v = (
            t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in self.block.attn.qkv(given).chunk(3, -1)
        )
        self.keys[:, :, start : self.filled] = k
        self.values[:, :, start : self.filled] = v
        scores = q @ self.keys.mT / q.shape[-1] ** 0.5
        places = torch.arange(self.keys.shape[2])
        hidden = places[None] > torch.arange(start, self.filled)[:, None]
        weights = torch.softmax(scores.masked_fill(hidden, -torch.inf), -1)
        x = x + self.block.attn.out((weights @ self.values).transpose(1, 2).flatten(2))
        return x + self.block.linear2(torch.relu(self.block.linear1(self.block.norm2(x))))


def test_buffers_used_as_a_cache():
    torch.manual_seed(0)
    model, x = Cached().eval(), inputs(batch=1, length=6)
    expected, _ = block_truth(model.block, x.numpy())
    with torch.no_grad(), headscape.capture(model, keep="all", strict=True) as run:
        for part in (x[:, :4], x[:, 4:5], x[:, 5:]):
            model(part)
    for trace, rows in zip(run.traces, (slice(0, 4), slice(4, 5), slice(5, 6)), strict=True):
        (call,) = trace.calls
        assert call.path == ""
        weights = call.weights()
        # Rows stand at their tokens' places in the cache; the others did not run.
        np.testing.assert_allclose(weights[:, rows, :6], expected[0][:, rows], atol=2e-6)
        assert weights.sum() == pytest.approx(HEADS * (rows.stop - rows.start), abs=1e-4)
        assert [text for text in trace.warnings if "Do not trust" in text] == []


def test_weights_shared_by_all_layers_are_sites_of_one_path():
    torch.manual_seed(0)
    config = AlbertConfig(
        vocab_size=30, embedding_size=8, hidden_size=16, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=32, inner_group_num=1, num_hidden_groups=1, max_position_embeddings=16,
    )  # fmt: skip
    model = AlbertModel(config).eval()
    path = "encoder.albert_layer_groups.0.albert_layers.0.attention"
    with torch.no_grad():
        plain = model(WORDS).last_hidden_state
        with headscape.capture(model, keep="all", strict=True) as run:
            same(model(WORDS).last_hidden_state, plain)
    expect(run.trace, eager_attention(model, WORDS), [path] * 3, sites=[path, f"{path}#1", f"{path}#2"])
    assert [call.plane for call in run.trace.calls] == [0, 1, 2]


def test_a_layer_that_stands_at_two_places_is_named_by_the_first():
    model, x = make(), inputs()
    model.layers.append(model.layers[0])
    trace = captured(model, x, backward=True, strict=True)
    expect(trace, truth(model.layers, x), [*PATHS, PATHS[0]], sites=[*PATHS, f"{PATHS[0]}#1"])


class Recursive(nn.Module):
    """Calls itself until a depth is reached."""

    def __init__(self):
        super().__init__()
        self.block = Block("kernel")

    def forward(self, x, depth=3):
        x = self.block(x)
        return x if depth == 1 else self(x, depth - 1)


def test_model_that_calls_itself_is_one_pass():
    torch.manual_seed(0)
    model, x = Recursive().eval(), inputs()
    path = "block.attn"
    trace = captured(model, x, strict=True)
    expect(trace, truth([model.block] * 3, x), [path] * 3, sites=[path, f"{path}#1", f"{path}#2"])


def test_captures_inside_captures_of_the_same_and_of_a_part():
    model, x = make(), inputs()
    with torch.no_grad():
        plain = model(x)
        with (
            headscape.capture(model, keep="all", strict=True) as outer,
            headscape.capture(model.layers[1], keep="all", strict=True) as part,
            headscape.capture(model, keep=2, strict=True) as inner,
        ):
            same(model(x), plain)
    expected = truth(model.layers, x)
    expect(outer.trace, expected)
    expect(part.trace, expected[1:], ["attn"])
    assert [call.k for call in inner.trace.calls] == [2, 2]
    assert all(np.isfinite(softmax(weights)).all() for weights in expected)
