"""Facts laid beside tensors, and moved about as the tensors themselves are moved.

A shadow is an integer or bool tensor of the same shape as the tensor it belongs to. When a function only
moves elements (view, permute, roll, cat, ...), the same function is run on the shadow: whatever a model does
to fold heads, cut windows or shift them, the shadow has done too. Shadows that say the same along an axis are
expanded views and cost nothing.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from headscape.intercept.ops import COPIES, MOVES, PADS

Fact = TypeVar("Fact")
# The result's shape says all there is to these, whatever the strides of the shadow.
_RESHAPES = frozenset({
    "view", "reshape", "flatten", "unflatten", "ravel", "squeeze", "unsqueeze", "view_as", "reshape_as",
    "squeeze_", "unsqueeze_", "atleast_2d", "atleast_3d",
})  # fmt: skip


class Beside(Generic[Fact]):
    """One fact for each tensor, forgotten with the tensor."""

    def __init__(self) -> None:
        self._facts: dict[int, tuple[weakref.ref[Tensor], Fact]] = {}

    def get(self, tensor: Any) -> Fact | None:
        """Return the fact beside a tensor, None if there is none."""
        entry = self._facts.get(id(tensor))
        return entry[1] if entry is not None and entry[0]() is tensor else None

    def put(self, tensor: Tensor, fact: Fact) -> None:
        """Lay a fact beside a tensor."""
        key, facts = id(tensor), self._facts

        def forget(gone: weakref.ref[Tensor]) -> None:
            entry = facts.get(key)
            if entry is not None and entry[0] is gone:
                del facts[key]

        facts[key] = (weakref.ref(tensor, forget), fact)

    def drop(self, tensor: Tensor) -> None:
        """Forget what lies beside a tensor."""
        self._facts.pop(id(tensor), None)


def tensors_in(values: Iterable[Any]) -> Iterator[Tensor]:
    """Yield the tensors among arguments, one level of lists and dicts deep and further."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from tensors_in(value)
        elif isinstance(value, dict):
            yield from tensors_in(value.values())


def moves(name: str) -> bool:
    """Whether a function only moves elements about (or copies them)."""
    return name in MOVES or name in PADS or name in COPIES


def moved(
    name: str,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    result: Any,
    shadow_of: Callable[[Tensor], Tensor | None],
    missing: int = -1,
) -> list[Tensor | None]:
    """Move shadows as ``func`` moved its tensors; return one for each tensor of ``result``.

    Parameters
    ----------
    name, func, args, kwargs, result
        The function that ran (see :func:`headscape.intercept.ops.name_of`), what it got and what it returned.
    shadow_of : callable
        Gives the shadow of a tensor, or None.
    missing : int
        Stands where a tensor without a shadow, or padding, took part.
    """
    results = list(tensors_in((result,)))
    first = args[0] if args else next(iter(kwargs.values()), None)
    if isinstance(first, Tensor):
        shadow = shadow_of(first)
        if shadow is None:
            return [None] * len(results)
        try:
            made = _move_one(name, func, (first, *args[1:]), kwargs, results[0], shadow, missing)
        except NotImplementedError:  # im2col knows no integers; these are exact in float64
            made = func(shadow.double(), *args[1:], **kwargs).to(shadow.dtype)
    else:
        parts = list(first) if isinstance(first, (tuple, list)) else []
        shadows = [shadow_of(t) if isinstance(t, Tensor) else None for t in parts]
        known = next((s for s in shadows if s is not None), None)
        if known is None:
            return [None] * len(results)
        filler = known.new_full((), missing)
        filled = [s if s is not None else filler.expand(t.shape) for s, t in zip(shadows, parts, strict=True)]
        made = func(filled, *args[1:], **kwargs)
    found = list(tensors_in((made,)))
    fits = len(found) == len(results)
    return [
        s if fits and s.shape == r.shape else None
        for s, r in zip(found if fits else results, results, strict=True)
    ]


def _move_one(
    name: str,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    result: Tensor,
    shadow: Tensor,
    missing: int,
) -> Any:
    if name in COPIES:
        return shadow
    if name in _RESHAPES:
        return shadow.reshape(result.shape)
    if name in PADS:
        value = bool(missing) if shadow.dtype == torch.bool else missing
        sizes = args[1] if len(args) > 1 else kwargs["pad"]
        return torch.constant_pad_nd(shadow, list(sizes), value)
    if name == "as_strided":  # speaks of memory: lay the shadow out as the tensor is
        laid = torch.empty_strided(args[0].size(), args[0].stride(), dtype=shadow.dtype, device=shadow.device)
        return laid.copy_(shadow).as_strided(*args[1:], **kwargs)
    if name.endswith("_"):
        return getattr(Tensor, name[:-1])(shadow, *args[1:], **kwargs)
    return func(shadow, *args[1:], **kwargs)


def is_constant(shadow: Tensor, axis: int) -> bool:
    """Whether a shadow says the same all along an axis."""
    if shadow.shape[axis] <= 1 or shadow.stride(axis) == 0 or not shadow.numel():
        return True
    return bool((shadow.narrow(axis, 1, shadow.shape[axis] - 1) == shadow.narrow(axis, 0, 1)).all())
