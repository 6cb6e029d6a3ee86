"""Seeing the calls of a model while captures of it are open.

A callable on the instance stands in for ``model.forward``: hooks would push torch.nn off its fast paths, and
would not see ``model.forward(...)`` called by name. One doorway serves all captures of a model that are open
at once, so they may end in any order; the last one takes it away.
"""

import copy
import functools
import sys
import threading
import types
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import nn

_lock = threading.Lock()


class Visitor(Protocol):
    """What wants to see the calls."""

    thread: int  # the thread that opened it

    def visit(self, call: Callable[[], Any]) -> Any:
        """Run ``call``, one forward pass, and return its result."""


class Doorway:
    """Stands in for a model's ``forward`` while captures of it are open."""

    def __init__(self, model: nn.Module) -> None:
        functools.update_wrapper(self, model.forward)
        self.model = model
        self.visitors: list[Visitor] = []
        self._had = model.__dict__.get("forward")
        self._original = model.forward
        # What model.compile() made runs past a forward set on the instance, or compiles it: it has to wait.
        self._compiled = model.__dict__.get("_compiled_call_impl")
        if self._compiled is not None:
            object.__setattr__(model, "_compiled_call_impl", None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model's own forward, seen by the captures of this thread, or else by all that are open."""
        enter: Callable[..., Any] = self._enter
        if "torch._dynamo" in sys.modules:  # a part of a compiled model: Dynamo must not trace the watching
            enter = torch.compiler.disable(enter)  # type: ignore[no-untyped-call]
        return enter(*args, **kwargs)

    def _enter(self, *args: Any, **kwargs: Any) -> Any:
        here = threading.get_ident()
        everyone = tuple(self.visitors)
        call: Callable[[], Any] = functools.partial(self._original, *args, **kwargs)
        for visitor in [v for v in everyone if v.thread == here] or everyone:
            call = functools.partial(visitor.visit, call)
        return call()

    def __getattr__(self, name: str) -> Any:
        if name == "_original":
            raise AttributeError(name)
        return getattr(self._original, name)  # __code__, say, of which torch.export asks

    def leave(self) -> None:
        """Give the model its own forward back."""
        if self._compiled is not None and self.model.__dict__.get("_compiled_call_impl") is None:
            object.__setattr__(self.model, "_compiled_call_impl", self._compiled)
        if self.model.__dict__.get("forward") is not self:
            return  # somebody else stands in front now, and goes on calling through here
        if self._had is None:
            object.__delattr__(self.model, "forward")
        else:
            object.__setattr__(self.model, "forward", self._had)

    # A copy or a pickle of the model made while it is watched has a forward of its own, not this one's.

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return own_forward(memo.get(id(self.model), self.model), copy.deepcopy(self._had, memo))

    def __reduce__(self) -> Any:
        return own_forward, (self.model, self._had)


def own_forward(model: nn.Module, had: Any) -> Any:
    """Return the forward that an unwatched model has."""
    return types.MethodType(type(model).forward, model) if had is None else had


def open_door(model: nn.Module, visitor: Visitor) -> Doorway:
    """Let ``visitor`` see the model's calls, until :func:`close_door`."""
    with _lock:
        door = model.__dict__.get("forward")
        if not isinstance(door, Doorway):
            door = Doorway(model)
            object.__setattr__(model, "forward", door)
        door.visitors.append(visitor)
        return door


def close_door(door: Doorway, visitor: Visitor) -> None:
    """Let ``visitor`` see no more; the last one leaves the model as it was."""
    with _lock:
        door.visitors.remove(visitor)
        if not door.visitors:
            door.leave()
