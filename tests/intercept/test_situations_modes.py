"""Transforms of torch.func, modes and subclasses of the user's own: right, or said."""

import numpy as np
import pytest
import torch
from tests.intercept.situations import (
    MIXES,
    PATHS,
    Attention,
    block_truth,
    captured,
    expect,
    inputs,
    make,
    one_pass,
    same,
    state_of,
    truth,
)  # fmt: skip
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.func import functional_call, grad, grad_and_value, jacfwd, jvp, stack_module_state, vjp, vmap
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import headscape
from headscape.errors import CaptureError, CaptureWarning

pytestmark = [
    pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning"),  # torch's own, under vmap
    pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning"),  # torch's jvp
]
side_work = pytest.mark.xfail(
    strict=True, reason="the watcher's side work is seen by modes and subclasses of the user's own"
)
TOLD = r"transform of torch\.func \(vmap, grad, jvp\)"


@pytest.mark.parametrize("mix", MIXES)
def test_functional_call_records_the_parameters_it_was_given(mix):
    model, other, x = make(mix), make(mix, seed=9), inputs()
    given = {name: p.detach().clone() for name, p in other.named_parameters()}
    trace = captured(model, x, call=lambda x: functional_call(model, given, x), strict=True)
    expect(trace, truth(other.layers, x))


def parameters_of(model):
    return {name: p.detach() for name, p in model.named_parameters()}


TRANSFORMS = {
    "grad": lambda m, x: grad(lambda p: functional_call(m, p, x).pow(2).sum())(parameters_of(m)),
    "grad_and_value": lambda m, x: grad_and_value(lambda x: m(x).pow(2).sum())(x),
    "vjp": lambda m, x: vjp(m, x)[1](torch.ones(2, 6, 3)),
    "vmap": lambda m, x: vmap(m)(x.unsqueeze(1)),
    "vmap of grad": lambda m, x: vmap(grad(lambda x: m(x[None]).sum()))(x),
    "jvp": lambda m, x: jvp(m, (x,), (x * 2,)),
    "jacfwd": lambda m, x: jacfwd(lambda x: m(x).sum((0, 1)))(x),
}


def flat(result):
    if isinstance(result, torch.Tensor):
        return [result.detach()]
    parts = result.values() if isinstance(result, dict) else result
    return [tensor for part in parts for tensor in flat(part)]


# torch itself cannot: in-place writes under vmap, its fused kernel under forward mode.
POSSIBLE = [
    (name, mix)
    for name in TRANSFORMS
    for mix in MIXES
    if (mix != "in place" or not name.startswith("vmap"))
    and (mix != "kernel" or name not in ("jvp", "jacfwd"))
]


@pytest.mark.parametrize(("name", "mix"), POSSIBLE)
def test_transforms_of_torch_func_are_untouched_and_said_to_be_unseen(name, mix):
    model, x = make(mix), inputs()
    transform = TRANSFORMS[name]
    plain = flat(transform(model, x))
    with pytest.warns(CaptureWarning, match=TOLD) as caught, headscape.capture(model) as run:
        seen = flat(transform(model, x))
    same(plain, seen)
    assert [w.category for w in caught].count(CaptureWarning) == 1
    assert run.trace.calls == ()
    assert any("Capture a plain call of the model" in text for text in run.trace.warnings)
    same(plain, flat(transform(model, x)))


@pytest.mark.parametrize("name", ["vmap", "vmap of grad", "grad_and_value"])
def test_torchs_own_layers_under_a_transform(name):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    model = nn.Sequential(
        nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(16, 3)
    ).eval()
    x = inputs()
    plain = flat(TRANSFORMS[name](model, x))
    with pytest.warns(CaptureWarning, match=TOLD), headscape.capture(model) as run:
        seen = flat(TRANSFORMS[name](model, x))
    same(plain, seen)
    assert run.trace.calls == ()


def test_ensembles_by_vmap_over_parameters_are_said_to_be_unseen():
    models, x = [make(seed=n) for n in range(3)], inputs()
    parameters, buffers = stack_module_state(models)
    model = models[0]

    def ensemble(x):
        return vmap(lambda p, b: functional_call(model, (p, b), x))(parameters, buffers)

    plain = ensemble(x)
    with pytest.warns(CaptureWarning, match=TOLD), headscape.capture(model) as run:
        same(ensemble(x), plain)
    assert run.trace.calls == ()


