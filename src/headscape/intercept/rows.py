"""Attention rows worked out block by block from queries and keys, beside the model's own kernel.

Nothing here draws random numbers, builds an autograd graph or touches the arguments; half-precision queries
and keys are taken as they are and multiplied in float32.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headscape.trace.measure import Block

# Floats in one block of rows: 64 MB, small beside any model whose attention does not fit in it.
_BLOCK_FLOATS = 16 * 1024 * 1024
# An additive mask below this, on a weight that came out as exactly 0, forbids the key. Real masks use -inf,
# the lowest float or -1e4; learned or ALiBi biases stay far above.
_FORBIDS = -1000.0
_CHECKED_ROWS = 64  # rows compared with the model's own output in each call


@dataclass(frozen=True)
class Scores:
    """What attention weights are worked out from.

    ``query`` (batch, head, query, width), ``key`` (batch, head, key, width); ``mask`` broadcasts to
    (batch, head, query, key): bool True = may attend, float = added. ``is_causal`` aligns the diagonals at
    the first query and key, as ``scaled_dot_product_attention`` does.
    """

    query: Tensor
    key: Tensor
    mask: Tensor | None = None
    is_causal: bool = False
    scale: float | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(batch, head, query, key)."""
        return (*self.query.shape[:3], self.key.shape[2])


@dataclass(frozen=True)
class Written:
    """Weights the model itself wrote: (batch, head, query, key), with the additive or bool mask if known."""

    weights: Tensor
    mask: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(batch, head, query, key)."""
        batch, head, query, key = self.weights.shape
        return batch, head, query, key


def aside(device: torch.device) -> AbstractContextManager[object]:
    """Return the context for side work: no graph, no autocast, no function mode can see it."""
    stack = ExitStack()
    stack.enter_context(torch.no_grad())
    stack.enter_context(torch._C.DisableTorchFunction())
    if torch.amp.is_autocast_available(device.type):
        stack.enter_context(torch.autocast(device.type, enabled=False))
    return stack


def blocks_of(
    source: Scores | Written, watch: Callable[[int, Tensor], None] | None = None
) -> Iterator[Block]:
    """Yield blocks of rows as NumPy arrays.

    Parameters
    ----------
    source : Scores or Written
        Where the weights come from.
    watch : callable, optional
        Gets (first query, weights on the device) of every block, before it is copied to the host.
    """
    batch, head, query, key = source.shape
    rows = max(1, min(query, _BLOCK_FLOATS // max(1, batch * head * key)))
    for start in range(0, query, rows):
        end = min(query, start + rows)
        weights, visible = _block(source, start, end)
        if watch is not None:
            watch(start, weights)
        yield start, weights.float().cpu().numpy(), visible.to(torch.int32).cpu().numpy()


def _block(source: Scores | Written, start: int, end: int) -> tuple[Tensor, Tensor]:
    if isinstance(source, Written):
        weights = source.weights[:, :, start:end].detach().float()
        mask = _rows_of_mask(source.mask, start, end)
    else:
        weights, mask = _softmax_rows(source, start, end)
    if mask is None:
        return weights, torch.full(weights.shape[:3], weights.shape[3], device=weights.device)
    visible = (~_forbidden(mask, weights)).expand(weights.shape).sum(-1)
    if isinstance(source, Scores):
        # A row that may see nothing has no weights: torch's own kernels return zeros for it.
        weights = torch.where((visible == 0).unsqueeze(-1), torch.zeros_like(weights), weights)
    return weights, visible


def _softmax_rows(source: Scores, start: int, end: int) -> tuple[Tensor, Tensor | None]:
    wide = torch.float64 if source.query.dtype == torch.float64 else torch.float32
    query, key = source.query[:, :, start:end].detach().to(wide), source.key.detach().to(wide)
    scale = 1 / math.sqrt(query.shape[-1]) if source.scale is None else source.scale
    scores = torch.matmul(query * scale, key.transpose(-2, -1))
    mask = _rows_of_mask(source.mask, start, end)
    if source.is_causal:
        later = torch.arange(start, end, device=query.device)[:, None] < torch.arange(
            key.shape[2], device=query.device
        )
        causal = ~later
        if mask is None:
            mask = causal
        else:
            mask = mask & causal if mask.dtype == torch.bool else mask.masked_fill(later, -math.inf)
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, -math.inf)
    elif mask is not None:
        scores = scores + mask.to(wide)
    return torch.softmax(scores, dim=-1), mask


def _rows_of_mask(mask: Tensor | None, start: int, end: int) -> Tensor | None:
    if mask is None:
        return None
    mask = mask.detach()
    return mask if mask.dim() < 2 or mask.shape[-2] == 1 else mask[..., start:end, :]


def forbids(mask: Tensor) -> Tensor:
    """Return where an additive or bool (True = may attend) mask hides keys, bool of the mask's shape."""
    return ~mask if mask.dtype == torch.bool else mask <= _FORBIDS


