"""How ``headscape.capture`` is used, what it keeps, and what bad input gets."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.intercept import by_hand
from torch import nn

import headscape
from headscape.errors import CaptureWarning, NoAttentionError, NotKeptError, OptionError
from headscape.intercept import recorder


def attention():
    torch.manual_seed(0)
    return nn.MultiheadAttention(16, 4, batch_first=True)


def encoder(layers=2):
    torch.manual_seed(0)
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), layers)


def test_every_forward_pass_is_a_trace_with_its_number():
    model = encoder()
    with headscape.capture(model) as run:
        for length in (3, 5):
            model(torch.randn(1, length, 16))
        model.forward(torch.randn(1, 2, 16))
    assert [trace.step for trace in run.traces] == [1, 2, 3]
    assert [trace.calls[0].shape[2] for trace in run.traces] == [3, 5, 2]
    assert run.trace is run.traces[-1]
    model(torch.randn(1, 4, 16))
    assert len(run.traces) == 3


def test_module_that_runs_twice_has_two_sites():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)

        def forward(self, x):
            return self.layer(self.layer(x))

    with headscape.capture(model := Shared()) as run:
        model(torch.randn(2, 5, 16))
    assert [call.site for call in run.trace.calls] == ["layer.self_attn", "layer.self_attn#1"]
    assert [call.plane for call in run.trace.calls] == [0, 1]
    assert len(run.trace.sides) == 1


def test_twin_towers_of_equal_length_are_two_sides():
    class Twins(nn.Module):
        def __init__(self):
            super().__init__()
            self.tower = encoder()

        def forward(self, a, b):
            return self.tower(a).mean(1), self.tower(b).mean(1)

    with headscape.capture(model := Twins()) as run:
        model(torch.randn(2, 5, 16), torch.randn(2, 5, 16))
    assert [call.query_side for call in run.trace.calls] == [0, 0, 1, 1]


def test_layers_with_a_map_between_them_are_one_side():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = encoder(1), encoder(1)

        def forward(self, x):
            return self.second(torch.from_numpy(self.first(x).detach().numpy() * 2))

    with headscape.capture(model := Mixed()) as run:
        model(torch.randn(2, 5, 16))
    assert [(call.query_side, call.plane) for call in run.trace.calls] == [(0, 0), (0, 1)]


def test_parallel_and_in_place_blocks_give_residual_and_feed_forward_norms():
    class Parallel(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.mlp = attention(), nn.Linear(16, 16)

        def forward(self, x):
            y = x * 0.5
            mixed = self.attention(y, y, y, need_weights=False)[0]
            return self.join(x, mixed, self.mlp(y))

    joins = {
        "one by one": lambda x, a, f: x + a + f,
        "branches first": lambda x, a, f: x + (a + f),
        "branches first, other order": lambda x, a, f: (f + a) + x,
        "in place": lambda x, a, f: x.clone().add_(a).add_(f),
    }
    x = torch.randn(3, 3, 16)  # batch and length alike: axes must not be guessed from sizes
    for name, join in joins.items():
        model = Parallel()
        model.join = join
        with headscape.capture(model, strict=True) as run:
            model(x)
        y = x.double().numpy() * 0.5
        _, _, attended = by_hand.attention(model.attention, y)
        forward = by_hand.linear(y, model.mlp.weight, model.mlp.bias)
        for example in range(3):
            flow = run.trace.calls[0].flow(example)
            np.testing.assert_allclose(
                flow.residual, np.linalg.norm(x[example], axis=-1), rtol=1e-5, err_msg=name
            )
            if name in ("one by one", "in place"):
                np.testing.assert_allclose(
                    flow.attention, np.linalg.norm(attended[example], axis=-1), rtol=1e-5
                )
            np.testing.assert_allclose(
                flow.feed_forward, np.linalg.norm(forward[example], axis=-1), rtol=1e-5, err_msg=name
            )


def test_values_off_keeps_weights_only():
    model = attention()
    x = torch.randn(1, 5, 16)
    with headscape.capture(model, values=False) as run:
        model(x, x, x)
    (call,) = run.trace.calls
    assert not call.has_values
    with pytest.raises(NotKeptError, match=r"values=True"):
        call.contribution()


def test_auto_keeps_all_while_small_and_top_k_of_every_call_beyond_the_budget(monkeypatch):
    model, x = encoder(3), torch.randn(2, 40, 16)
    one = 2 * 4 * 40 * 40 * 4
    monkeypatch.setattr(recorder, "DENSE_LIMIT_BYTES", 3 * one)
    with headscape.capture(model) as run:
        model(x)
    assert [call.k for call in run.trace.calls] == [None] * 3
    dense = run.trace
    monkeypatch.setattr(recorder, "DENSE_LIMIT_BYTES", 3 * one - 1)
    model.eval()
    with headscape.capture(model, keep="all") as run:
        model(x)
    dense = run.trace
    with headscape.capture(model) as run:
        model(x)
    assert [call.k for call in run.trace.calls] == [recorder.TOP_K] * 3
    for cut, whole in zip(run.trace.calls, dense.calls, strict=True):
        keys, weights = cut.top(1)
        expected_keys, expected = whole.top(1, k=16)
        np.testing.assert_array_equal(keys, expected_keys)
        np.testing.assert_array_equal(weights, expected)
        np.testing.assert_allclose(cut.kept_mass(1), expected.sum(-1), atol=1e-6)
        rows = np.take_along_axis(whole.contribution(1), keys, -1)
        np.testing.assert_allclose(cut.contribution(1), rows, rtol=1e-6)
        np.testing.assert_allclose(cut.stats.received, whole.stats.received, rtol=1e-5)
        with pytest.raises(NotKeptError, match=r'kept the top 16 of 40 keys.*keep="all"'):
            cut.weights()
        with pytest.raises(NotKeptError, match="kept 16 keys a row, not 17"):
            cut.top(k=17)


def test_many_blocks_of_rows_give_what_one_gives(monkeypatch):
    model, x = attention().eval(), torch.randn(2, 11, 16)
    mask = torch.triu(torch.ones(11, 11, dtype=torch.bool), 1)
    with headscape.capture(model) as whole:
        model(x, x, x, attn_mask=mask, need_weights=False)
    monkeypatch.setattr("headscape.intercept.plain_rows.BLOCK_FLOATS", 2 * 4 * 11 * 3)
    with headscape.capture(model) as parts:
        model(x, x, x, attn_mask=mask, need_weights=False)
    for name, array in whole.trace.calls[0].arrays.present().items():
        np.testing.assert_allclose(
            parts.trace.calls[0].arrays.present()[name], array, atol=1e-6, err_msg=name
        )


@pytest.mark.parametrize("keep", [0, -3, "most", True, 2.5])
def test_wrong_keep_is_answered_with_what_there_is(keep):
    with pytest.raises(OptionError, match=r'"auto", "all" or a number'):
        headscape.capture(attention(), keep=keep)


def test_model_without_attention_is_said_to_have_none_and_what_was_looked_at(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    said = r"no attention was seen in Sequential\. Looked at 0 \(Linear\), 1 \(ReLU\), 2 \(Linear\)\."
    with pytest.warns(CaptureWarning, match=said), headscape.capture(model) as run:
        model(torch.randn(1, 4))
    assert run.trace.calls == ()
    assert re.search(said, run.trace.warnings[0])
    assert headscape.load(run.trace.save(tmp_path / "x.headscape")).warnings == run.trace.warnings


def test_trace_before_any_pass_says_to_call_the_model():
    with headscape.capture(encoder()) as run, pytest.raises(NoAttentionError, match="call the model inside"):
        _ = run.trace


def test_attention_module_that_stayed_silent_is_named():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused_one = encoder(1), attention()

        def forward(self, x):
            return self.used(x)

    with headscape.capture(model := Idle()) as run:
        model(torch.randn(1, 4, 16))
    assert run.trace.warnings == (
        "unused_one (MultiheadAttention) looks like attention, but none was seen in it.",
    )


def test_rows_with_nan_are_counted_and_the_rest_stays():
    model, x = attention(), torch.randn(2, 5, 16)
    x[1, 2] = float("nan")
    with headscape.capture(model) as run:
        model(x, x, x)
    (call,) = run.trace.calls
    assert call.nan_rows == 4 * 5  # every row of example 1 sees the broken key
    assert np.isfinite(call.weights(0)).all()
    assert np.isnan(call.weights(1)).all()
    assert any("20 rows" in text and "NaN" in text for text in run.trace.warnings)


def test_self_check_notices_a_wrong_recording(monkeypatch):
    class Kernel(nn.Module):
        def forward(self, x):
            return nn.functional.scaled_dot_product_attention(x, x, x)

    model, x, real = Kernel(), torch.randn(2, 2, 5, 16), headscape.intercept.calls.Arguments.of

    def without_scale(*given):
        return replace(real(*given), scale=1.0)

    monkeypatch.setattr("headscape.intercept.calls.Arguments.of", without_scale)
    with headscape.capture(model) as run:
        model(x)
    assert run.trace.calls[0].self_check > 1e-2
    assert any("Do not trust this call" in text for text in run.trace.warnings)


def test_capture_may_be_nested_and_run_on_a_submodule():
    model, x = encoder(), torch.randn(1, 4, 16)
    with headscape.capture(model) as outer, headscape.capture(model.layers[1]) as inner:
        model(x)
    assert [call.path for call in inner.trace.calls] == ["self_attn"]
    assert [call.path for call in outer.trace.calls] == ["layers.0.self_attn", "layers.1.self_attn"]
    assert "forward" not in vars(model)


def test_compiled_model_is_captured_eagerly_and_not_compiled_again():
    model, x = encoder().eval(), torch.randn(1, 4, 16)
    compiled = torch.compile(model, backend="eager")
    from torch._dynamo.utils import counters

    with torch.no_grad():
        plain = compiled(x)
        frames = counters["frames"]["total"]
        with headscape.capture(compiled, strict=True) as run:
            seen = compiled(x)
        compiled(x)
    assert counters["frames"]["total"] == frames
    assert torch.equal(plain, seen)
    assert [call.path for call in run.trace.calls] == ["layers.0.self_attn", "layers.1.self_attn"]


@pytest.mark.parametrize("grad", [True, False])
def test_row_that_may_see_nothing_is_what_the_kernel_made_of_it(grad):
    model, x = encoder(1).eval(), torch.randn(2, 5, 16)
    mask = torch.zeros(5, 5, dtype=torch.bool)
    mask[2] = True
    with torch.set_grad_enabled(grad), headscape.capture(model, strict=True) as run:
        output = model(x, mask=mask)
    (call,) = run.trace.calls
    assert (call.visible()[:, 2] == 0).all()
    assert np.isnan(call.stats.entropy[:, :, 2]).all()
    is_nan = bool(output[:, 2].isnan().all())  # torch's kernels differ: zeros, or NaN on the fast path
    assert np.isnan(call.weights()[:, 2]).all() == is_nan
    assert call.nan_rows == (2 * 4 if is_nan else 0)
    others = np.delete(np.arange(5), 2)
    np.testing.assert_allclose(call.weights()[:, others].sum(-1), 1, atol=1e-6)


def test_capture_of_a_wrapper_watches_the_module_inside():
    wrapper = headscape.Wrapper(encoder(), show=False)
    with headscape.capture(wrapper) as run:
        wrapper(torch.randn(1, 4, 16))
    assert [call.path for call in run.trace.calls] == ["layers.0.self_attn", "layers.1.self_attn"]
    assert "forward" not in vars(wrapper)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("shape", [(0, 5, 16), (2, 1, 16)])
def test_empty_batch_and_single_token(shape, grad):
    model = encoder(1).eval()
    with torch.set_grad_enabled(grad), headscape.capture(model, strict=True) as run:
        model(torch.randn(shape))
    assert run.trace.calls[0].shape == (shape[0], 4, shape[1], shape[1])