class Watching(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.seen.append(getattr(func, "__name__", str(func)))
        return func(*args, **(kwargs or {}))


class Dispatching(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


class Doubling(TorchFunctionMode):
    """Changes what a model computes: every softmax is of twice its scores."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.softmax:
            args = (args[0] * 2, *args[1:])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("place", "mode"),
    [
        pytest.param("around the capture", Watching, marks=side_work),
        pytest.param("around the call", Watching, marks=side_work),
        ("inside the model", Watching),
        pytest.param("around the capture", Dispatching, marks=side_work),
        pytest.param("around the call", Dispatching, marks=side_work),
        pytest.param("inside the model", Dispatching, marks=side_work),
    ],
)
@pytest.mark.parametrize("mix", MIXES)
def test_modes_of_the_users_own_see_what_they_saw_without_capture(mix, place, mode):
    model, x, watching = make(mix), inputs(), mode()

    def run_block(block, x):
        with watching:
            return block(x)

    def seen(call):
        watching.seen.clear()
        with torch.no_grad():
            result = call()
        return [result, *watching.seen]

    def inner():
        if place == "around the call":
            with watching:
                return model(x)
        return model(x)

    def outer():
        with headscape.capture(model, keep="all", strict=True) as run:
            result = inner()
        runs.append(run)
        return result

    def around(call):
        with watching:
            return call()

    runs = []
    if place == "inside the model":
        model.run = run_block
    if place == "around the capture":
        plain, watched = seen(lambda: around(inner)), seen(lambda: around(outer))
    else:
        plain, watched = seen(inner), seen(outer)
    same(plain[0], watched[0])
    assert watched[1:] == plain[1:]
    assert len(plain) > 5
    expect(runs[0].trace, truth(model.layers, x))


def test_mode_that_changes_the_scores_is_in_the_weights():
    class Softmax(nn.Module):
        def forward(self, q, k, v):
            return torch.softmax(q @ k.mT, -1) @ v

    model, x = Softmax(), inputs()
    with torch.no_grad(), Doubling():
        plain = model(x, x, x)
        with headscape.capture(model, keep="all") as run:
            same(model(x, x, x), plain)
    (call,) = run.trace.calls
    np.testing.assert_allclose(
        np.stack([call.weights(n)[0] for n in range(2)]),
        torch.softmax(2 * x.double() @ x.double().mT, -1).numpy(),
        atol=2e-6,
    )


@side_work
def test_flops_are_counted_without_those_of_headscape():
    def count(model, x):
        counter = FlopCounterMode(display=False)
        with counter:
            model(x)
        return counter.get_total_flops()

    model, x = make("kernel"), inputs()
    plain = count(model, x)
    with headscape.capture(model, keep="all", strict=True) as run:
        assert count(model, x) == plain
    expect(run.trace, truth(model.layers, x))
    assert plain > 0


def test_default_device_and_default_dtype_of_the_users_own():
    model, x = make("in place"), inputs()
    torch.set_default_device("cpu")
    try:
        expect(captured(model, x, strict=True), truth(model.layers, x))
    finally:
        torch.set_default_device(None)
    torch.set_default_dtype(torch.float64)
    try:
        expect(captured(model, x, strict=True), truth(model.layers, x))
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("cpu"):
        expect(captured(model, x, strict=True), truth(model.layers, x))


def test_default_device_of_another_kind_does_not_move_headscapes_work():
    model, x = make("kernel"), inputs()
    with torch.device("meta"):  # every factory without a device makes an empty tensor
        expect(captured_on_meta(model, x), truth(model.layers, x))


def captured_on_meta(model, x):
    with torch.no_grad(), headscape.capture(model, keep="all", strict=True) as run:
        model(x)
    return run.trace


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("way", ["meta", "fake"])
def test_tensors_without_numbers_are_said_to_have_no_weights(mix, way):
    model, x = make(mix), inputs()
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    if way == "meta":
        model, x = model.to("meta"), x.to("meta")
    before = state_of(model)

    def run_it():
        if way == "meta":
            return model(x)
        with fake:
            return model(fake.from_tensor(x))

    warned = pytest.warns(CaptureWarning, match="hold no numbers")
    with torch.no_grad(), warned, headscape.capture(model) as run:
        output = run_it()
    assert output.shape == (2, 6, 3)
    assert run.trace.calls == ()
    assert any("hold no numbers" in text for text in run.trace.warnings)
    assert state_of(model) == before


class Tagged(torch.Tensor):
    """A subclass that carries a word through every function."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        result = super().__torch_function__(func, types, args, kwargs or {})
        cls.count += 1
        return result

    count = 0


@side_work
@pytest.mark.parametrize("mix", MIXES)
def test_inputs_of_a_tensor_subclass_stay_one(mix):
    model, x = make(mix), inputs()
    with torch.no_grad():
        plain = model(x.as_subclass(Tagged))
        Tagged.count = 0
        model(x.as_subclass(Tagged))
        count, Tagged.count = Tagged.count, 0
        with headscape.capture(model, keep="all", strict=True) as run:
            seen = model(x.as_subclass(Tagged))
    assert type(seen) is type(plain) is Tagged
    assert Tagged.count == count
    same(plain.as_subclass(torch.Tensor), seen.as_subclass(torch.Tensor))
    expect(run.trace, truth(model.layers, x))


def test_torchs_own_layers_leave_their_fast_path_for_a_subclass_and_say_what_is_lost():
    torch.manual_seed(0)
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), 2).eval()
    x = inputs().as_subclass(Tagged)
    with torch.no_grad():
        plain = model(x)
        with pytest.warns(CaptureWarning, match=r"layers\.0\.self_attn"), headscape.capture(model) as run:
            seen = model(x)
    assert type(seen) is Tagged
    same(plain.as_subclass(torch.Tensor), seen.as_subclass(torch.Tensor))
    assert run.trace.calls == ()
    assert sum("softmax that headscape knows" in text for text in run.trace.warnings) == 2


