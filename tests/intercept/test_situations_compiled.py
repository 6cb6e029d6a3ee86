"""Compiled, scripted, traced and exported models."""

import numpy as np
import pytest
import torch
from tests.intercept.situations import (
    MIXES,
    expect,
    inputs,
    make,
    same,
    state_of,
    truth,
)  # fmt: skip
from torch import nn
from torch._dynamo.utils import counters
from torch.export import export

import headscape
from headscape.errors import CaptureWarning

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch's own, of scripting
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),  # torch's own compiler
]


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def frames():
    return dict(counters["frames"]), dict(counters["stats"])


def whole(model):
    return torch.compile(model, backend="eager")


def one_layer(model):
    model.layers[1] = torch.compile(model.layers[1], backend="eager")
    return model


def inner_function(model):
    for block in model.layers:
        block.attn.mix = torch.compile(block.attn.mix, backend="eager")
    return model


def in_place_method(model):
    model.compile(backend="eager")
    return model


COMPILED = [whole, one_layer, inner_function, in_place_method]


@pytest.mark.parametrize("way", COMPILED)
@pytest.mark.parametrize("mix", MIXES)
def test_compiled_parts_are_captured_and_compile_no_more(mix, way):
    x, eager = inputs(), make(mix)
    expected = truth(eager.layers, x)
    with torch.no_grad():
        plain = eager(x)
        model = way(make(mix))
        first = model(x)
        compiled = frames()
        assert compiled[0]["ok"] >= 1
        before = state_of(model)
        with headscape.capture(model, keep="all", strict=True) as run:
            seen = model(x)
        assert frames() == compiled
        assert state_of(model) == before
        same(first, model(x))
        assert frames() == compiled
    same(seen, plain)  # the pass runs eagerly: the bits of the model that was not compiled
    expect(run.trace, expected)


@pytest.mark.parametrize("way", COMPILED)
def test_gradients_of_a_captured_pass_of_a_compiled_model(way):
    x, eager = inputs(), make()
    model = way(make())
    slopes = []
    for one in (eager, model):
        output = one(x)
        if one is model:
            compiled = frames()
            with headscape.capture(model, keep="all", strict=True) as run:
                output = one(x)
            assert frames() == compiled
        output.pow(2).sum().backward()
        slopes.append([p.grad for p in one.parameters()])
    same(*slopes)
    expect(run.trace, truth(eager.layers, x))


@pytest.mark.parametrize("way", [whole, one_layer])
def test_captured_before_its_first_compiled_pass(way):
    model, x = way(make()), inputs()
    with torch.no_grad(), headscape.capture(model, keep="all", strict=True) as run:
        model(x)
    assert counters["frames"]["total"] == 0
    expect(run.trace, truth(make().layers, x))
    with torch.no_grad():
        torch.testing.assert_close(model(x), make()(x))
    assert counters["frames"]["ok"] >= 1


@pytest.mark.slow
def test_code_from_inductor_differs_by_rounding_and_stays_in_use():
    model, x = make("kernel"), inputs()
    compiled = torch.compile(model)
    with torch.no_grad():
        eager, first = model(x), compiled(x)
        made = frames()
        with headscape.capture(compiled, keep="all", strict=True) as run:
            same(compiled(x), eager)
        same(compiled(x), first)
    assert frames() == made
    torch.testing.assert_close(first, eager)
    expect(run.trace, truth(model.layers, x))


def test_calls_of_other_shapes_compile_as_they_would_without_capture():
    def run(watched):
        torch._dynamo.reset()
        counters.clear()
        model = whole(make())
        with torch.no_grad():
            for length in (4, 5, 6):
                model(inputs(length=length))
                if watched:
                    with headscape.capture(model, strict=True):
                        model(inputs(length=length + 1))
        return counters["frames"]["ok"], counters["stats"]["unique_graphs"]

    assert run(watched=True) == run(watched=False)


@pytest.mark.parametrize("mix", MIXES)
def test_wrapper_inside_a_compiled_call(mix):
    wrapper, x = headscape.Wrapper(make(mix), show=False, keep="all"), inputs()
    compiled = torch.compile(wrapper, backend="eager")
    with torch.no_grad():
        plain = wrapper.module(x)
        same(compiled(x), plain)
        same(compiled(x, viz=True), plain)
        made = frames()
        same(compiled(x), plain)
        same(compiled(x, viz=True), plain)
    assert frames() == made
    assert len(wrapper.traces) == 2
    for trace in wrapper.traces:
        expect(trace, truth(wrapper.layers, x))


def test_wrapper_inside_a_compiled_function_of_the_users():
    wrapper, x = headscape.Wrapper(make(), show=False, keep="all"), inputs()

    @torch.compile(backend="eager")
    def step(x):
        return wrapper(x * 2, viz=True) + 1

    with torch.no_grad():
        same(step(x), wrapper.module(x * 2) + 1)
    expect(wrapper.trace, truth(wrapper.layers, x * 2))


