"""Attention rows from queries and keys, or from a matrix the model wrote, in plain torch.

Nothing here draws random numbers, builds an autograd graph or touches the arguments; half-precision queries
and keys are taken as they are and multiplied in float32.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

# An additive mask below this, on a weight that came out as exactly 0, forbids the key. Real masks use -inf,
# the lowest float or -1e4; learned or ALiBi biases stay far above.
FORBIDS = -1000.0
_CHECKED_ROWS = 16  # rows compared with the model's own output in each call

Rows: TypeAlias = slice | Tensor
Rescore: TypeAlias = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True)
class Scores:
    """What attention weights are worked out from.

    Attributes
    ----------
    query : (batch, head, query, width) tensor
    key : (batch, key_head, key, width) tensor
        With fewer heads than ``query``, head h attends to key head ``h // (head // key_head)``.
    mask : tensor, optional
        Broadcasts to (batch, head, query, key): bool True = may attend, float = added.
    is_causal : bool
        Whether query i sees the keys up to ``first_query + i`` only.
    scale : float, optional
        What scores are multiplied with; by default ``1 / sqrt(width)``.
    rescore : callable, optional
        Takes scaled scores (batch, head, rows, key) and the first of their queries, and returns the scores
        that the mask is applied to.
    first_query : int
        Place of query 0 among the keys. 0 is the alignment of ``scaled_dot_product_attention``.
    """

    query: Tensor
    key: Tensor
    mask: Tensor | None = None
    is_causal: bool = False
    scale: float | None = None
    rescore: Rescore | None = None
    first_query: int = 0

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(batch, head, query, key)."""
        return (*self.query.shape[:3], self.key.shape[2])

    @property
    def factor(self) -> float:
        """What scores are multiplied with."""
        return 1 / math.sqrt(max(1, self.query.shape[-1])) if self.scale is None else self.scale

    @property
    def device(self) -> torch.device:
        """Where the work is done."""
        return self.query.device


@dataclass(frozen=True)
class Written:
    """Weights the model itself wrote: (batch, head, query, key), with the additive or bool mask if known.

    Any strides and any float dtype. A row may sum to anything (attention sinks, sigmoid attention): nothing
    is normalised.
    """

    weights: Tensor
    mask: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(batch, head, query, key)."""
        batch, head, query, key = self.weights.shape
        return batch, head, query, key

    @property
    def device(self) -> torch.device:
        """Where the work is done."""
        return self.weights.device


def aside(device: torch.device) -> AbstractContextManager[object]:
    """Return the context for side work: no graph, no autocast, no function mode can see it."""
    stack = ExitStack()
    stack.enter_context(torch.no_grad())
    stack.enter_context(torch._C.DisableTorchFunction())
    if torch.amp.is_autocast_available(device.type):
        stack.enter_context(torch.autocast(device.type, enabled=False))
    return stack


def sample_rows(source: Scores | Written, rows: Tensor) -> Tensor:
    """Work out some rows in plain torch, whatever way the rest takes.

    Parameters
    ----------
    source : Scores or Written
        Where the weights come from.
    rows : (n,) integer tensor
        Which queries.

    Returns
    -------
    (batch, head, n, key) tensor
        float32 (float64 where queries are); rows that may see nothing are zero.
    """
    with aside(source.device):
        return weights_of(source, rows.to(source.device))[0]


def weights_of(source: Scores | Written, rows: Rows) -> tuple[Tensor, Tensor]:
    """Return weights (batch, head, rows, keys) and visible keys (batch, head, rows) of some queries.

    Where all the queries lie before a causal diagonal, the keys behind it are left out of the weights.
    """
    if isinstance(source, Written):
        weights = source.weights[:, :, rows].detach().float()
        mask = _rows_of_mask(source.mask, rows)
    else:
        weights, mask = _softmax_rows(source, rows)
    if mask is None:
        seen = torch.full(weights.shape[:3], weights.shape[3], dtype=torch.int32, device=weights.device)
        return weights, seen
    if mask.dtype == torch.bool:  # said once for the heads that share it
        mask = (
            mask.expand(*mask.shape[:-1], weights.shape[3]) if mask.dim() else mask.expand(weights.shape[3])
        )
        visible = mask.sum(-1, dtype=torch.int32).expand(weights.shape[:3])
    else:
        visible = (~_forbidden(mask, weights)).expand(weights.shape).sum(-1, dtype=torch.int32)
    if isinstance(source, Scores):
        # A row that may see nothing has no weights: torch's own kernels return zeros for it.
        weights = torch.where((visible == 0).unsqueeze(-1), torch.zeros_like(weights), weights)
    return weights, visible


def _softmax_rows(source: Scores, rows: Rows) -> tuple[Tensor, Tensor | None]:
    scores = scores_of(source, rows)
    mask = _rows_of_mask(source.mask, rows)
    if mask is not None and mask.dim() and mask.shape[-1] != 1:
        mask = mask[..., : scores.shape[-1]]
    if source.is_causal:
        last = _numbers(source, rows) + source.first_query
        later = last[:, None] < torch.arange(scores.shape[-1], device=source.device)
        if mask is None:
            mask = ~later
        else:
            mask = mask & ~later if mask.dtype == torch.bool else mask.masked_fill(later, -math.inf)
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, -math.inf)
    elif mask is not None:
        scores = scores + mask.to(scores.dtype)
    return torch.softmax(scores, dim=-1), mask


def scores_of(source: Scores, rows: Rows) -> Tensor:
    """Return scaled (and changed) scores of some queries before any mask, (batch, head, rows, keys)."""
    wide = torch.float64 if source.query.dtype == torch.float64 else torch.float32
    query = source.query[:, :, rows].detach().to(wide) * source.factor
    keys = keys_within_reach(source, rows.stop) if isinstance(rows, slice) else source.key.shape[2]
    key = source.key[:, :, :keys].detach().to(wide)
    batch, head, count, width = query.shape
    # Grouped queries stand side by side along the query axis, so that no key is repeated.
    folded = query.reshape(batch, key.shape[1], head // max(1, key.shape[1]) * count, width)
    scores = torch.matmul(folded, key.transpose(-2, -1)).view(batch, head, count, keys)
    if source.rescore is None:
        return scores
    if isinstance(rows, slice):
        return source.rescore(scores, rows.start)
    changed = [source.rescore(scores[:, :, i : i + 1], int(row)) for i, row in enumerate(rows)]
    return torch.cat(changed, dim=2)


def keys_within_reach(source: Scores, end: int) -> int:
    """Return how many keys have to be looked at for the queries before ``end``."""
    key = source.key.shape[2]
    if not source.is_causal or source.rescore is not None:
        return key
    return min(key, max(1, source.first_query + end))


def _numbers(source: Scores, rows: Rows) -> Tensor:
    return torch.arange(rows.start, rows.stop, device=source.device) if isinstance(rows, slice) else rows


def _rows_of_mask(mask: Tensor | None, rows: Rows) -> Tensor | None:
    if mask is None:
        return None
    mask = mask.detach()
    return mask if mask.dim() < 2 or mask.shape[-2] == 1 else mask[..., rows, :]


def forbids(mask: Tensor) -> Tensor:
    """Return where an additive or bool (True = may attend) mask hides keys, bool of the mask's shape."""
    return ~mask if mask.dtype == torch.bool else mask <= FORBIDS


