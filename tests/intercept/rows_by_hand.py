"""Attention rows and their statistics in float64 NumPy: the independent road of the streaming tests."""

import numpy as np
import torch

from headscape.trace.measure import Facts

FORBIDS = -1000.0


def facts(batch, query, key, *, padded=(), positions=None):
    hidden = np.zeros((batch, query), bool)
    for example, row in padded:
        hidden[example, row] = True
    more = {} if positions is None else {"query_positions": positions[0], "key_positions": positions[1]}
    flow = np.full((batch, 4, query), np.nan, np.float32)
    return Facts(hidden, np.zeros((batch, key), bool), None, flow, **more)


def scores_of(source):
    """Return masked scores (batch, head, query, key) and where a key may be seen, from a Scores source."""
    query, key = source.query.double().numpy(), source.key.double().numpy()
    key = np.repeat(key, query.shape[1] // key.shape[1], axis=1)
    scale = query.shape[-1] ** -0.5 if source.scale is None else source.scale
    with np.errstate(invalid="ignore"):
        scores = np.einsum("bhqd,bhkd->bhqk", query, key) * scale
    seen = np.ones(scores.shape, bool)
    if source.rescore is not None:
        scores = source.rescore(torch.from_numpy(scores), 0).numpy()
    if source.mask is not None and source.mask.dtype == torch.bool:
        seen &= source.mask.numpy()
    elif source.mask is not None:
        added = source.mask.double().numpy()
        seen &= added > FORBIDS
        scores = scores + added
    if source.is_causal:
        seen &= np.arange(scores.shape[3]) <= np.arange(scores.shape[2])[:, None] + source.first_query
    return scores, seen


def softmax(scores, seen):
    with np.errstate(invalid="ignore", over="ignore"):
        hidden = np.where(seen, scores, -np.inf)
        grown = np.exp(hidden - hidden.max(-1, keepdims=True))
        weights = grown / grown.sum(-1, keepdims=True)
    return np.where(seen.any(-1, keepdims=True), weights, 0)


def statistics(weights, seen, given):
    """Return what ``gather`` measures, by name, from (batch, head, query, key) float64 weights."""
    hide = np.broadcast_to(given.padded[:, None, :], weights.shape[:3])
    weights = np.where(hide[..., None], 0, weights)
    visible = np.where(hide, 0, np.broadcast_to(seen, weights.shape).sum(-1))
    query, key = (
        np.arange(n)[None] if places is None else places
        for n, places in zip(weights.shape[2:], (given.query_positions, given.key_positions), strict=True)
    )
    gaps = np.abs(query[:, :, None] - key[:, None, :].astype(np.float64))[:, None]
    positive = np.where(weights > 0, weights, 1)
    broken = np.isnan(weights).any(-1)
    found = {
        "entropy": np.where(broken, np.nan, np.abs((positive * np.log2(positive)).sum(-1))),
        "distance": (weights * gaps).sum(-1),
        "first_key": weights[..., 0],
        "largest": weights.max(-1),
    }
    found = {name: np.where(visible == 0, np.nan, array) for name, array in found.items()}
    return found | {"visible": visible, "received": np.nan_to_num(weights).sum(2)}


def kept_keys(row, keeping):
    """Return the keys that a rule keeps of one row, falling, equals in order of key."""
    row = np.where(np.isnan(row) | (row < 0), 0, row)
    order = np.argsort(-row, kind="stable")
    order = order[row[order] > 0]
    if keeping.rule == "top_k":
        return order[: int(keeping.amount)]
    if keeping.rule == "threshold":
        return order[row[order] >= np.float32(keeping.amount)]
    mass = np.cumsum(row[order].astype(np.float64))
    return order[: np.searchsorted(mass, keeping.amount * mass[-1]) + 1] if len(order) else order
