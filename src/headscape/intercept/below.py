"""The fallback where no Python runs: TorchScript and exported programs, seen below them.

A dispatch mode sees every native function. It is entered only if the model holds compiled TorchScript, and
follows only what no Python function asked for: the rest is seen by the function mode already, with more of
its meaning left.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from headscape.intercept.ops import name_of

Follow = Callable[[str, Any, tuple[Any, ...], dict[str, Any], Any], None]
_KERNEL = "_scaled_dot_product_"


class Below(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands native functions that compiled code runs to a watcher.

    ``is_above`` tells whether a Python function is being run (its parts are of no interest); ``kernel`` takes
    fused attention, ``follow`` all else.
    """

    def __init__(self, is_above: Callable[[], bool], follow: Follow, kernel: Follow) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._is_above = is_above
        self._follow = follow
        self._kernel = kernel

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunction():  # the function mode would see it as a call from Python
            result = func(*args, **kwargs)
        if not self._is_above():
            name = name_of(func)
            with torch._C.DisableTorchFunction():
                (self._kernel if name.startswith(_KERNEL) else self._follow)(name, func, args, kwargs, result)
        return result


def kernel_arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a native attention kernel as those of ``scaled_dot_product_attention``."""
    names = [argument.name for argument in func._schema.arguments]
    named = dict(zip(names, args, strict=False)) | kwargs
    mask = named.get("attn_mask", named.get("attn_bias"))
    return {
        "query": named["query"], "key": named["key"], "value": named["value"], "attn_mask": mask,
        "dropout_p": named.get("dropout_p", 0.0), "is_causal": named.get("is_causal", False),
        "scale": named.get("scale"), "enable_gqa": named.get("enable_gqa", False),
    }  # fmt: skip


def is_compiled_script(model: nn.Module) -> bool:
    """Whether a model holds TorchScript, or calls a scripted function by a name it knows."""
    if "torch.jit" not in sys.modules:
        return False
    kinds = (torch.jit.ScriptModule, torch.jit.ScriptFunction)
    for module in model.modules():
        if isinstance(module, kinds):
            return True
        if any(isinstance(value, kinds) for value in vars(module).values()):
            return True
    kinds_of_modules: set[Any] = {type(module) for module in model.modules()}
    return any(_calls_script(kind) for kind in kinds_of_modules)


@functools.lru_cache(maxsize=4096)
def _calls_script(kind: type) -> bool:
    """Whether a method of a class names a scripted function, or one is made in it."""
    if kind.__module__.startswith("torch."):
        return False
    kinds = (torch.jit.ScriptModule, torch.jit.ScriptFunction)
    for owner in kind.__mro__:
        for method in vars(owner).values():
            code = getattr(method, "__code__", None)
            if code is None or owner.__module__.startswith("torch."):
                continue
            named = [method.__globals__.get(name) for name in code.co_names]
            inside = [cell.cell_contents for cell in method.__closure__ or () if _is_filled(cell)]
            if any(isinstance(value, kinds) for value in [*named, *inside]):
                return True
            if "jit" in code.co_names:
                return True
    return False


def _is_filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True