def _forbidden(mask: Tensor, weights: Tensor) -> Tensor:
    hidden = forbids(mask)
    return hidden if mask.dtype == torch.bool else hidden & ((weights == 0) | (mask == -math.inf))


def value_norms(value: Tensor, projection: Tensor) -> np.ndarray:
    """Norm of each key's value after its head's part of the output projection.

    Through the width x width Gram matrix of each head: ``|| v W_O ||^2 = v (W_O W_O^T) v^T``, so that no
    model-wide vector per token and head is ever made.

    Parameters
    ----------
    value : (batch, head, key, width) tensor
    projection : (output, head * width) tensor
        Weight of the output projection, as ``nn.Linear`` holds it.

    Returns
    -------
    (batch, head, key) float32 array
    """
    head, width = value.shape[1], value.shape[3]
    exact = torch.float32 if value.device.type == "mps" else torch.float64  # MPS has no float64
    per_head = projection.detach().to(exact).reshape(projection.shape[0], head, width).permute(1, 2, 0)
    gram = torch.matmul(per_head, per_head.transpose(1, 2))
    wide = value.detach().to(exact)
    squares = (torch.matmul(wide, gram) * wide).sum(-1)
    norms: np.ndarray = squares.clamp_min(0).sqrt().float().cpu().numpy()
    return norms


class OutputCheck:
    """Compares ``concat(A v) W_O + b`` of sampled rows with what the model's own module returned.

    ``output`` is (batch, query, output); without a projection it is the heads' values side by side.
    """

    def __init__(
        self, value: Tensor, output: Tensor, projection: Tensor | None = None, bias: Tensor | None = None
    ) -> None:
        self._value = value.detach()
        self._projection = None if projection is None else projection.detach()
        self._bias = None if bias is None else bias.detach()
        self._output = output.detach()
        queries = output.shape[1]
        spread = np.unique(np.linspace(0, queries - 1, min(queries, _CHECKED_ROWS)).astype(np.int64))
        self._rows = torch.from_numpy(spread).to(output.device)
        self.largest = 0.0
        self.size = 0.0  # largest number the model itself returned in the compared rows

    def __call__(self, start: int, weights: Tensor) -> None:
        """Take one block of weights, (batch, head, rows, key)."""
        here = self._rows[(self._rows >= start) & (self._rows < start + weights.shape[2])]
        if not len(here):
            return
        wide = weights.dtype
        mixed = torch.matmul(weights[:, :, here - start], self._value.to(wide))
        made = mixed.transpose(1, 2).flatten(2)
        if self._projection is not None:
            bias = None if self._bias is None else self._bias.to(wide)
            made = torch.nn.functional.linear(made, self._projection.to(wide), bias)
        gap = (made - self._output[:, here].to(wide)).abs()
        gap = gap[torch.isfinite(gap)]
        if gap.numel():
            self.largest = max(self.largest, float(gap.max()))
            self.size = max(self.size, float(self._output[:, here].abs().nan_to_num(0, 0, 0).max()))