def _forbidden(mask: Tensor, weights: Tensor) -> Tensor:
    hidden = forbids(mask)
    return hidden if mask.dtype == torch.bool else hidden & ((weights == 0) | (mask == -math.inf))


def value_norms(value: Tensor, projection: Tensor) -> np.ndarray:
    """Norm of each key's value after its head's part of the output projection.

    Through the width x width Gram matrix of each head: ``|| v W_O ||^2 = v (W_O W_O^T) v^T``, so that no
    model-wide vector per token and head is ever made.

    Parameters
    ----------
    value : (batch, key_head, key, width) tensor
        With fewer heads than the projection has, head h reads value head ``h // (head // key_head)``.
    projection : (output, head * width) tensor
        Weight of the output projection, as ``nn.Linear`` holds it.

    Returns
    -------
    (batch, head, key) float32 array

    Notes
    -----
    In float32, values of less than float64 agree with float64 within 2e-6 of the norm, unless the
    projection takes nearly all of a value away.
    """
    batch, heads, key, width = value.shape
    wide = torch.float64 if value.dtype == torch.float64 else torch.float32
    count = projection.shape[1] // width
    per_head = projection.detach().to(wide).reshape(projection.shape[0], count, width).permute(1, 2, 0)
    gram = torch.matmul(per_head, per_head.transpose(1, 2)).view(heads, count // heads, width, width)
    exact = value.detach().to(wide).unsqueeze(2)
    squares = (torch.matmul(exact, gram) * exact).sum(-1)
    norms: np.ndarray = squares.clamp_min(0).sqrt().float().view(batch, count, key).cpu().numpy()
    return norms


class OutputCheck:
    """Compares ``P V`` of sampled rows, worked out in plain torch, with what the model's own code gave.

    ``value`` is (group, key head, key, width), ``mixed`` (group, head, query, width).
    """

    def __init__(self, value: Tensor, mixed: Tensor) -> None:
        self._value = value.detach()
        queries = mixed.shape[2]
        spread = np.unique(np.linspace(0, queries - 1, min(queries, _CHECKED_ROWS)).astype(np.int64))
        self._rows = torch.from_numpy(spread).to(mixed.device)
        self._shown = mixed.detach()[:, :, self._rows]
        self.largest = 0.0
        self.size = 0.0  # largest number the model itself gave in the compared rows

    def look(self, source: Scores | Written, largest: np.ndarray) -> None:
        """Work out the sampled rows; compare with what the model gave, and with what was recorded.

        ``largest`` is the recorded largest weight of each row, (group, head, query), NaN for none.
        """
        if not len(self._rows) or not self._shown.numel():
            return
        weights = sample_rows(source, self._rows)
        value = self._value.to(weights.dtype)
        group, head, count, key = weights.shape
        # Grouped queries stand side by side, so that no value is repeated.
        folded = weights.reshape(group, value.shape[1], head // value.shape[1] * count, key)
        made = torch.matmul(folded, value).reshape(group, head, count, value.shape[3])
        gap = (made - self._shown.to(made.dtype)).abs()
        gap = gap[torch.isfinite(gap)]
        if gap.numel():
            self.largest = float(gap.max())
            self.size = float(self._shown.abs().nan_to_num(0, 0, 0).max())
        apart = np.abs(weights.amax(-1).cpu().numpy() - largest[:, :, self._rows.cpu().numpy()])
        self.largest = max(self.largest, float(np.nanmax(apart, initial=0)))