def test_capture_of_a_part_of_a_compiled_model():
    model, x = make(), inputs()
    compiled = whole(model)
    with torch.no_grad():
        first = compiled(x)
        with headscape.capture(model.layers[1], keep="all") as run:
            seen = compiled(x)
        same(first, compiled(x))
    same(seen, first)
    for trace in run.traces:  # seen or not, as the compiler has it; never wrong
        expect(trace, truth(model.layers, x)[1:], ["attn"])


def test_the_frame_counter_sees_a_recompilation():
    model = whole(make())
    with torch.no_grad():
        model(inputs(length=4))
        made = frames()
        model(inputs(length=5))
    assert frames() != made


class Bare(nn.Module):
    """Attention without a Python part that scripting cannot read."""

    def __init__(self, kernel):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(16, 16) for _ in range(3))
        self.kernel = kernel

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            self.q(x).unflatten(-1, (4, 4)).transpose(1, 2),
            self.k(x).unflatten(-1, (4, 4)).transpose(1, 2),
            self.v(x).unflatten(-1, (4, 4)).transpose(1, 2),
        )
        if self.kernel:
            return nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return (torch.softmax(q @ k.transpose(-1, -2) * 0.5, -1) @ v).transpose(1, 2).flatten(2)


class Around(nn.Module):
    """Python around two parts that are not."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x):
        return self.second(self.first(x) + x)


def bare_truth(module, x):
    q, k = (
        (x.double() @ part.weight.double().T + part.bias.double()).unflatten(-1, (4, 4)).transpose(1, 2)
        for part in (module.q, module.k)
    )
    return torch.softmax(q @ k.mT * 0.5, -1).detach().numpy()


def scripted(module, _):
    return torch.jit.script(module)


def traced(module, x):
    return torch.jit.trace(module, x)


def exported(module, x):
    return export(module, (x,)).module()


WITHOUT_PYTHON = [scripted, traced, exported]


@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "hand"])
@pytest.mark.parametrize("way", WITHOUT_PYTHON)
def test_programs_without_python_keep_their_result_and_say_when_nothing_was_seen(way, kernel):
    torch.manual_seed(0)
    module, x = Bare(kernel).eval(), inputs()
    with torch.no_grad():
        program = way(module, x)
        plain = [program(x) for _ in range(3)][-1]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("warnings.warn", lambda *_, **__: None)
            with headscape.capture(program, keep="all") as run:
                same(program(x), plain)
        same(program(x), plain)
    (trace,) = run.traces
    assert bool(trace.calls) != any("no attention was seen" in text for text in trace.warnings)
    for call in trace.calls:
        np.testing.assert_allclose(
            np.stack([call.weights(n) for n in range(2)]), bare_truth(module, x), atol=2e-6
        )


@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "hand"])
@pytest.mark.parametrize("way", [scripted, traced])
def test_scripted_and_traced_modules_are_captured(way, kernel):
    torch.manual_seed(0)
    module, x = Bare(kernel).eval(), inputs()
    with torch.no_grad():
        program = way(module, x)
        with headscape.capture(program, keep="all", strict=True) as run:
            program(x)
    expect(run.trace, [bare_truth(module, x)], [""], warnings=run.trace.warnings)


@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "hand"])
def test_exported_programs_are_captured(kernel):
    torch.manual_seed(0)
    module, x = Bare(kernel).eval(), inputs()
    with torch.no_grad():
        program = exported(module, x)
        with headscape.capture(program, keep="all", strict=True) as run:
            program(x)
    (call,) = run.trace.calls
    np.testing.assert_allclose(
        np.stack([call.weights(n) for n in range(2)]), bare_truth(module, x), atol=2e-6
    )


@pytest.mark.parametrize("way", [scripted, traced])
def test_scripted_parts_of_a_python_model_have_their_own_paths(way):
    torch.manual_seed(0)
    parts, x = [Bare(True).eval(), Bare(False).eval()], inputs()
    with torch.no_grad():
        model = Around(*(way(part, x) for part in parts))
        with headscape.capture(model, keep="all", strict=True) as run:
            model(x)
        expected = [bare_truth(parts[0], x), bare_truth(parts[1], parts[0](x) + x)]
    expect(run.trace, expected, ["first", "second"], warnings=run.trace.warnings)


def by_trace(module, x):
    return torch.jit.trace(module.forward, x, check_trace=False)


@pytest.mark.parametrize("way", [by_trace, exported])
def test_making_a_program_of_a_watched_model_is_not_a_pass_of_it(way):
    torch.manual_seed(0)
    module, x = Bare(True).eval().requires_grad_(False), inputs()
    with pytest.warns(CaptureWarning, match="being made into a program"), headscape.capture(module) as run:
        program = way(module, x)
    assert run.traces == []
    plain = way(module, x)
    assert str(program.graph).count("\n") == str(plain.graph).count("\n")
    same(program(2 * x), module(2 * x))