def test_a_parameter_subclass():
    model, x = make(), inputs()
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.weight = nn.Parameter(module.weight.detach().as_subclass(Tagged))
    expect(captured_plain(model, x), truth(make().layers, x))


def captured_plain(model, x):
    with torch.no_grad():
        plain = model(x)
        with headscape.capture(model, keep="all", strict=True) as run:
            same(model(x), plain)
    return run.trace


def test_a_double_backward_and_forward_mode_tangents():
    model, x = make(), inputs().requires_grad_()

    def penalty():
        (slope,) = torch.autograd.grad(model(x).pow(2).sum(), x, create_graph=True)
        return torch.autograd.grad(slope.pow(2).sum(), [x, *model.layers.parameters()], allow_unused=True)

    plain = penalty()
    with headscape.capture(model, keep="all", strict=True) as run:
        seen = penalty()
    same([g for g in plain if g is not None], [g for g in seen if g is not None])
    expect(run.trace, truth(model.layers, x))


def test_dual_numbers_keep_their_tangents():
    model, x = make(), inputs()

    def push():
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
            return [t.clone() for t in torch.autograd.forward_ad.unpack_dual(model(dual))]

    plain = push()
    with headscape.capture(model, keep="all", strict=True) as run:
        seen = push()
    same(plain, seen)
    expect(run.trace, truth(model.layers, x))


def test_strict_makes_an_error_of_what_would_be_a_warning():
    model, x = make(), inputs()
    before = state_of(model)
    with pytest.raises(CaptureError, match=TOLD), headscape.capture(model, strict=True):
        vmap(model)(x.unsqueeze(1))
    assert state_of(model) == before


def test_the_reference_rejects_other_weights():
    model, x = make(), inputs()
    wrong = [weights.copy() for weights in truth(model.layers, x)]
    wrong[1][0, 2, 5, 1] += 1e-5
    with pytest.raises(AssertionError):
        expect(captured(model, x), wrong)
    with pytest.raises(AssertionError):
        expect(captured(model, x), truth(model.layers, x), [*PATHS[:1], "layers.1"])
    assert block_truth(model.layers[0], x.numpy())[0].shape == (2, 4, 6, 6)
    assert isinstance(model.layers[0].attn, Attention)
    with pytest.raises(AssertionError):
        same(one_pass(model, model, x), one_pass(make(seed=1), make(seed=1), x))
