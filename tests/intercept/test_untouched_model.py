"""The model is sacred: same bits out, same gradients, same random numbers, nothing left behind."""

import copy
import gc
import pickle
import threading
import weakref

import pytest
import torch
import torch.overrides
import torch.utils.checkpoint
from torch import nn

import headscape
from headscape.errors import CaptureError, CaptureWarning
from headscape.intercept import watcher as watcher_module

PAD = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])


def encoder(**options):
    norm_first = options.get("norm_first", False)
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, **options)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=not norm_first)


class Classifier(nn.Module):
    """An encoder with a masked mean and a linear head."""

    def __init__(self):
        super().__init__()
        self.encoder, self.head = encoder(), nn.Linear(16, 3)

    def forward(self, x):
        states = self.encoder(x, src_key_padding_mask=PAD)
        keep = (~PAD)[..., None]
        return self.head((states * keep).sum(1) / keep.sum(1))


class InPlace(nn.Module):
    """A block that adds in place and mixes with a parallel feed-forward part."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True, dropout=0.3)
        self.mlp = nn.Linear(16, 16)

    def forward(self, x):
        x = x * 1.5
        y = x * 0.5
        x += self.attention(y, y, y)[0]
        x += self.mlp(y)
        return x


class Checkpointed(nn.Module):
    """Activation checkpointing runs each layer a second time, in backward."""

    def __init__(self):
        super().__init__()
        self.layers = encoder().layers

    def forward(self, x):
        for layer in self.layers:
            x = torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)
        return x


MODELS = {
    "post-norm encoder": (encoder, 1),
    "pre-norm encoder": (lambda: encoder(norm_first=True), 1),
    "gelu": (lambda: encoder(activation="gelu"), 1),
    "classifier with padding": (Classifier, 1),
    "transformer": (lambda: nn.Transformer(16, 4, 1, 1, 32, batch_first=True), 2),
    "decoder": (lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 4, 32, batch_first=True), 2), 2),
    "attention": (lambda: nn.MultiheadAttention(16, 4, batch_first=True, dropout=0.2, add_zero_attn=True), 3),
    "in place": (InPlace, 1),
    "checkpointed": (Checkpointed, 1),
}


def run(model, inputs, *, backward):
    """Return output, gradients and the next random number of one seeded pass."""
    torch.manual_seed(11)
    model.zero_grad()
    inputs = [x.clone().requires_grad_(backward) for x in inputs]
    output = model(*inputs)
    output = output[0] if isinstance(output, tuple) else output
    gradients = []
    if backward:
        (output**2).sum().backward()
        gradients = [x.grad for x in inputs] + [p.grad for p in model.parameters()]
    return [output.detach(), *[g for g in gradients if g is not None]], torch.rand(3)


@pytest.mark.parametrize("mode", ["train", "eval with grad", "eval without grad", "inference", "autocast"])
@pytest.mark.parametrize("name", MODELS)
def test_output_gradients_and_random_state_are_the_same_bits(name, mode):
    torch.manual_seed(5)
    make, count = MODELS[name]
    model = make().train(mode in ("train", "autocast"))
    x = torch.randn(2, 6, 16)
    inputs = [x] * count
    backward = mode in ("train", "eval with grad", "autocast")
    with (
        torch.set_grad_enabled(backward),
        torch.inference_mode(mode == "inference"),
        torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"),
    ):
        plain, plain_random = run(model, inputs, backward=backward)
        with headscape.capture(model, strict=True) as captured:
            seen, seen_random = run(model, inputs, backward=backward)
    assert len(captured.trace.calls) >= 1
    assert len(plain) == len(seen)
    for a, b in zip(plain, seen, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(plain_random, seen_random)
    assert captured.trace.warnings == ()


def test_the_comparison_of_bits_sees_a_single_changed_one():
    a = torch.ones(3)
    b = a.clone()
    b[1] = torch.nextafter(b[1], torch.tensor(2.0))
    with pytest.raises(AssertionError):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_capture_keeps_the_fast_path_that_a_plain_function_mode_loses():
    torch.manual_seed(0)
    model = Classifier().eval()
    x = torch.randn(2, 6, 16)

    class Plain(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(getattr(func, "__name__", ""))
            return func(*args, **(kwargs or {}))

    with torch.no_grad():
        seen = []
        with Plain():
            model(x)
        assert "_transformer_encoder_layer_fwd" not in seen
        with headscape.capture(model) as captured:
            model(x)
    assert {call.source for call in captured.trace.calls} == {"fused"}


@pytest.mark.parametrize("fails", [True, False])
def test_nothing_is_left_behind(fails):
    model = Classifier()
    before = torch.overrides.has_torch_function
    attributes = {name: dict(vars(m)) for name, m in model.named_modules()}

    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop("from the model")

    if fails:
        handle = model.head.register_forward_pre_hook(stop)
        with pytest.raises(Stop, match="from the model"), headscape.capture(model) as captured:
            model(torch.randn(2, 6, 16))
        assert captured.traces == []
        handle.remove()
    else:
        with headscape.capture(model) as captured:
            model(torch.randn(2, 6, 16))
    assert torch.overrides.has_torch_function is before
    assert torch.overrides._get_current_function_mode_stack() == []
    for name, module in model.named_modules():
        assert vars(module).keys() == attributes[name].keys()
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_no_tensor_of_the_pass_is_kept_alive():
    model = encoder()
    with headscape.capture(model) as captured:
        output = model(torch.randn(2, 6, 16))
    alive = weakref.ref(output)
    del output
    gc.collect()
    assert alive() is None
    assert captured.trace.calls


def test_a_failure_inside_headscape_is_one_warning_and_the_output_stays(monkeypatch):
    model, x = encoder().eval(), torch.randn(2, 6, 16)
    plain = model(x)

    def broken(*_, **__):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(watcher_module, "same_sequence", broken)
    with (
        pytest.warns(CaptureWarning, match=r"ZeroDivisionError: planted.*strict=True") as caught,
        headscape.capture(model) as captured,
    ):
        assert torch.equal(model(x), plain)
    assert len(caught) == 1
    assert captured.trace.calls == ()
    assert any("ZeroDivisionError: planted" in text for text in captured.trace.warnings)
    with pytest.raises(CaptureError, match="planted"), headscape.capture(model, strict=True):
        model(x)


def test_one_broken_call_leaves_the_others_and_says_what_was_lost(monkeypatch):
    model, x = encoder().eval(), torch.randn(2, 6, 16)
    real, runs = watcher_module.same_sequence, []

    def breaks_once(*args):
        runs.append(1)
        if len(runs) == 1:
            raise ZeroDivisionError("planted")
        return real(*args)

    monkeypatch.setattr(watcher_module, "same_sequence", breaks_once)
    with pytest.warns(CaptureWarning, match="planted"), headscape.capture(model) as captured:
        model(x)
    assert [call.path for call in captured.trace.calls] == ["layers.1.self_attn"]
    assert any("planted" in text and "layers.0" in text for text in captured.trace.warnings)


def test_other_threads_run_as_ever_while_one_is_watched():
    model, x = encoder().eval(), torch.randn(2, 6, 16)
    other = encoder().eval()
    results = []
    with torch.no_grad():
        expected = other(x)

        def work():
            with torch.no_grad():
                results.extend(other(x) for _ in range(20))

        thread = threading.Thread(target=work)
        thread.start()
        for _ in range(10):
            with headscape.capture(model) as captured:
                model(x)
            assert len(captured.trace.calls) == 2
        thread.join()
    assert all(torch.equal(result, expected) for result in results)


def test_training_with_and_without_capture_has_the_same_losses_bit_for_bit():
    def train(every):
        torch.manual_seed(0)
        model = Classifier().train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
        data, losses = torch.randn(12, 2, 6, 16), []
        wrapped = headscape.Wrapper(model, show=False)
        for step, x in enumerate(data):
            loss = nn.functional.cross_entropy(
                wrapped(x, viz=bool(every) and step % every == 0), torch.tensor([0, 2])
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        return losses, wrapped.traces

    without, none = train(0)
    with_it, traces = train(3)
    assert with_it == without
    assert none == ()
    assert [trace.step for trace in traces] == [1, 2, 3, 4]
    assert without[0] != without[-1]


def make_two(model):
    first, second = headscape.capture(model), headscape.capture(model)
    return first, second


def test_captures_of_one_model_may_end_in_any_order():
    model, x = encoder().eval(), torch.randn(2, 6, 16)
    first, second = make_two(model)
    first.__enter__()
    model(x)
    second.__enter__()
    model(x)
    first.__exit__(None, None, None)
    model(x)
    second.__exit__(None, None, None)
    assert "forward" not in vars(model)
    model(x)
    assert (len(first.traces), len(second.traces)) == (2, 2)
    assert [call.path for call in second.trace.calls] == ["layers.0.self_attn", "layers.1.self_attn"]


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_copy_made_while_watched_is_a_model_of_its_own(way):
    model, x = encoder().eval(), torch.randn(2, 6, 16)
    with headscape.capture(model) as captured:
        expected = model(x)
        other = copy.deepcopy(model) if way == "deepcopy" else pickle.loads(pickle.dumps(model))
        assert torch.equal(other(x), expected)
        for parameter in other.parameters():
            parameter.data.zero_()
        assert torch.equal(other(x), torch.zeros_like(expected))
        assert torch.equal(model(x), expected)
    assert len(captured.traces) == 2
    assert torch.equal(other(x), torch.zeros_like(expected))


def test_threads_that_capture_one_model_each_get_their_own_passes():
    model = encoder().eval()
    lengths, found, start = (3, 4, 5, 6), {}, threading.Barrier(4)

    def work(length):
        start.wait()
        with torch.no_grad():
            for _ in range(5):
                with headscape.capture(model) as captured:
                    model(torch.randn(1, length, 16))
                found.setdefault(length, []).append([t.calls[0].shape[2] for t in captured.traces])

    threads = [threading.Thread(target=work, args=(length,)) for length in lengths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {length: [[length]] * 5 for length in lengths}
    assert "forward" not in vars(model)


def test_capture_sees_the_calls_of_threads_without_a_capture():
    model = encoder().eval()
    with headscape.capture(model) as captured:
        thread = threading.Thread(target=lambda: model(torch.randn(1, 3, 16)))
        thread.start()
        thread.join()
    assert len(captured.trace.calls) == 2
