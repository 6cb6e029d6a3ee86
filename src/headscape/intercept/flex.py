"""What a call of flex_attention means: its score and mask functions, applied to blocks of scores."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from headscape.intercept.calls import Arguments
from headscape.intercept.rows import Rescore

OPERATOR = "FlexAttentionHOP"


def is_flex(function: Any) -> bool:
    """Whether a function is the operator behind ``torch.nn.attention.flex_attention``."""
    return type(function).__name__ == OPERATOR


def read_flex(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """Return the arguments of the operator as those of a kernel with a mask and a function of its scores."""
    names = ("query", "key", "value", "score_mod", "block_mask", "scale", "kernel_options")
    named = dict(zip((*names, "score_buffers", "mask_buffers"), args, strict=False))
    named |= {name.replace("_mod_other_", "_"): value for name, value in kwargs.items()}
    query, key, value, block_mask = named["query"], named["key"], named["value"], named["block_mask"]
    groups = query.shape[1] // key.shape[1]
    # The first tensor of a block mask is (batch or 1, head or 1, block of queries).
    ahead = tuple(next(t.shape[:2] for t in block_mask if isinstance(t, Tensor)))
    shape = (*ahead, query.shape[2], key.shape[2])
    mask = over_grid(block_mask[-1], shape, query.device, tuple(named.get("mask_buffers", ())))
    if groups > 1:
        several = (mask.shape[1] // groups, groups) if mask.shape[1] > 1 else (1, 1)
        mask = mask.reshape(mask.shape[0], *several, *mask.shape[2:])
    grouped = query.reshape(query.shape[0], key.shape[1], groups, *query.shape[2:]) if groups > 1 else query
    return Arguments(
        query, grouped, key, value, mask, False,
        named["scale"], False, groups,
        rescore_by(named["score_mod"], tuple(named.get("score_buffers", ()))),
    )  # fmt: skip


def over_grid(
    function: Callable[..., Tensor], shape: tuple[int, ...], device: torch.device, buffers: tuple[Tensor, ...]
) -> Tensor:
    """Return ``function(batch, head, query, key)`` at every point of a grid, bool."""
    points = [torch.arange(n, device=device, dtype=torch.int32) for n in shape]
    found: Tensor = _at_all(lambda *at: function(*at, *buffers), 0)(*points)
    return found.expand(shape)


def rescore_by(function: Callable[..., Tensor], buffers: tuple[Tensor, ...]) -> Rescore:
    """Return a function of a block of scores that applies ``function`` to each of them."""

    def rescore(scores: Tensor, first: int) -> Tensor:
        points = [torch.arange(n, device=scores.device, dtype=torch.int32) for n in scores.shape]
        points[2] = points[2] + first
        changed: Tensor = _at_all(lambda score, *at: function(score, *at, *buffers), 1)(scores, *points)
        return changed

    return rescore


def _at_all(function: Callable[..., Any], ahead: int) -> Callable[..., Any]:
    """Apply a function at all (batch, head, query, key), with ``ahead`` tensors that have these axes."""
    for axis in reversed(range(4)):
        own = [0 if place == axis else None for place in range(4)]
        function = torch.vmap(function, in_dims=(*[0] * ahead, *own))
    return function
