"""Roads to a model's true attention weights that share no code with headscape.

Three of them run a copy of the model once more and look at it; the fourth, working the weights out of the
parameters, stands beside each hand-written model.

- ``identity_probe``: ``scaled_dot_product_attention`` answers a second time with V = identity, so that its
  own kernel says P = kernel(Q, K, I). It holds P V against the kernel's output.
- ``executed_softmax``: what the model's softmax returned.
- ``told_by_model``: the weights a Hugging Face model returns, each of which must be one that a softmax
  of the same pass returned (that is where the path and the order come from).
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from tests.zoo.case import Truth
from torch import Tensor, nn

ROUNDING = 2e-5  # float32: a kernel's own rounding, with room


class TruthError(AssertionError):
    """A road's own cross-check failed: what it found is not the truth."""


def array(tensor: Tensor) -> np.ndarray:
    """Return a tensor as float64, or bool where it was bool."""
    tensor = tensor.detach()
    return tensor.numpy() if tensor.dtype == torch.bool else tensor.double().numpy()


class Stack:
    """Names of the modules that are running, by hooks on a copy of the model."""

    def __init__(self, model: nn.Module) -> None:
        self._running: list[str] = []
        for name, module in model.named_modules():
            module.register_forward_pre_hook(self._enter(name))
            module.register_forward_hook(self._leave, always_call=True)

    def _enter(self, name: str) -> Callable[..., None]:
        return lambda *_: self._running.append(name)

    def _leave(self, *_: Any) -> None:
        self._running.pop()

    @property
    def innermost(self) -> str:
        """Name of the module that runs right now; "" for the root."""
        return self._running[-1] if self._running else ""


def ready(model: nn.Module) -> tuple[nn.Module, Stack]:
    """Return a copy that may be changed, with its stack."""
    twin = copy.deepcopy(model).eval()
    return twin, Stack(twin)


@contextmanager
def without_fast_path() -> Iterator[None]:
    """Let torch.nn go through its Python code, where its kernels can be seen."""
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was)


def check_met_values(weights: Tensor, value: Tensor, output: Tensor) -> None:
    """Assert that ``weights @ value`` is what the kernel returned."""
    if value.dim() == 4 and value.shape[1] != weights.shape[1]:
        value = value.repeat_interleave(weights.shape[1] // value.shape[1], 1)
    gap = (weights.double() @ value.double() - output.double()).abs().max().item()
    if not gap <= ROUNDING * max(1.0, output.abs().max().item()):
        raise TruthError(f"P V differs from the kernel's output by {gap:.2g}")


@contextmanager
def answering_twice(found: list[Truth], stack: Stack) -> Iterator[None]:
    """Make scaled_dot_product_attention note P = kernel(Q, K, identity) beside each answer."""
    kernel = F.scaled_dot_product_attention

    def probe(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, **more):
        output = kernel(query, key, value, attn_mask, dropout_p, is_causal, **more)
        identity = torch.eye(key.shape[-2], dtype=value.dtype).expand(*value.shape[:-1], -1)
        weights = kernel(query, key, identity, attn_mask, 0.0, is_causal, **more)
        check_met_values(weights, value, output)
        found.append(Truth(array(weights), stack.innermost))
        return output

    with mock.patch.object(F, "scaled_dot_product_attention", probe):
        yield


@contextmanager
def noting_softmax(found: list[Truth], stack: Stack) -> Iterator[None]:
    """Note what softmax returns, by whichever name it is called."""
    inside = []

    def noting(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def softmax(*args: Any, **kwargs: Any) -> Tensor:
            inside.append(None)
            try:
                result = original(*args, **kwargs)
            finally:
                inside.pop()
            if not inside:
                found.append(Truth(array(result), stack.innermost))
            return result

        return softmax

    with ExitStack() as patches:
        for home in (F, torch, torch.Tensor):
            patches.enter_context(mock.patch.object(home, "softmax", noting(home.softmax)))
        yield


def identity_probe(model: nn.Module, run: Callable[[nn.Module], Any]) -> list[Truth]:
    """Return the weights of every scaled_dot_product_attention of one run."""
    twin, stack = ready(model)
    found: list[Truth] = []
    with torch.no_grad(), without_fast_path(), answering_twice(found, stack):
        torch.manual_seed(0)
        run(twin)
    return found


def executed_softmax(
    model: nn.Module, run: Callable[[nn.Module], Any], keep: Callable[[Truth], bool] = lambda _: True
) -> list[Truth]:
    """Return what the model's softmaxes returned in one run, those that ``keep`` holds for attention."""
    twin, stack = ready(model)
    found: list[Truth] = []
    with torch.no_grad(), without_fast_path(), noting_softmax(found, stack):
        torch.manual_seed(0)
        run(twin)
    return [truth for truth in found if keep(truth)]


def everything_seen(model: nn.Module, run: Callable[[nn.Module], Any]) -> list[Truth]:
    """Return the weights of every kernel call and every softmax of one run, in order of execution."""
    twin, stack = ready(model)
    found: list[Truth] = []
    with torch.no_grad(), without_fast_path(), answering_twice(found, stack), noting_softmax(found, stack):
        torch.manual_seed(0)
        run(twin)
    return found


def told_by_model(
    model: nn.Module, run: Callable[..., Any], fields: Iterable[str] = ("attentions",)
) -> list[Truth]:
    """Return the weights that a Hugging Face model tells of itself under its eager implementation.

    ``run(model, output_attentions=True)`` must return an output with ``fields``. Its answer must be the
    default implementation's (within 1e-4), and each told tensor one that a softmax of that pass returned.
    """
    torch.manual_seed(0)
    with torch.no_grad():
        usual = first_tensor(run(model))
    twin, stack = ready(model)
    if twin.config._attn_implementation != "eager":
        twin.set_attn_implementation("eager")
    executed: list[Truth] = []
    with torch.no_grad(), noting_softmax(executed, stack):
        torch.manual_seed(0)
        output = run(twin, output_attentions=True)
    gap = (first_tensor(output) - usual).abs().max().item()
    if not gap < 1e-4:
        raise TruthError(f"the eager model answers otherwise than the default one, by {gap:.2g}")
    told = [array(t) for name in fields for t in output[name] if t is not None]
    return match_told(told, executed)


def match_told(told: list[np.ndarray], executed: list[Truth]) -> list[Truth]:
    """Return the executed softmaxes that were told, in order of execution; each told one must be there."""
    if not told:
        raise TruthError("the model told of no attention")
    chosen: dict[int, Truth] = {}
    for number, weights in enumerate(told):
        alike = [
            place
            for place, truth in enumerate(executed)
            if place not in chosen and agrees(truth.weights, weights)
        ]
        if not alike:
            raise TruthError(f"told matrix {number}, {weights.shape}, is none that a softmax returned")
        chosen[alike[0]] = executed[alike[0]].but(weights=weights)
    return [chosen[place] for place in sorted(chosen)]


def agrees(executed: np.ndarray, told: np.ndarray) -> bool:
    """Whether a told matrix is what a softmax returned, folded heads and a sink's last column aside."""
    if executed.shape[:-1] == told.shape[:-1] and executed.shape[-1] == told.shape[-1] + 1:
        executed = executed[..., :-1]
    if executed.size != told.size or executed.shape[-2:] != told.shape[-2:]:
        return False
    return bool(np.abs(executed.reshape(told.shape) - told).max() <= 1e-6)


def first_tensor(output: Any) -> Tensor:
    """Return the first tensor of a model's answer."""
    if isinstance(output, Tensor):
        return output
    values = output.values() if isinstance(output, dict) else output
    return first_tensor(next(iter(values)))
