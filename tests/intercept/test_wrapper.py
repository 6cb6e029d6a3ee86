"""The wrapper behaves as the module it wraps, and draws when asked to."""

import copy
import inspect
import io
import pickle
import warnings

import pytest
import torch
from torch import nn

import headscape
from headscape.errors import CaptureWarning, ConflictError, NoAttentionError, OptionError


def make():
    torch.manual_seed(0)
    return nn.Transformer(16, 4, 1, 1, 32, batch_first=True)


X = (torch.randn(2, 5, 16), torch.randn(2, 4, 16))


class Tied(nn.Module):
    """A module that defines for itself what nn.Module offers."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.register_buffer("scale", torch.tensor(2.0))
        self.trained = []

    def forward(self, x, extra=1, *, flag=False):
        return self.attention(x, x, x)[0] * self.scale

    def train(self, mode=True):
        self.trained.append(mode)
        return super().train(mode)

    def state_dict(self, *args, **kwargs):
        return {"own": torch.ones(1)}

    def greet(self):
        return "hello"


def test_the_papers_call_works_word_for_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    import headscape as viz_tool

    transformer = make().eval()
    src, tgt = X
    output = transformer.forward(src, tgt)
    transformer = viz_tool.Wrapper(transformer, show=False)
    assert torch.equal(transformer.forward(src, tgt), output)
    assert torch.equal(transformer.forward(src, tgt, viz=True), output)
    assert torch.equal(transformer(src, tgt, viz=True), output)
    assert [call.kind for call in transformer.trace.calls] == ["self", "self", "cross"]


def test_parameters_state_and_modes_are_the_modules_own():
    module = make()
    wrapper = headscape.Wrapper(module)
    assert list(wrapper.state_dict()) == list(module.state_dict())
    assert [name for name, _ in wrapper.named_parameters()] == [name for name, _ in module.named_parameters()]
    assert [id(p) for p in wrapper.parameters()] == [id(p) for p in module.parameters()]
    assert wrapper.eval() is wrapper
    assert not module.training
    assert not module.encoder.training
    assert wrapper.train() is wrapper
    assert module.training
    assert wrapper.double() is wrapper
    assert module.encoder.layers[0].linear1.weight.dtype == torch.float64
    assert wrapper.to(torch.float32) is wrapper
    wrapper.requires_grad_(False)
    assert not any(p.requires_grad for p in module.parameters())
    assert wrapper.d_model == module.d_model
    wrapper.load_state_dict(make().state_dict())
    wrapper.extra = nn.Linear(2, 2)
    assert "extra.weight" in module.state_dict()
    del wrapper.extra
    assert not hasattr(module, "extra")
    assert isinstance(wrapper, nn.Module)
    assert repr(module) in repr(wrapper)


def test_what_the_module_defines_for_itself_is_asked_of_it():
    module = Tied()
    wrapper = headscape.Wrapper(module)
    assert list(wrapper.state_dict()) == ["own"]
    wrapper.eval()
    assert module.trained == [False]
    assert wrapper.greet() == "hello"
    assert wrapper.scale is module.scale
    parameters = inspect.signature(wrapper.forward).parameters
    assert list(parameters) == ["x", "extra", "flag"]
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = wrapper.nothing_like_it


def test_hooks_run_once_on_either_path():
    module = make()
    wrapper = headscape.Wrapper(module, show=False)
    seen = []
    wrapper.register_forward_hook(lambda *_: seen.append("wrapper"))
    module.register_forward_pre_hook(lambda *_: seen.append("module"))
    wrapper(*X)
    assert seen == ["module", "wrapper"]
    wrapper(*X, viz=True)
    assert seen == ["module", "wrapper"] * 2


@pytest.mark.parametrize("way", ["deepcopy", "copy", "pickle", "torch.save"])
def test_copies_are_wrappers_that_compute_the_same(way):
    wrapper = headscape.Wrapper(make().eval(), show=False, keep=3)
    expected = wrapper(*X, viz=True)
    if way == "torch.save":
        stream = io.BytesIO()
        torch.save(wrapper, stream)
        stream.seek(0)
        other = torch.load(stream, weights_only=False)
    elif way == "pickle":
        other = pickle.loads(pickle.dumps(wrapper))
    else:
        other = copy.deepcopy(wrapper) if way == "deepcopy" else copy.copy(wrapper)
    assert type(other) is headscape.Wrapper
    assert other.traces == ()
    assert torch.equal(other(*X), expected)
    other(*X, viz=True)
    assert other.trace.calls[0].k == 3
    if way != "copy":
        assert not {id(p) for p in other.parameters()} & {id(p) for p in wrapper.parameters()}


def test_off_installs_nothing_and_on_leaves_nothing():
    module = make().eval()
    before = dict(vars(module))
    wrapper = headscape.Wrapper(module, show=False)
    assert vars(wrapper) is vars(module)
    assert vars(module) == before
    wrapper(*X)
    assert wrapper.traces == ()
    wrapper(*X, viz=True)
    assert vars(module).keys() == before.keys()


def test_optimiser_trains_the_module_through_the_wrapper():
    wrapper = headscape.Wrapper(make())
    optimiser = torch.optim.SGD(wrapper.parameters(), lr=0.1)
    before = wrapper.module.encoder.layers[0].linear1.weight.clone()
    wrapper(*X).pow(3).sum().backward()
    optimiser.step()
    assert not torch.equal(before, wrapper.module.encoder.layers[0].linear1.weight)


@pytest.mark.filterwarnings("ignore")
def test_compiled_with_viz_off_and_captured_with_viz_on():
    from torch._dynamo.utils import counters

    wrapper = headscape.Wrapper(make().eval(), show=False)
    with torch.no_grad():
        expected = wrapper(*X)
        compiled = torch.compile(wrapper, backend="eager")
        torch.testing.assert_close(compiled(*X), expected)
        torch.testing.assert_close(compiled(*X, viz=True), expected)
        frames = counters["frames"]["total"]
        torch.testing.assert_close(compiled(*X), expected)
    assert counters["frames"]["total"] == frames
    assert len(wrapper.trace.calls) == 3


@pytest.mark.parametrize("name", ["viz", "viz_tokens"])
def test_module_that_already_takes_viz_is_told_the_way_out(name):
    namespace = {}
    exec(f"def forward(self, x, {name}=None): return x", namespace)
    module = type("Plotter", (nn.Module,), {"forward": namespace["forward"]})()
    with pytest.raises(
        ConflictError, match=rf"Plotter.forward already has an argument '{name}'.*headscape.capture"
    ):
        headscape.Wrapper(module)


def test_misuse_is_answered():
    with pytest.raises(OptionError, match=r"no option 'kep'.*Did you mean 'keep'"):
        headscape.Wrapper(make(), kep="all")
    with pytest.raises(OptionError, match="Did you mean 'path'"):
        headscape.Wrapper(make(), pth="x.html")
    with pytest.raises(OptionError, match=r"takes a torch\.nn\.Module, not NoneType"):
        headscape.Wrapper(None)
    with pytest.raises(OptionError, match=r"takes a torch\.nn\.Module, not str"):
        headscape.capture("model")
    with pytest.raises(OptionError, match="viz_tokens"):
        headscape.Wrapper(make(), show=False)(*X, viz=True, tokens=["a"])
    with pytest.raises(ConflictError, match="Wrapper already"):
        headscape.Wrapper(headscape.Wrapper(make()))
    with pytest.raises(NoAttentionError, match="viz=True"):
        _ = headscape.Wrapper(make()).trace
    assert headscape.Wrapper(nn.Linear(2, 2))(torch.ones(1, 2)).shape == (1, 2)


def test_a_module_without_attention_runs_on_and_is_said_to_have_none():
    wrapper = headscape.Wrapper(linear := nn.Linear(2, 2))
    with pytest.warns(CaptureWarning, match=r"no attention was seen in Linear\. Looked at Linear"):
        output = wrapper(torch.ones(1, 2), viz=True)
    assert torch.equal(output, linear(torch.ones(1, 2)))
    assert wrapper.trace.calls == ()
    with pytest.raises(NoAttentionError, match="no attention was seen in Linear"):
        wrapper.trace.figure()


def test_traces_are_numbered_and_bounded(monkeypatch):
    wrapper = headscape.Wrapper(make().eval(), show=False)
    for _ in range(4):
        wrapper(*X, viz=True)
    assert [trace.step for trace in wrapper.traces] == [1, 2, 3, 4]
    monkeypatch.setattr("headscape.wrapper._TRACES_BYTES", 1)
    wrapper(*X, viz=True)
    assert [trace.step for trace in wrapper.traces] == [5]


def test_labels_come_with_the_call():
    wrapper = headscape.Wrapper(make().eval(), show=False)
    wrapper(*X, viz=True, viz_tokens={"source": list("abcde"), "target": list("wxyz")})
    assert wrapper.trace.tokens() == list("abcde")


def test_a_page_that_cannot_be_written_keeps_the_trace_and_says_where(tmp_path):
    wrapper = headscape.Wrapper(make().eval(), path=tmp_path / "no" / "such" / "folder.html")
    with pytest.warns(CaptureWarning) as caught:
        output = wrapper(*X, viz=True)
    assert output.shape == (2, 4, 16)
    assert len(wrapper.trace.calls) == 3
    assert len(caught) == 1
    assert "trace" in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wrapper(*X, viz=True)  # said once
