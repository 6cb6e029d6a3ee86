"""Selection and statistics of blocks of attention rows in plain torch, on any device and in any dtype."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from headscape.intercept.gathered import Gathered
from headscape.intercept.keeping import Keeping
from headscape.intercept.rows import Scores, Written, weights_of
from headscape.trace.call import CallArrays
from headscape.trace.measure import Facts

# Floats in one block of rows: 8 MB, of which a handful live at a time.
BLOCK_FLOATS = 2 * 1024 * 1024


def take_blocks(source: Scores | Written, keeping: Keeping, facts: Facts) -> CallArrays:
    """Gather block after block of queries; see :func:`headscape.intercept.stream.gather`."""
    batch, head, query, key = source.shape
    gathered = Gathered(source.shape, keeping, facts)
    query_places, key_places = (torch.from_numpy(places).to(source.device) for places in facts.places())
    padded = torch.from_numpy(np.ascontiguousarray(facts.padded)).to(source.device)
    received = torch.zeros((batch, head, key), device=source.device)
    for rows in blocks_of(batch * head, query, key):
        weights, visible = weights_of(source, rows)
        weights = weights.float()
        drop = padded[:, None, rows, None]
        if bool(drop.any()):
            weights = weights.masked_fill(drop, 0.0)
        keys = weights.shape[3]
        received[..., :keys] += _received(weights)
        gaps = (query_places[:, rows, None] - key_places[:, None, :keys]).abs()
        total = weights.sum(-1)
        if gathered.weights is not None:
            gathered.weights[:, :, rows, :keys] = weights.cpu().numpy()
            if keys < key:
                broken = torch.where(total.isnan(), torch.nan, 0.0).unsqueeze(-1)
                gathered.weights[:, :, rows, keys:] = broken.cpu().numpy()
            kept = (total > 0).float()
        else:
            listed, chosen = select(weights, keeping)
            gathered.lists.append((listed.to(torch.int32).cpu().numpy(), chosen.cpu().numpy()))
            kept = torch.where(total > 0, chosen.sum(-1) / total, 0.0)
        for array, found in (
            (gathered.visible, visible),
            (gathered.kept, kept),
            (gathered.entropy, _bits(weights)),
            (gathered.distance, (weights * gaps.unsqueeze(1)).sum(-1)),
            (gathered.first, weights[..., 0]),
            (gathered.largest, weights.amax(-1)),
        ):
            array[:, :, rows] = found.cpu().numpy()
    gathered.received[:] = received.cpu().numpy()
    return gathered.arrays()


def blocks_of(matrices: int, query: int, key: int) -> Iterator[slice]:
    """Yield runs of queries, so many at a time that all their rows hold about ``BLOCK_FLOATS``."""
    rows = max(1, min(query, BLOCK_FLOATS // max(1, matrices * key)))
    for start in range(0, query, rows):
        yield slice(start, min(query, start + rows))


def _bits(weights: Tensor) -> Tensor:
    nats: Tensor = torch.special.entr(weights.clamp_min(0)).sum(-1)
    return nats.abs() / math.log(2)


def _received(weights: Tensor) -> Tensor:
    total = weights.sum(2)
    return total if bool(total.isfinite().all()) else weights.nan_to_num().sum(2)


def select(weights: Tensor, keeping: Keeping) -> tuple[Tensor, Tensor]:
    """Return keys (-1 = none) and weights, (..., width), that a rule keeps of each row of float32 weights."""
    filled = weights.nan_to_num(nan=-1.0, posinf=math.inf)
    if keeping.rule == "top_k":
        return _listed(*_largest(filled, int(keeping.amount)))
    if keeping.rule == "threshold":
        bar = float(np.float32(keeping.amount))
        enough = filled >= bar
        keys, top = _largest(filled, _widest(enough.sum(-1)))
        return _listed(keys, torch.where(top >= bar, top, 0.0))
    top, keys = filled.clamp_min(0).sort(dim=-1, descending=True, stable=True)
    mass = top.double().cumsum(-1)
    needed = (mass < keeping.amount * mass[..., -1:]).sum(-1) + 1
    width = _widest(torch.where(mass[..., -1] > 0, needed, 0))
    listed = torch.arange(width, device=weights.device) < needed.unsqueeze(-1)
    return _listed(keys[..., :width], torch.where(listed, top[..., :width], 0.0))


def _widest(counts: Tensor) -> int:
    return int(counts.max()) if counts.numel() else 0


def _listed(keys: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
    nothing = top <= 0
    return torch.where(nothing, -1, keys), torch.where(nothing, 0.0, top)


def _largest(filled: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the first k keys and weights of a stable falling sort, sorting no more than it has to."""
    key = filled.shape[-1]
    k = min(k, key)
    if key <= 4 * k:
        top, keys = filled.sort(dim=-1, descending=True, stable=True)
        return keys[..., :k], top[..., :k]
    top, keys = filled.topk(k + 1, dim=-1)
    # torch.topk takes any of those that equal the k-th; where it had to choose, the row is sorted instead.
    tied = (top[..., k] == top[..., k - 1]) & (top[..., k] > 0) if k else top[..., 0] < -2
    keys = keys[..., :k].sort(dim=-1).values
    if bool(tied.any()):
        whole = filled[tied].sort(dim=-1, descending=True, stable=True).indices
        keys[tied] = whole[:, :k].sort(dim=-1).values
    top, order = filled.gather(-1, keys).sort(dim=-1, descending=True, stable=True)
    return keys.gather(-1, order), top
