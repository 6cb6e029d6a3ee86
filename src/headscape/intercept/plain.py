"""Two tricks that let a function mode watch torch.nn without changing what torch.nn does.

torch.nn asks ``torch.overrides.has_torch_function`` whether it may use its fused kernels, and that answers
"no" for *any* tensor while a function mode is active. ``keeping_fast_paths`` makes it answer for tensors
only, so the fast path, and with it every bit of the output, stays. And ``F.multi_head_attention_forward``
hands itself to the mode as one opaque call; ``open_copy`` runs the same code object with the same answer,
so the calls inside become visible.
"""

import functools
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.overrides


class _Users:
    """How many passes are being watched, over all threads, and what to put back after the last."""

    lock = threading.Lock()
    count = 0
    original: Callable[..., bool] = staticmethod(torch.overrides.has_torch_function)


def any_overriding(tensors: Iterable[Any]) -> bool:
    """Whether any of ``tensors`` itself overrides torch functions, modes left aside.

    flex_attention's operator asks too, and has no other way to be seen: it is told of the mode.
    """
    asking = sys._getframe(1).f_locals.get("self")
    if type(asking).__name__ == "FlexAttentionHOP" and torch._C._len_torch_function_stack() > 0:
        return True
    # Once a subclass has answered, what it runs is asked again: then it is left alone, as torch does.
    return torch._C._is_torch_function_enabled() and any(
        type(t) is not torch.Tensor
        and type(t) is not torch.nn.Parameter
        and hasattr(t, "__torch_function__")
        and type(t).__torch_function__ is not torch._C._disabled_torch_function_impl
        for t in tensors
    )


@contextmanager
def keeping_fast_paths() -> Iterator[None]:
    """Let torch.nn choose its kernels as it does without a mode. Nests, and may run in several threads."""
    with _Users.lock:
        if _Users.count == 0:
            _Users.original = staticmethod(torch.overrides.has_torch_function)
            torch.overrides.has_torch_function = any_overriding  # type: ignore[assignment]
        _Users.count += 1
    try:
        yield
    finally:
        with _Users.lock:
            _Users.count -= 1
            if _Users.count == 0:
                torch.overrides.has_torch_function = _Users.original


@functools.lru_cache(maxsize=8)
def open_copy(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a copy of a torch.nn.functional function that does not hand itself to a mode as a whole."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_freevars:
        return function
    names = dict(function.__globals__, has_torch_function=any_overriding)
    copy = types.FunctionType(code, names, function.__name__, function.__defaults__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
