"""Calls and traces made of matrices whose masks are known, so that a zero need not mean hidden."""

import numpy as np

from headscape.trace.call import AttentionCall
from headscape.trace.measure import Facts, gather_rows
from headscape.trace.sides import Side
from headscape.trace.trace import Trace


def planted_call(weights, *, mask="all", padded=None, padded_keys=None, sides=(0, 0), k=None, layer=0):
    """Make a call of (batch, head, query, key) weights.

    ``mask`` is "all", "causal" or a (query, key) bool array of what queries may see. Weights of padded
    queries are dropped; those of padded keys have to be 0.
    """
    weights = np.asarray(weights, np.float32)
    batch, _, queries, keys = weights.shape
    queries_off = np.zeros((batch, queries), bool) if padded is None else np.asarray(padded, bool)
    if padded_keys is None:
        keys_off = queries_off if sides[0] == sides[1] and queries == keys else np.zeros((batch, keys), bool)
    else:
        keys_off = np.asarray(padded_keys, bool)
    seen = np.ones((queries, keys), bool)
    if isinstance(mask, str) and mask == "causal":
        seen = np.tril(seen, keys - queries)
    elif not isinstance(mask, str):
        seen = np.asarray(mask, bool)
    visible = (seen & ~keys_off[:, None]).sum(-1)[:, None] * np.ones((1, weights.shape[1], 1))
    facts = Facts(queries_off, keys_off, None, np.full((batch, 4, queries), np.nan, np.float32))
    arrays = gather_rows([(0, weights, visible.astype(np.int32))], weights.shape, k, facts)
    kind = "self" if sides[0] == sides[1] else "cross"
    path = f"layers.{layer}"
    return AttentionCall(path, path, layer, kind, "written", *sides, layer, weights.shape, arrays, 0.0)


def planted_trace(*matrices, tokens=None, grid=None, **options):
    """Make a trace with one self-attention call per (batch, head, token, token) array."""
    calls = tuple(planted_call(one, layer=n, **options) for n, one in enumerate(matrices))
    batch, length = calls[0].shape[0], calls[0].shape[3]
    labels = None
    if tokens is not None:
        rows = [tokens] * batch if isinstance(tokens[0], str) else tokens
        labels = tuple(tuple(row) for row in rows)
    return Trace(calls, (Side("tokens", length, len(calls) + 1, labels, grid),), model="planted")


def uniform(length, *, heads=1, batch=1, causal=False):
    """Return (batch, head, token, token) weights that are alike over what each row sees."""
    seen = np.tril(np.ones((length, length))) if causal else np.ones((length, length))
    return np.tile(seen / seen.sum(-1, keepdims=True), (batch, heads, 1, 1))


def looking_at(offset, length, *, causal=False):
    """Return (token, token) weights of a head that looks ``offset`` tokens on, or where it cannot at all."""
    rows = uniform(length, causal=causal)[0, 0]
    for query in range(length):
        if 0 <= query + offset < length:
            rows[query] = np.eye(length)[query + offset]
    return rows
