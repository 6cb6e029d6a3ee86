"""Several copies of a batch in one pass: what lets many knock-outs share a run of the model."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

Axis = Literal["first", "second", "none"]


@dataclass(frozen=True)
class Given:
    """The arguments of a model: one tensor, a tuple of them, or keywords.

    Attributes
    ----------
    args, kwargs
        As they are passed to the model.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @classmethod
    def of(cls, inputs: Any) -> "Given":
        """Read what a caller gave: a mapping is keywords, a tuple or list arguments, all else one."""
        if isinstance(inputs, Mapping):
            return cls((), dict(inputs))
        if isinstance(inputs, (tuple, list)):
            return cls(tuple(inputs), {})
        return cls((inputs,), {})

    def call(self, model: nn.Module) -> Callable[[], Any]:
        """Return what runs the model once. Caches and the like are copied, so that a pass leaves no trace."""
        args, kwargs = _fresh(self.args), _fresh(self.kwargs)  # now: copying is no part of the pass
        return lambda: model(*args, **kwargs)

    def repeated(self, batch: int, copies: int, axis: Axis) -> "Given":
        """Return the arguments with their batch so many times, one copy after the other.

        ``axis`` says which is the batch of tensors with three axes or more; those with two have it first.
        """

        def repeat(value: Any) -> Any:
            if not isinstance(value, Tensor) or value.is_nested or not value.dim():
                return value
            at = 1 if axis == "second" and value.dim() > 2 else 0
            if value.shape[at] != batch:
                return value
            return torch.cat([value] * copies, dim=at)

        return Given(_changed(self.args, repeat), _changed(self.kwargs, repeat))


def _changed(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, tuple):
        items = [_changed(item, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [_changed(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _changed(item, change) for key, item in value.items()}
    return change(value)


def _fresh(value: Any) -> Any:
    """Return arguments that a pass may change: what is no tensor and no plain value is copied."""
    plain = (Tensor, str, bytes, int, float, bool, type(None))
    return _changed(value, lambda item: item if isinstance(item, plain) else copy.deepcopy(item))
